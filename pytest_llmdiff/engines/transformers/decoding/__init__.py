"""A decode loop over transformers' models, and `generate` for models that it cannot run."""
