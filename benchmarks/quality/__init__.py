"""How good the lists are, on four dates of Complete Journey: `docs/quality.md`."""
