"""VASP as the reference."""

from ionloop.reference.vasp.reference import VaspReference

__all__ = ["VaspReference"]
