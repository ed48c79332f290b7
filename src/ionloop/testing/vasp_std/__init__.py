"""A stand-in for VASP: real input files in, real output files out, a pair potential between.

``python -m ionloop.testing.vasp_std`` runs in a folder as ``vasp_std`` does. It believes
nothing but INCAR, POSCAR, KPOINTS and POTCAR, refuses what VASP refuses, and writes
vasprun.xml, OUTCAR, OSZICAR, CONTCAR and XDATCAR step by step, so that a kill leaves what a
kill of VASP leaves. It does static calculations, relaxations (IBRION 1, 2, 3), molecular
dynamics (IBRION 0) and bands (IMAGES), and heeds STOPCAR.

Its numbers mean nothing, and can't be mistaken for VASP's: it takes made-up POTCARs only
(:mod:`ionloop.testing.potcars`), whose hashes stand in the settings of each label, and calls
itself ``6.4.2 stand-in``, which stands in each label's engine.

What it can't show: whether ENCUT, functional or mesh are good. Its energy depends on the
cut-off by a constant an atom, and on the charge, so that mixed settings are seen.

==========================  =================================================================
``VASP_STAND_IN_FAIL``      ``mode`` or ``mode:n``: fail, always or in the first n runs; the
                            modes are those of :data:`ionloop.testing.vasp_std.faults.MODES`
``VASP_STAND_IN_LOG``       a file that gets one line a run: counts what was started
``VASP_STAND_IN_SLEEP``     seconds that an ionic step takes besides
==========================  =================================================================
"""

from ionloop.testing.vasp_std.potential import Pairs, total_energy

__all__ = ["Pairs", "total_energy"]
