"""Which method fills which list, and whether a night's model may serve."""
