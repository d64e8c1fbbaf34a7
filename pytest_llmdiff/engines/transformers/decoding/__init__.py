"""Its decode loop, and `generate` where that cannot serve a model."""
