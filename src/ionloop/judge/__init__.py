"""Stop or go on, and why."""
