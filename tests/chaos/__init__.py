"""Random faults on real processes, watched by clients that know the truth: `make chaos`."""
