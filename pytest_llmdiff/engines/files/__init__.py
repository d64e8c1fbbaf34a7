"""Model files: which there are, how prompts are rendered with them, what was expanded from them."""
