"""What people did with what they were shown: received, kept for the night, acted on at once."""
