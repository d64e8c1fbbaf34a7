"""Which training examples are near, recited, or push towards a reply."""
