"""What people do with the lake: ask it, look after it, take a night back."""
