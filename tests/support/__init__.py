"""Helpers of the tests, and the data they share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # of the checkout
DATA = Path(__file__).parent / "data"
