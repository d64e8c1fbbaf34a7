"""Pure functions of a text: script, language, words, format, answers, and changed forms of it."""
