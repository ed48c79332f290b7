"""Existing calculations of other people, read as frames and their answers."""
