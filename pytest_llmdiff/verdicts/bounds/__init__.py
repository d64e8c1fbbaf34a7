"""One-sided confidence bounds of means, rates and changes; pure functions of numbers."""
