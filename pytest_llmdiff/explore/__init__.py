"""Looks for what tuning changed before anyone has written a probe."""
