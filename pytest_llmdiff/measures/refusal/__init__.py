"""Refusals: the detector, and what tuning gained or lost."""
