"""One module per step of a night; steps never import steps."""
