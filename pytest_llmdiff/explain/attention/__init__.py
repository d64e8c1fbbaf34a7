"""What both models attend to."""
