"""Where both models look."""
