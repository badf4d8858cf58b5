"""What clients that mean harm cost those that don't: `python -m bench.hostile`."""
