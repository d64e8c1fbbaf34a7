"""A comparison of runs as lines for a terminal, as a page, as Markdown and as JSON."""
