"""Backtest = live: recorded ticks and candles through the same Chain as live ones, by their times.

`readers` is the room that knows files, `plot` the one that knows matplotlib; the rest is pure:
no clock but the recording's, no chance. `run.backtest` joins them.
"""
