"""Whether a served model replies as the tuned one does, apart from rounding, and why not."""
