"""What differs between runs, and which is best: `python -m pytest_llmdiff compare`."""
