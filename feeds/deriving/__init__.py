"""The derivations at work: what they hear, where signals are entered, and when all begins again."""
