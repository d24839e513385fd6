"""What users and commands call."""
