"""Benchmarks: each states its question, its machine and its commit."""
