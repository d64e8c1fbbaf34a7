"""Refusals: a detector for English and Chinese, and the refusals that tuning gained or lost."""
