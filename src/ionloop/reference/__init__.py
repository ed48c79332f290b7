"""Who computes the truth."""
