"""Text in any language: its script, its words, and changed forms of it."""
