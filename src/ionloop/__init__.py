"""Active learning of interatomic potentials for solid electrolytes."""

__version__ = "0.1.0"
