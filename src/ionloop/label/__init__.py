"""Batches of labels: fail-soft, never the same frame twice."""
