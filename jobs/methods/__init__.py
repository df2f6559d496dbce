"""Methods that stand on what ``models`` must not import."""
