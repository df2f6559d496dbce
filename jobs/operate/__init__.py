"""What people do with nights, models and releases."""
