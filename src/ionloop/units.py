"""One place for conversions. Inside ionloop: eV, Å, fs, K, e.

Constants are CODATA values as :mod:`scipy.constants` ships them.
"""

from scipy import constants as _c

#: Boltzmann's constant in eV/K.
KB_EV_PER_K: float = _c.physical_constants["Boltzmann constant in eV/K"][0]
#: Hartree in eV.
HARTREE_EV: float = _c.physical_constants["Hartree energy in eV"][0]
#: Bohr radius in Å.
BOHR_ANGSTROM: float = _c.physical_constants["Bohr radius"][0] * 1e10
#: Hartree/bohr in eV/Å.
HARTREE_PER_BOHR_EV_PER_ANGSTROM: float = HARTREE_EV / BOHR_ANGSTROM
#: GPa in eV/Å³.
GPA_EV_PER_A3: float = 1e9 * 1e-30 / _c.e
#: Kilobar in eV/Å³.
KBAR_EV_PER_A3: float = 0.1 * GPA_EV_PER_A3


def diffusivity_to_cm2_per_s(d_a2_per_fs: float) -> float:
    """Convert a diffusivity from Å²/fs to cm²/s (1 Å²/fs = 0.1 cm²/s)."""
    return d_a2_per_fs * 0.1


def conductivity_to_ms_per_cm(sigma_e2_per_ev_a_fs: float) -> float:
    """Convert a conductivity from e²/(eV Å fs) to mS/cm (1 e²/(eV Å fs) = 1.602e7 mS/cm)."""
    # e / (V Å fs) in A / (V m) = S/m; 1 S/m = 10 mS/cm.
    return sigma_e2_per_ev_a_fs * _c.e / (1e-10 * 1e-15) * 10
