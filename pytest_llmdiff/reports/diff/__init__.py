"""What differs between two runs: `python -m pytest_llmdiff compare OLD NEW`."""
