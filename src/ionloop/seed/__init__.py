"""First frames."""
