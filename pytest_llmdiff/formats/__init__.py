"""Readers of the files that hold probes."""
