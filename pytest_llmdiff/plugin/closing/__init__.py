"""What happens when the last test has run: files are written, and the run says what it comes to."""
