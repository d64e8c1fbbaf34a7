"""What other programs read: JSON, JUnit, Markdown and annotations, recordings, training data."""
