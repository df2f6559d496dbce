"""Recommenders, their evaluation, and the registry; no Spark."""
