"""PEFT adapters: what binds to the base, what does not fit, and how large the update is."""
