"""A campaign on this machine: one launcher, its workers, and its recovery."""
