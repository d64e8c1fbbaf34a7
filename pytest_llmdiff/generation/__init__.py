"""Runs both models once per prompt: plan, windows, locks, stored rows, comparisons."""
