"""Tools: what a model is offered, and its calls of them."""
