"""Molecular dynamics and bands on the committee."""
