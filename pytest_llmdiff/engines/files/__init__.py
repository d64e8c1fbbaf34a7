"""Model files: finding them, rendering prompts with them, and caching what GGUF expands to."""
