"""What the potential is worth."""
