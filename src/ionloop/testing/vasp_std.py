"""A stand-in for VASP: real input files in, real output files out, a pair potential between.

Run as a program, as VASP is. It believes nothing but INCAR, POSCAR, KPOINTS and POTCAR, and
writes vasprun.xml, OUTCAR, OSZICAR, CONTCAR and XDATCAR step by step, so that a kill leaves
what a kill of VASP leaves. It does static calculations, relaxations (IBRION 1, 2, 3),
molecular dynamics (IBRION 0, STOPCAR and restarts) and bands (IMAGES).

What it can't show: whether ENCUT, GGA or a mesh are good. Its energy depends on the cut-off
by a constant an atom, so that mixed settings are seen.

Environment: VASP_STAND_IN_FAIL=mode[:n] fails (the first n runs only), VASP_STAND_IN_LOG
collects one line a run, VASP_STAND_IN_SLEEP waits so many seconds an ionic step.
"""

# ruff: noqa: ANN001, ANN201, D101, D102, D103, T201, B007, E501
# mypy: ignore-errors
from __future__ import annotations

import os
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from scipy.special import erfc

CHARGES = {"Li": 1.0, "Na": 1.0, "O": -2.0, "Cl": -1.0}
#: A (eV) and rho (Å) of A exp(-r / rho); Mouta et al. (2014) where they have one.
PAIRS = {
    frozenset(("Li", "O")): (433.2627, 0.31384),
    frozenset(("Li", "Cl")): (421.0366, 0.3364),
    frozenset(("Li",)): (360.5269, 0.16098),
    frozenset(("O",)): (22764.3, 0.149),
    frozenset(("Cl",)): (1227.2, 0.3214),
    frozenset(("O", "Cl")): (8286.91, 0.2590),
}
CUTOFF, ALPHA, COULOMB = 7.0, 0.25, 14.399645
KB_PER_EV_A3 = 1602.1766208
SCF_STEPS = 7
VERSION = "6.4.2"
MODES = {
    "unconverged", "nan", "killed", "oom", "truncated", "order", "walltime", "refuse", "nostress",
    "charge", "version", "edited", "empty", "hang", "no_vtst", "noforces", "moment",
}  # fmt: skip


class Pairs(Calculator):
    """Born-Mayer repulsion and damped shifted-force Coulomb (Fennell, Gezelter 2006)."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        i, j, d, vectors = neighbor_list("ijdD", atoms, CUTOFF)
        symbols = np.array(atoms.get_chemical_symbols())
        kinds = sorted(set(symbols))
        table = np.array(
            [[PAIRS.get(frozenset((a, b)), (1000.0, 0.3)) for b in kinds] for a in kinds]
        )
        of = np.searchsorted(kinds, symbols)
        a, rho = table[of[i], of[j]].T
        q = np.array([CHARGES.get(s, 0.0) for s in symbols])
        qq = COULOMB * q[i] * q[j]
        slope = 2 * ALPHA / np.sqrt(np.pi)
        edge = erfc(ALPHA * CUTOFF) / CUTOFF
        pull = edge / CUTOFF + slope * np.exp(-((ALPHA * CUTOFF) ** 2)) / CUTOFF
        born = a * np.exp(-d / rho)
        pair = born + qq * (erfc(ALPHA * d) / d - edge + pull * (d - CUTOFF))
        push = born / rho + qq * (
            erfc(ALPHA * d) / d**2 + slope * np.exp(-((ALPHA * d) ** 2)) / d - pull
        )
        along = (push / d)[:, None] * vectors  # force on j from i
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, j, along)
        virial = 0.5 * vectors.T @ along
        stress = -virial / atoms.get_volume()
        self.results = {
            "energy": 0.5 * pair.sum(),
            "free_energy": 0.5 * pair.sum(),
            "forces": forces,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }


# --- input ---


def read_incar(path: Path) -> dict[str, str]:
    tags = {}
    for line in path.read_text().splitlines():
        if "=" in line:
            key, value = line.split("#")[0].split("=", 1)
            tags[key.strip().upper()] = value.strip()
    return tags


def number(tags: dict[str, str], key: str, default: float) -> float:
    try:
        return float(tags.get(key, default))
    except ValueError:
        print(f" Error reading item '{key}' from file INCAR.")
        print(f" Error code was IERR= 5 ... . Found N=    0 data, value {tags[key]}")
        sys.exit(1)


def read_poscar(path: Path) -> tuple[Atoms, np.ndarray | None]:
    lines = path.read_text().splitlines()
    cell = float(lines[1]) * np.array([line.split() for line in lines[2:5]], float)
    counts = [int(n) for n in lines[6].split()]
    symbols = [s for s, n in zip(lines[5].split(), counts, strict=True) for _ in range(n)]
    n = len(symbols)
    rows = np.array([line.split()[:3] for line in lines[8 : 8 + n]], float)
    direct = lines[7].strip().lower().startswith("d")
    atoms = Atoms(symbols, cell=cell, pbc=True, positions=rows @ cell if direct else rows)
    rest = [line.split() for line in lines[8 + n :] if line.strip()]
    rest = rest[1:] if rest and not _is_number(rest[0][0]) else rest
    velocities = np.array(rest[:n], float) if len(rest) >= n and len(rest[0]) == 3 else None
    return atoms, velocities


def _is_number(word: str) -> bool:
    return word.lstrip("+-").replace(".", "", 1)[:1].isdigit()


def read_potcar(path: Path) -> list[dict[str, str]]:
    found = []
    for part in path.read_text().split("End of Dataset"):
        if not part.strip():
            continue
        fields = {}
        for line in part.splitlines():
            for item in line.split(";"):
                if "=" in item:
                    key, value = item.split("=", 1)
                    fields.setdefault(key.strip(), value.split("mass")[0].strip())
        found.append(fields)
    return found


def read_mesh(path: Path) -> list[int]:
    return [int(n) for n in path.read_text().splitlines()[3].split()[:3]]


# --- output ---


def vectors(rows, name: str, indent: str = "   ") -> str:
    body = "".join(
        f"{indent} <v> " + " ".join(f"{x:16.8f}" for x in row) + " </v>\n" for row in rows
    )
    return f'{indent}<varray name="{name}" >\n{body}{indent}</varray>\n'


def structure_xml(atoms: Atoms, name: str = "") -> str:
    title = f' name="{name}"' if name else ""
    volume = f'    <i name="volume"> {atoms.get_volume():16.8f} </i>\n'
    basis = vectors(atoms.cell.array, "basis", "    ")
    scaled = vectors(atoms.get_scaled_positions(wrap=True), "positions")
    return f"  <structure{title}>\n   <crystal>\n{basis}{volume}   </crystal>\n{scaled}  </structure>\n"


def tag_xml(key: str, value: str) -> str:
    if value.upper() in {"T", "F", "TRUE", "FALSE", ".TRUE.", ".FALSE."}:
        return f'  <i type="logical" name="{key}"> {value.strip(".")[0].upper()}  </i>\n'
    words = value.split()
    if len(words) > 1:
        return f'  <v name="{key}"> {" ".join(f"{float(w):16.8f}" for w in words)}</v>\n'
    try:
        number_ = float(value)
    except ValueError:
        return f'  <i type="string" name="{key}">{value}</i>\n'
    if number_.is_integer() and "." not in value and "e" not in value.lower():
        return f'  <i type="int" name="{key}">{int(number_):6d}</i>\n'
    return f'  <i name="{key}"> {number_:16.8f}</i>\n'


class Writer:
    """The files of one folder, grown step by step."""

    def __init__(self, folder: Path, job: Job, atoms: Atoms) -> None:
        self.folder, self.job, self.n = folder, job, 0
        self.begin = time.time()
        self.scaled = atoms.get_scaled_positions(wrap=True)
        names = ("vasprun.xml", "OUTCAR", "OSZICAR", "XDATCAR")
        self.files = {name: (folder / name).open("w") for name in names}
        self.put("vasprun.xml", self.header(atoms))
        self.put("OUTCAR", self.outcar_header())
        cell = "".join(
            "  " + " ".join(f"{x:12.6f}" for x in row) + "\n" for row in atoms.cell.array
        )
        kinds, counts = self.job.kinds_of(atoms)
        self.put(
            "XDATCAR", f"stand-in\n           1\n{cell} {' '.join(kinds)}\n {' '.join(counts)}\n"
        )

    def put(self, name: str, text: str) -> None:
        self.files[name].write(text)
        self.files[name].flush()

    def header(self, atoms: Atoms) -> str:
        job = self.job
        kinds, counts = job.kinds_of(atoms)
        symbols = atoms.get_chemical_symbols()
        titles = [p["TITEL"] for p in job.potcars]
        if job.fails("order"):
            kinds, counts, symbols, titles = kinds[::-1], counts[::-1], symbols[::-1], titles[::-1]
        version = "6.3.0" if job.fails("version") else VERSION
        mesh = job.mesh
        rows = "".join(
            f"    <rc><c>{s:2s}</c><c>{kinds.index(s) + 1:4d} </c></rc>\n" for s in symbols
        )
        types = "".join(
            f"    <rc><c>{n:>4s} </c><c>{s:2s}</c><c> {p['POMASS']} </c><c> {p['ZVAL']} </c>"
            f"<c>  {t}</c></rc>\n"
            for n, s, p, t in zip(counts, kinds, job.potcars, titles, strict=True)
        )
        return (
            '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n <generator>\n'
            '  <i name="program" type="string">vasp </i>\n'
            f'  <i name="version" type="string">{version}  </i>\n'
            '  <i name="subversion" type="string">stand-in </i>\n'
            '  <i name="platform" type="string">LinuxGNU </i>\n'
            '  <i name="date" type="string">2026 01 01 </i>\n'
            '  <i name="time" type="string">00:00:00 </i>\n </generator>\n'
            f" <incar>\n{''.join(tag_xml(k, v) for k, v in job.tags.items())} </incar>\n"
            ' <kpoints>\n  <generation param="Gamma">\n'
            f'   <v type="int" name="divisions"> {mesh[0]:8d} {mesh[1]:8d} {mesh[2]:8d} </v>\n'
            f'   <v name="usershift"> {0:16.8f} {0:16.8f} {0:16.8f} </v>\n  </generation>\n'
            f"{vectors([[0.0, 0.0, 0.0]], 'kpointlist', '  ')}{vectors([[1.0]], 'weights', '  ')}"
            f" </kpoints>\n <parameters>\n{self.parameters()} </parameters>\n <atominfo>\n"
            f"  <atoms> {len(symbols):7d} </atoms>\n  <types> {len(kinds):7d} </types>\n"
            '  <array name="atoms" >\n   <dimension dim="1">ion</dimension>\n'
            '   <field type="string">element</field>\n   <field type="int">atomtype</field>\n'
            f'   <set>\n{rows}   </set>\n  </array>\n  <array name="atomtypes" >\n'
            '   <dimension dim="1">type</dimension>\n   <field type="int">atomspertype</field>\n'
            '   <field type="string">element</field>\n   <field>mass</field>\n'
            '   <field>valence</field>\n   <field type="string">pseudopotential</field>\n'
            f"   <set>\n{types}   </set>\n  </array>\n </atominfo>\n"
            + structure_xml(atoms, "initialpos")
        )

    def parameters(self) -> str:
        job = self.job
        values = {
            "PREC": job.tags.get("PREC", "Normal").lower()[:6],
            "ENMAX": f"{job.encut:.8f}",
            "EDIFF": f"{job.value('EDIFF', 1e-4):.8f}",
            "IALGO": "38",
            "NBANDS": str(job.n_bands),
            "NELECT": f"{job.electrons + 1.0 * job.fails('charge'):.8f}",
            "ISMEAR": str(int(job.value("ISMEAR", 1))),
            "SIGMA": f"{job.value('SIGMA', 0.2):.8f}",
            "LREAL": "T" if job.tags.get("LREAL", "F").strip(".").upper()[0] in "TA" else "F",
            "ISPIN": str(int(job.value("ISPIN", 1))),
            "LASPH": job.tags.get("LASPH", "F"),
            "NELM": str(job.nelm),
            "NELMIN": str(int(job.value("NELMIN", 2))),
            "NSW": str(job.nsw),
            "IBRION": str(job.ibrion),
            "ISIF": str(job.isif),
            "POTIM": f"{job.value('POTIM', 0.5):.8f}",
            "EDIFFG": f"{job.value('EDIFFG', -0.05):.8f}",
            "ISYM": str(int(job.value("ISYM", 2))),
            "LORBIT": "0",
            "GGA": job.tags.get("GGA", "--"),
        }
        return "".join(tag_xml(k, v) for k, v in values.items())

    def outcar_header(self) -> str:
        job = self.job
        vtst = "" if job.fails("no_vtst") else " VTST: version 4.2, (03/10/23)\n"
        line = "-" * 104
        return (
            f" vasp.{VERSION} stand-in\n running on    1 total cores\n{vtst}"
            f"   k-points           NKPTS = {1:6d}   k-points in BZ     NKDIM = {1:6d}"
            f"   number of bands    NBANDS= {job.n_bands:6d}\n"
            f"   total plane-waves  NPLWV =  10000\n   ISPIN  = {int(job.value('ISPIN', 1)):6d}\n"
            f"   IBRION = {job.ibrion:6d}\n   NELECT = {job.electrons:12.4f}\n"
            f"\n\n{line}\n\n\n k-point   1 :   0.0000 0.0000 0.0000  plane waves:    1000\n\n"
            f" maximum and minimum number of plane-waves per node :      1000     1000\n"
        )

    def scf(self, energy: float, steps: int) -> None:
        self.put("vasprun.xml", " <calculation>\n")
        self.put(
            "OSZICAR",
            "       N       E                     dE             d eps       ncg     rms\n",
        )
        for k in range(1, steps + 1):
            now = energy + (0.0 if k == steps else 10.0 ** (1 - k))
            self.put(
                "OSZICAR",
                f"DAV: {k:3d}   {now:18.12E}   {-(10.0 ** (1 - k)):12.5E}  {-(10.0 ** (1 - k)):12.5E}"
                f"  1000   0.100E-02\n",
            )
            three = "".join(
                f'    <i name="{name}"> {now:16.8f} </i>\n'
                for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy")
            )
            self.put("vasprun.xml", f"  <scstep>\n   <energy>\n{three}   </energy>\n  </scstep>\n")
            self.put("OUTCAR", "      LOOP:  cpu time    0.0100: real time    0.0100\n")

    def step(self, atoms: Atoms, *, steps: int = SCF_STEPS, kinetic: float = 0.0) -> None:
        job = self.job
        energy, forces = job.energy(atoms), atoms.get_forces()
        if job.fails("nan"):
            energy, forces = np.nan, np.full_like(forces, np.nan)
        converged = not (job.fails("unconverged") or job.fails("walltime"))
        if job.fails("unconverged"):
            steps = job.nelm
        self.scf(energy, steps)
        if job.fails("killed") or job.fails("oom"):
            if job.fails("oom"):
                print("slurmstepd: error: Detected 1 oom_kill event", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if job.fails("hang"):
            time.sleep(600)
        time.sleep(float(os.environ.get("VASP_STAND_IN_SLEEP", "0")))
        self.n += 1
        text = structure_xml(atoms)
        if not job.fails("noforces"):
            text += vectors(forces, "forces", "  ")
        if job.isif and not job.fails("nostress"):
            text += vectors(-atoms.get_stress(voigt=False) * KB_PER_EV_A3, "stress", "  ")
        names = ["e_fr_energy", "e_wo_entrp", "e_0_energy"]
        values = "".join(f'   <i name="{name}"> {energy:16.8f} </i>\n' for name in names)
        self.put("vasprun.xml", f"{text}  <energy>\n{values}  </energy>\n </calculation>\n")
        mark = "because EDIFF is reached" if converged else "EDIFF was not reached (unconverged)"
        rows = "".join(
            " "
            + " ".join(f"{x:12.5f}" for x in row)
            + "   "
            + " ".join(f"{x:13.6f}" for x in force)
            + "\n"
            for row, force in zip(atoms.get_positions(wrap=True), forces, strict=True)
        )
        line = " " + "-" * 83 + "\n"
        self.put(
            "OUTCAR",
            f"------------------------ aborting loop {mark} -------------------------\n"
            f" E-fermi :   1.0000     XC(G=0):  -5.0000     alpha+bet : -4.0000\n"
            f" POSITION                                       TOTAL-FORCE (eV/Angst)\n{line}{rows}{line}"
            f"    total drift:                                0.000000      0.000000      0.000000\n"
            f"  free  energy   TOTEN  = {energy:18.8f} eV\n"
            f"  energy  without entropy= {energy:18.8f}  energy(sigma->0) = {energy:18.8f}\n"
            f"     LOOP+:  cpu time    0.1000: real time    0.1000\n",
        )
        temperature = f"T= {kinetic / (1.5 * units.kB * len(atoms)):6.0f}. " if kinetic else ""
        moment = (
            f" mag= {3.0 if job.fails('moment') else 0.0:9.4f}"
            if job.value("ISPIN", 1) == 2
            else ""
        )
        self.put(
            "OSZICAR",
            f"{self.n:4d} {temperature}F= {energy:.8E} E0= {energy:.8E}  d E ={0.0:.6E}{moment}\n",
        )
        scaled = atoms.get_scaled_positions(wrap=True)
        self.put("XDATCAR", f"Direct configuration={self.n:6d}\n")
        self.put(
            "XDATCAR", "".join("  " + " ".join(f"{x:11.8f}" for x in r) + "\n" for r in scaled)
        )
        self.contcar(atoms)
        self.last = atoms.copy()

    def contcar(self, atoms: Atoms) -> None:
        kinds, counts = self.job.kinds_of(atoms)
        lines = ["stand-in", "   1.00000000000000"]
        lines += ["  " + " ".join(f"{x:21.16f}" for x in row) for row in atoms.cell.array]
        lines += ["   " + "   ".join(kinds), "   " + "   ".join(counts), "Direct"]
        lines += [
            "  " + " ".join(f"{x:19.16f}" for x in row) for row in atoms.get_scaled_positions()
        ]
        if self.job.ibrion == 0:
            velocities = atoms.get_velocities() * units.fs
            lines += ["", *("  " + " ".join(f"{x:15.8E}" for x in row) for row in velocities)]
        (self.folder / "CONTCAR").write_text("\n".join(lines) + "\n")

    def close(self, *, accurate: bool = False, stop: str = "") -> None:
        if stop:
            self.put("OUTCAR", f" {stop} stop encountered!  aborting job ...\n")
        if accurate:
            self.put(
                "OUTCAR", " reached required accuracy - stopping structural energy minimisation\n"
            )
        self.put("vasprun.xml", structure_xml(self.last, "finalpos") + "</modeling>\n")
        self.put(
            "OUTCAR",
            " General timing and accounting informations for this job:\n"
            " ========================================================\n"
            f"                  Total CPU time used (sec): {time.process_time():12.3f}\n"
            f"                         Elapsed time (sec): {time.time() - self.begin:12.3f}\n",
        )
        for file in self.files.values():
            file.close()
        if self.job.fails("truncated"):
            path = self.folder / "vasprun.xml"
            path.write_bytes(path.read_bytes()[: int(0.8 * path.stat().st_size)])


# --- runs ---


class Job:
    def __init__(self) -> None:
        mode, _, times = os.environ.get("VASP_STAND_IN_FAIL", "").partition(":")
        if mode and mode not in MODES:
            sys.exit(f"unknown VASP_STAND_IN_FAIL {mode}; one of {sorted(MODES)}")
        log = Path(os.environ.get("VASP_STAND_IN_LOG", os.devnull))
        done = len(log.read_text().splitlines()) if log.is_file() else 0
        with log.open("a") as stream:
            stream.write(f"{Path.cwd()}\n")
        self.mode = mode if not times or done < int(times) else ""
        if self.fails("empty"):
            print("vasp_std: error while loading shared libraries: libmkl.so", file=sys.stderr)
            sys.exit(127)
        self.tags = read_incar(Path("INCAR"))
        self.potcars = read_potcar(Path("POTCAR"))
        self.mesh = read_mesh(Path("KPOINTS"))
        self.encut = self.value("ENCUT", max(float(p["ENMAX"]) for p in self.potcars))
        self.nelm = int(self.value("NELM", 60))
        self.nsw = int(self.value("NSW", 0))
        self.ibrion = int(self.value("IBRION", -1 if self.nsw < 2 else 0))
        self.isif = int(self.value("ISIF", 0 if self.ibrion == 0 else 2))
        self.images = int(self.value("IMAGES", 0))
        if self.fails("refuse"):
            print(
                "|  VERY BAD NEWS! internal error in subroutine SGRCON:  Found some non-integer |"
            )
            sys.exit(1)
        if self.fails("edited"):
            path = Path("INCAR")
            path.write_text(path.read_text().replace("ALGO = Normal", "ALGO = Fast"))
        self.electrons = 0.0
        self.n_bands = 8

    def value(self, key: str, default: float) -> float:
        return number(self.tags, key, default)

    def fails(self, mode: str) -> bool:
        return self.mode == mode

    def load(self, path: Path) -> tuple[Atoms, np.ndarray | None]:
        atoms, velocities = read_poscar(path)
        kinds, counts = self.kinds_of(atoms)
        elements = [p["VRHFIN"].split(":")[0].strip() for p in self.potcars]
        if len(kinds) != len(elements):
            print(" ERROR: number of potentials on File POTCAR incompatible with number of species")
            sys.exit(1)
        if kinds != elements:
            print(" WARNING: type information on POSCAR and POTCAR are incompatible")
            print("          POTCAR overwrites the type information in POSCAR")
            atoms.symbols = [
                e for e, n in zip(elements, counts, strict=True) for _ in range(int(n))
            ]
        neutral = sum(int(n) * float(p["ZVAL"]) for n, p in zip(counts, self.potcars, strict=True))
        self.electrons = self.value("NELECT", neutral)
        self.charge = neutral - self.electrons
        self.n_bands = int(self.electrons / 2) + 8
        atoms.calc = Pairs()
        return atoms, velocities

    def kinds_of(self, atoms: Atoms) -> tuple[list[str], list[str]]:
        kinds, counts = [], []
        for symbol in atoms.get_chemical_symbols():
            if not kinds or kinds[-1] != symbol:
                kinds.append(symbol)
                counts.append(0)
            counts[-1] += 1
        return kinds, [str(n) for n in counts]

    def energy(self, atoms: Atoms) -> float:
        return atoms.get_potential_energy() + 200.0 * len(atoms) / self.encut + 2.0 * self.charge


def stop_word() -> str:
    path = Path("STOPCAR")
    if not path.exists():
        return ""
    text = path.read_text().upper()
    path.unlink()
    return "hard" if "LABORT" in text else "soft"


def static(job: Job) -> None:
    atoms, _ = job.load(Path("POSCAR"))
    out = Writer(Path(), job, atoms)
    out.step(atoms)
    out.close(stop="hard" if job.fails("walltime") else "")


def relax(job: Job) -> None:
    from ase.optimize import BFGS

    atoms, _ = job.load(Path("POSCAR"))
    out = Writer(Path(), job, atoms)
    force = -job.value("EDIFFG", -0.05)
    done = False
    for _ in BFGS(atoms, logfile=None).irun(fmax=force, steps=job.nsw - 1):
        out.step(atoms)
        done = np.linalg.norm(atoms.get_forces(), axis=1).max() < force
    out.close(accurate=bool(done))


def dynamics(job: Job) -> None:
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

    atoms, velocities = job.load(Path("POSCAR"))
    temperature, dt = job.value("TEBEG", 300), job.value("POTIM", 1.0) * units.fs
    rng = np.random.default_rng(int(float(job.tags.get("RANDOM_SEED", "0").split()[0])))
    if velocities is None:
        MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
    else:
        atoms.set_velocities(velocities / units.fs)
    out = Writer(Path(), job, atoms)
    stop = ""
    mode = job.mode
    job.mode = "" if mode in {"killed", "oom", "walltime", "hang"} else mode
    for k in range(job.nsw):
        if k == job.nsw // 2:
            job.mode = mode  # half of the steps are there when it goes wrong
        half = atoms.get_momenta() + 0.5 * dt * atoms.get_forces()
        out.step(atoms, kinetic=atoms.get_kinetic_energy())
        atoms.positions += dt * half / atoms.get_masses()[:, None]
        momenta = half + 0.5 * dt * atoms.get_forces()
        atoms.set_momenta(
            momenta * np.sqrt(1 + 0.05 * (temperature / max(atoms.get_temperature(), 1) - 1))
        )
        out.contcar(atoms)
        stop = stop_word() or ("soft" if job.fails("walltime") else "")
        if stop:
            break
    out.close(stop=stop)


def band(job: Job) -> None:
    from ase.mep import NEB
    from ase.optimize import FIRE

    folders = [Path(f"{i:02d}") for i in range(job.images + 2)]
    images = [job.load(folder / "POSCAR")[0] for folder in folders]
    for previous, image in pairwise(images):  # nearest images
        step = image.get_scaled_positions(wrap=False) - previous.get_scaled_positions(wrap=False)
        image.positions -= np.rint(step) @ image.cell.array
    outs = [Writer(f, job, a) for f, a in list(zip(folders, images, strict=True))[1:-1]]
    climb = job.tags.get("LCLIMB", "F").strip(".").upper().startswith("T") and not job.fails(
        "no_vtst"
    )
    neb = NEB(images, k=1.0, climb=climb, method="improvedtangent")
    force = -job.value("EDIFFG", -0.05)
    optimizer = FIRE(neb, logfile=None, maxstep=0.1)
    done = False
    for done in optimizer.irun(fmax=force, steps=job.nsw - 1):
        for out, image in zip(outs, images[1:-1], strict=True):
            out.step(image)
    for out in outs:
        out.close(accurate=bool(done))


def main() -> None:
    job = Job()
    print(" running    1 mpi-ranks, on    1 nodes", flush=True)
    if job.images:
        band(job)
    elif job.nsw == 0 or job.ibrion == -1:
        static(job)
    elif job.ibrion == 0:
        dynamics(job)
    else:
        relax(job)


if __name__ == "__main__":
    main()
