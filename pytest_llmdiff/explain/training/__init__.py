"""Training examples that are near to a prompt, recited in a reply, or push towards it."""
