"""Refusals in Chinese."""
