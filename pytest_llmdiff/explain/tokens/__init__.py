"""Both replies token by token, as both models see them."""
