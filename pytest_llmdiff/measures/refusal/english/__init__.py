"""Refusals in English."""
