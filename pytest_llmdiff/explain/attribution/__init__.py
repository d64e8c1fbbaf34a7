"""What the words of a prompt count for."""
