"""Readers of data files: probes, texts, pairs of texts, and published test sets."""
