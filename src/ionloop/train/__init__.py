"""MACE committees."""
