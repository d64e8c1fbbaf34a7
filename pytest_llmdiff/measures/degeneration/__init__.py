"""Degeneration: replies that no user would take, by kinds of evidence."""
