"""What language a text is in."""
