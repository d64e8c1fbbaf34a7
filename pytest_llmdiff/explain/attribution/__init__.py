"""How much each word of a prompt matters to a reply."""
