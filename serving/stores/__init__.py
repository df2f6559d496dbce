"""The key-value stores that releases live in."""
