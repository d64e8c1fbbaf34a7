"""Both models asked once: plan, windows, locks, rows in the store, comparisons."""
