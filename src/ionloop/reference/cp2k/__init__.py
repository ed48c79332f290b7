"""CP2K as the reference."""

from ionloop.reference.cp2k.reference import Cp2kReference

__all__ = ["Cp2kReference"]
