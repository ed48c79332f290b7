"""The text of vasprun.xml, part by part."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units

from ionloop.testing.vasp_std.incar import expand
from ionloop.testing.vasp_std.inputs import Inputs, kinds_of

#: kB of 1 eV/Å³.
KILOBAR = 10.0 / units.GPa
#: VASP's version, and what tells every document that it wasn't VASP.
VERSION = "6.4.2 stand-in"

GENERATOR = """<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator>
  <i name="program" type="string">vasp </i>
  <i name="version" type="string">{version}  </i>
  <i name="subversion" type="string">ionloop.testing.vasp_std: no VASP, made-up numbers </i>
  <i name="platform" type="string">LinuxGNU </i>
  <i name="date" type="string">2026 01 01 </i>
  <i name="time" type="string">00:00:00 </i>
 </generator>
"""
KPOINTS = """ <kpoints>
  <generation param="Gamma">
   <v type="int" name="divisions"> {0:8d} {1:8d} {2:8d} </v>
   <v name="usershift">      0.00000000       0.00000000       0.00000000 </v>
  </generation>
"""
ATOMS = """ <atominfo>
  <atoms> {n_atoms:7d} </atoms>
  <types> {n_kinds:7d} </types>
  <array name="atoms" >
   <dimension dim="1">ion</dimension>
   <field type="string">element</field>
   <field type="int">atomtype</field>
   <set>
{rows}   </set>
  </array>
  <array name="atomtypes" >
   <dimension dim="1">type</dimension>
   <field type="int">atomspertype</field>
   <field type="string">element</field>
   <field>mass</field>
   <field>valence</field>
   <field type="string">pseudopotential</field>
   <set>
{types}   </set>
  </array>
 </atominfo>
"""


def vectors(rows: np.ndarray | list[list[float]], name: str, indent: str = "   ") -> str:
    """Write an array, shape [n, m]."""
    body = "".join(
        f"{indent} <v> " + " ".join(f"{x:16.8f}" for x in row) + " </v>\n" for row in rows
    )
    return f'{indent}<varray name="{name}" >\n{body}{indent}</varray>\n'


def structure(atoms: Atoms, name: str = "") -> str:
    """Write cell and fractional positions, wrapped into the cell as VASP does."""
    title = f' name="{name}"' if name else ""
    volume = f'    <i name="volume"> {atoms.get_volume():16.8f} </i>\n'
    basis = vectors(atoms.cell.array, "basis", "    ")
    scaled = vectors(atoms.get_scaled_positions(wrap=True), "positions")
    crystal = f"   <crystal>\n{basis}{volume}   </crystal>\n"
    return f"  <structure{title}>\n{crystal}{scaled}  </structure>\n"


def tag(key: str, value: str) -> str:
    """Write a tag with the type that its text has."""
    if value.upper() in {"T", "F", "TRUE", "FALSE", ".TRUE.", ".FALSE."}:
        return f'  <i type="logical" name="{key}"> {value.strip(".")[0].upper()}  </i>\n'
    words = value.split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return f'  <i type="string" name="{key}">{value}</i>\n'
    if len(words) > 1:
        return f'  <v name="{key}"> {" ".join(f"{x:16.8f}" for x in numbers)}</v>\n'
    if numbers[0].is_integer() and "." not in value and "e" not in value.lower():
        return f'  <i type="int" name="{key}">{int(numbers[0]):6d}</i>\n'
    return f'  <i name="{key}"> {numbers[0]:16.8f}</i>\n'


def parameters(inputs: Inputs, n_atoms: int, electrons: float, n_bands: int) -> str:
    """Write the parameters as VASP took them, defaults filled in."""
    tags = inputs.tags
    values = {
        "PREC": tags.get("PREC", "Normal").lower()[:6],
        "ENMAX": f"{inputs.encut:.8f}",
        "EDIFF": f"{inputs.number('EDIFF', 1e-4):.8f}",
        "IALGO": "38",
        "NBANDS": str(n_bands),
        "NELECT": f"{electrons:.8f}",
        "ISMEAR": str(inputs.integer("ISMEAR", 1)),
        "SIGMA": f"{inputs.number('SIGMA', 0.2):.8f}",
        "KSPACING": f"{inputs.number('KSPACING', 0.5):.8f}",
        "LREAL": "T" if tags.get("LREAL", "F").strip(".").upper()[0] in "TAO" else "F",
        "ISPIN": str(inputs.integer("ISPIN", 1)),
        "LASPH": "T" if inputs.flag("LASPH") else "F",
        "NELM": str(inputs.integer("NELM", 60)),
        "NELMIN": str(inputs.integer("NELMIN", 2)),
        "NSW": str(inputs.nsw),
        "IBRION": str(inputs.ibrion),
        "ISIF": str(inputs.isif),
        "POTIM": f"{inputs.number('POTIM', 0.5):.8f}",
        "EDIFFG": f"{inputs.number('EDIFFG', -0.05):.8f}",
        "TEBEG": f"{inputs.number('TEBEG', 0.0):.8f}",
        "TEEND": f"{inputs.number('TEEND', inputs.number('TEBEG', 0.0)):.8f}",
        "ISYM": str(inputs.integer("ISYM", 2)),
        "LORBIT": "0",
        "GGA": tags.get("GGA", "--"),
    }
    if inputs.integer("ISPIN", 1) == 2:
        moments = expand(inputs.tags.get("MAGMOM", f"{n_atoms}*1"))
        values["MAGMOM"] = " ".join(f"{x:.8f}" for x in moments[:n_atoms])
    return "".join(tag(key, value) for key, value in values.items())


def header(
    inputs: Inputs, atoms: Atoms, electrons: float, n_bands: int, *, version: str, reverse: bool
) -> str:
    """Write all that stands before the first step.

    Parameters
    ----------
    inputs
        What was asked.
    atoms
        Where it begins.
    electrons, n_bands
        As the run has them.
    version
        VASP's.
    reverse
        Plant a mistake: species in another order.
    """
    symbols = atoms.get_chemical_symbols()[:: -1 if reverse else 1]
    kinds, counts = kinds_of(symbols)
    potcars = inputs.potcars[:: -1 if reverse else 1]
    rows = "".join(f"    <rc><c>{s:2s}</c><c>{kinds.index(s) + 1:4d} </c></rc>\n" for s in symbols)
    types = "".join(
        f"    <rc><c>{n:4d} </c><c>{s:2s}</c><c> {p['POMASS']} </c><c> {p['ZVAL']} </c>"
        f"<c>  {p['TITEL']}</c></rc>\n"
        for n, s, p in zip(counts, kinds, potcars, strict=True)
    )
    mesh = inputs.mesh_of(atoms.cell.array)
    incar = "".join(tag(key, value) for key, value in inputs.tags.items())
    points = vectors([[0.0] * 3], "kpointlist", "  ") + vectors([[1.0]], "weights", "  ")
    taken = parameters(inputs, len(atoms), electrons, n_bands)
    atominfo = ATOMS.format(n_atoms=len(symbols), n_kinds=len(kinds), rows=rows, types=types)
    return (
        f"{GENERATOR.format(version=version)} <incar>\n{incar} </incar>\n"
        f"{KPOINTS.format(*mesh)}{points} </kpoints>\n"
        f" <parameters>\n{taken} </parameters>\n{atominfo}{structure(atoms, 'initialpos')}"
    )


def energies(energy: float, indent: str, kinetic: float | None = None) -> str:
    """Write an energy block; that of molecular dynamics has the kinetic energy and the total."""
    names = {"e_fr_energy": energy, "e_wo_entrp": energy, "e_0_energy": energy}
    if kinetic is not None:
        names |= {"kinetic": kinetic, "lattice kinetic": 0.0, "nosepot": 0.0, "nosekinetic": 0.0}
        names |= {"total": energy + kinetic}
    rows = "".join(f'{indent} <i name="{name}"> {x:16.8f} </i>\n' for name, x in names.items())
    return f"{indent}<energy>\n{rows}{indent}</energy>\n"


#: Fermi energy, eV: in the middle of the made-up gap.
FERMI = 1.0


def bands(electrons: float, n_bands: int, n_spins: int) -> str:
    """Write made-up eigenvalues with a gap, and a density of states of three points."""
    levels = [-5.0 + 4.0 * i / n_bands for i in range(n_bands)]
    filled = [min(max(electrons / 2 - i, 0.0), 1.0) for i in range(n_bands)]
    rows = "".join(
        f"       <r> {level + (0.0 if occupied else 4.0):10.4f} {occupied:8.4f} </r>\n"
        for level, occupied in zip(levels, filled, strict=True)
    )
    spins = range(1, n_spins + 1)
    points = "".join(
        f'     <set comment="spin {k}">\n      <set comment="kpoint 1">\n{rows}      </set>\n'
        "     </set>\n"
        for k in spins
    )
    states = "".join(
        f'     <set comment="spin {k}">\n'
        + "".join(f"      <r> {e:10.4f} {0.1:8.4f} {electrons:12.4f} </r>\n" for e in (-5, 0, 5))
        + "     </set>\n"
        for k in spins
    )
    columns = "    <field>energy</field>\n    <field>total</field>\n    <field>integrated</field>\n"
    return (
        "  <eigenvalues>\n   <array>\n    <field>eigene</field>\n    <field>occ</field>\n"
        f"    <set>\n{points}    </set>\n   </array>\n  </eigenvalues>\n"
        f'  <dos>\n   <i name="efermi"> {FERMI:16.8f} </i>\n   <total>\n    <array>\n{columns}'
        f"    <set>\n{states}    </set>\n    </array>\n   </total>\n  </dos>\n"
    )
