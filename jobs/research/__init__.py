"""Comparisons and searches that never change what is served."""
