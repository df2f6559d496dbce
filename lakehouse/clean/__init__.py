"""Bronze rows judged and cleaned into silver, and accounted for."""
