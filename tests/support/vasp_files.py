"""vasprun.xml and OUTCAR as VASP writes them, of numbers that a test chooses."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

#: Parameters that VASP resolves, as vasprun.xml has them.
PARAMETERS = {
    "PREC": ("string", "accura"), "ENMAX": ("", "520.0"), "EDIFF": ("", "0.000001"),
    "NELECT": ("", "8.0"), "ISMEAR": ("int", "0"), "SIGMA": ("", "0.05"),
    "KSPACING": ("", "0.5"), "KGAMMA": ("logical", "T"), "LREAL": ("logical", "F"),
    "ISPIN": ("int", "1"), "LASPH": ("logical", "T"), "NELM": ("int", "60"),
    "ADDGRID": ("logical", "F"), "NSW": ("int", "9"), "IBRION": ("int", "0"),
    "PSTRESS": ("", "0.0"), "TEBEG": ("", "600.0"), "TEEND": ("", "600.0"),
    "GGA": ("string", "PE"), "LDAU": ("logical", "F"), "LHFCALC": ("logical", "F"),
}  # fmt: skip


@dataclass
class Run:
    """A VASP run of LiCl: two atoms, some steps.

    Parameters
    ----------
    energies
        Free energy of each step, eV.
    n_scf
        Electronic steps of each step.
    stress
        Stress in kB with VASP's sign, shape [3, 3].
    tags
        INCAR tags, as type and text.
    """

    energies: tuple[float, ...] = (-7.0, -7.125)
    n_scf: tuple[int, ...] = (12, 8)
    stress: np.ndarray = field(
        default_factory=lambda: np.array([[1.0, 0.4, 0.6], [0.4, 2.0, 0.5], [0.6, 0.5, 3.0]])
    )
    tags: dict[str, tuple[str, str]] = field(default_factory=dict)
    mesh: tuple[int, int, int] = (4, 4, 4)
    version: str = "6.4.2"

    @property
    def cell(self) -> np.ndarray:
        """The cell, Å; left-handed entries nowhere."""
        return np.array([[0.0, 2.57, 2.57], [2.57, 0.0, 2.57], [2.57, 2.57, 0.0]])

    def fractions(self, i: int) -> np.ndarray:
        """Fractional positions of step ``i``."""
        return np.array([[0.01 * i, 0.0, 0.0], [0.5, 0.5, 0.49]])

    def forces(self, i: int) -> np.ndarray:
        """Forces of step ``i``, eV/Å."""
        return np.array([[0.125 + i, -0.25, 0.5], [-0.125 - i, 0.25, -0.5]])

    def xml(self, *, cut: int = 0, cell_tags: str = "") -> str:
        """Return vasprun.xml; ``cut`` characters are missing at its end."""
        parameters = {**PARAMETERS, **{k: v for k, v in self.tags.items() if k in PARAMETERS}}
        text = "\n".join(
            [
                '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n <generator>',
                f'  <i name="version" type="string">{self.version}  </i>\n </generator>\n <incar>',
                *(_tag(k, *v) for k, v in self.tags.items()),
                ' </incar>\n <kpoints>\n  <generation param="Gamma">',
                f'   <v type="int" name="divisions">{_row(self.mesh)}</v>',
                '  </generation>\n  <varray name="kpointlist" >\n   <v> 0.0 0.0 0.0 </v>',
                '   <v> 0.25 0.0 0.0 </v>\n  </varray>\n  <varray name="weights" >',
                "   <v> 0.5 </v>\n   <v> 0.5 </v>\n  </varray>\n </kpoints>\n <parameters>",
                *(_tag(k, *v) for k, v in parameters.items()),
                " </parameters>",
                ATOMS,
                self._structure(0, ' name="initialpos"'),
                *(self._calculation(i) for i in range(len(self.energies))),
                self._structure(len(self.energies) - 1, ' name="finalpos"'),
                "</modeling>\n",
            ]
        )
        return text[: len(text) - cut] if cut else text

    def _structure(self, i: int, name: str = "") -> str:
        return (
            f' <structure{name} >\n  <crystal>\n   <varray name="basis" >\n{_rows(self.cell)}'
            f'   </varray>\n  </crystal>\n  <varray name="positions" >\n'
            f"{_rows(self.fractions(i))}  </varray>\n </structure>"
        )

    def _calculation(self, i: int) -> str:
        """Return a step; its e_0_energy is the entropy term, as VASP 5.4 has it."""
        energy = self.energies[i]
        scf = "".join(
            f"  <scstep>\n{_energies(energy + 1.0 / (k + 1) ** 8, energy)}  </scstep>\n"
            for k in range(self.n_scf[i])
        )
        return (
            f" <calculation>\n{scf}{self._structure(i)}\n"
            f'  <varray name="forces" >\n{_rows(self.forces(i))}  </varray>\n'
            f'  <varray name="stress" >\n{_rows(self.stress)}  </varray>\n'
            f"{_energies(energy, 0.0312)} </calculation>"
        )

    def outcar(self, *, echo: bool = True, scf_end: str = "EDIFF is reached") -> str:
        """Return an OUTCAR; ``echo`` repeats the INCAR, as VASP 6 does."""
        incar = "".join(f"   {k} = {v[1].strip()}\n" for k, v in self.tags.items())
        header = OUTCAR_HEADER.format(
            version=self.version,
            incar=f"   SYSTEM = LiCl\n{incar}" if echo else "",
            mesh="".join(f"{n:5d}" for n in self.mesh),
            vectors="".join(f"   {_row(row)} {_row(row)}\n" for row in self.cell),
            nelm=self.tags.get("NELM", PARAMETERS["NELM"])[1],
        )
        return header + "".join(self._outcar_step(i, scf_end) for i in range(len(self.energies)))

    def _outcar_step(self, i: int, scf_end: str) -> str:
        xx, xy, zx, _, yy, yz, _, _, zz = self.stress.ravel()
        iterations = "".join(
            f"--------------------------------------- Iteration {i + 1:6d}({k + 1:4d})  ------\n"
            for k in range(self.n_scf[i])
        )
        atoms = "".join(
            f" {_row(r)} {_row(f)}\n"
            for r, f in zip(self.fractions(i) @ self.cell, self.forces(i), strict=True)
        )
        vectors = "".join(f"   {_row(row)} {_row(row)}\n" for row in self.cell)
        energy = self.energies[i]
        return (
            f"{iterations}------------------------ aborting loop because {scf_end} -------\n"
            f"  in kB  {_row((xx, yy, zz, xy, yz, zx))}\n"
            "  external pressure =        2.00 kB  Pullay stress =        0.00 kB\n"
            "      direct lattice vectors                 reciprocal lattice vectors\n"
            f"{vectors}"
            " POSITION                                       TOTAL-FORCE (eV/Angst)\n"
            " ---------------------------------------------------------------------\n"
            f"{atoms}"
            "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n"
            "  ---------------------------------------------------\n"
            f"  free  energy   TOTEN  =  {energy:18.8f} eV\n\n"
            f"  energy  without entropy= {energy - 0.02:18.8f}  energy(sigma->0) ="
            f" {energy - 0.01:18.8f}\n \n"
        )


ATOMS = """ <atominfo>
  <atoms>       2 </atoms>
  <types>       2 </types>
  <array name="atoms" >
   <set>
    <rc><c>Li</c><c>   1</c></rc>
    <rc><c>Cl</c><c>   2</c></rc>
   </set>
  </array>
  <array name="atomtypes" >
   <set>
    <rc><c>   1</c><c>Li</c><c>  7.010</c><c>  1.000</c><c>  PAW_PBE Li 17Jan2003   </c></rc>
    <rc><c>   1</c><c>Cl</c><c> 35.453</c><c>  7.000</c><c>  PAW_PBE Cl 06Sep2000   </c></rc>
   </set>
  </array>
 </atominfo>"""

OUTCAR_HEADER = """ vasp.{version} 20Jan22 (build May 08 2022 00:08:36) complex

 INCAR:
{incar}
 POTCAR:    PAW_PBE Li 17Jan2003
 POTCAR:    PAW_PBE Cl 06Sep2000
 POTCAR:    PAW_PBE Li 17Jan2003
   TITEL  = PAW_PBE Li 17Jan2003
   POMASS =    7.010; ZVAL   =    1.000    mass and valenz
 POTCAR:    PAW_PBE Cl 06Sep2000
   TITEL  = PAW_PBE Cl 06Sep2000
   POMASS =   35.453; ZVAL   =    7.000    mass and valenz
   ions per type =               1   1
      direct lattice vectors                 reciprocal lattice vectors
{vectors} generate k-points for:{mesh}
   k-points           NKPTS =      2   k-points in BZ     NKDIM =      2   NBANDS=     8
 k-points in reciprocal lattice and weights: mesh
   0.00000000  0.00000000  0.00000000       0.500
   0.25000000  0.00000000  0.00000000       0.500

   PREC   = accura    normal or accurate (medium, high low for compatibility)
   ISPIN  =      1    spin polarized calculation?
   LASPH  =      T    aspherical Exc in radial PAW
   LSORBIT =      F    spin-orbit coupling
   METAGGA=      F    non-selfconsistent MetaGGA calc.
   ENCUT  =  520.0 eV  38.22 Ry    6.18 a.u.   7.25  7.25  7.25*2*pi/ulx,y,z
   NELM   = {nelm:>6};   NELMIN=  4; NELMDL= -5     # of ELM steps
   EDIFF  = 0.1E-05   stopping-criterion for ELM
   LREAL  =      F    real-space projection
   IBRION =      0    ionic relax: 0-MD 1-quasi-New 2-CG
   TEBEG  =  600.0;   TEEND  = 600.0 temperature during run
   ZVAL   =   1.00  7.00
   NELECT =       8.0000    total number of electrons
   ISMEAR =     0;   SIGMA  =   0.05  broadening in eV -4-tet -1-fermi 0-gaus
   GGA     =    PE    GGA type
   LHFCALC =     F    Hartree Fock is set to
"""


def _tag(name: str, kind: str, text: str) -> str:
    type_ = f' type="{kind}"' if kind else ""
    return f'  <i{type_} name="{name}">{text}</i>'


def _row(values: object) -> str:
    return " ".join(f"{x:16.8f}" if isinstance(x, float) else str(x) for x in values)


def _rows(values: np.ndarray) -> str:
    return "".join(f"    <v>{_row(row)} </v>\n" for row in values)


def _energies(free: float, zero: float) -> str:
    return (
        f'  <energy>\n   <i name="e_fr_energy">{free:16.8f} </i>\n'
        f'   <i name="e_wo_entrp">{free:16.8f} </i>\n   <i name="e_0_energy">{zero:16.8f} </i>\n'
        "  </energy>\n"
    )
