"""The nouns (message, probe, request, reply, comparison) and readers of their files."""
