"""The load client of all benchmarks of the gateway: a C program, compiled on the spot."""
