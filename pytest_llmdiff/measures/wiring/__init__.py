"""Is the tuned model put together correctly? Its files, adapter, template, training."""
