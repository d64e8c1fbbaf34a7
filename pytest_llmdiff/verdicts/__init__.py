"""From measurements to verdicts: estimates, limits, baselines, accepted changes."""
