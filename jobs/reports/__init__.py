"""Pages about nights, for people."""
