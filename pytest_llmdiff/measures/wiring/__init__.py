"""Is the tuned model put together right? Files, adapter, template, training."""
