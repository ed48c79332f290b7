"""CP2K kept running between geometries: ASE's calculator over ``cp2k_shell``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase.calculators.calculator import SCFError, all_changes
from ase.calculators.cp2k import CP2K

from ionloop.frame import Frame
from ionloop.reference.cp2k.fixes import quiet_command
from ionloop.reference.cp2k.inputs import IonicSetGenerator, shell_template
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.settings import get_settings


class Cp2kShell(CP2K):
    """ASE's CP2K, which notices that the SCF didn't converge.

    ``cp2k_shell`` answers with the last energy whether or not it converged; only its
    output file says so.
    """

    def calculate(
        self,
        atoms: Any = None,  # noqa: ANN401
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute energy and forces.

        Raises
        ------
        ase.calculators.calculator.SCFError
            If the SCF didn't converge.
        """
        path = Path(f"{self.label}.out")
        before = path.stat().st_size if path.exists() else 0
        super().calculate(atoms, properties, system_changes)
        with path.open(encoding="utf-8") as stream:
            stream.seek(before)
            if "SCF run NOT converged" in stream.read():
                self.results = {}
                msg = f"SCF not converged, see {path.resolve()}; raise Cp2kSettings.max_scf"
                raise SCFError(msg)


def shell_calculator(frame: Frame, dft: Cp2kSettings, label: str) -> Cp2kShell:
    """Start a ``cp2k_shell`` in the working folder, with the static labels' input.

    Parameters
    ----------
    frame
        Gives the elements and the charge.
    dft
        The settings.
    label
        Name of its files, unique in the folder.

    Raises
    ------
    ReferenceSetupError
        If the program or its data can't be found.
    """
    inputs = IonicSetGenerator(dft=dft).get_input_set(frame.to_structure())
    for name in ("basis", "potential"):
        entry = inputs.optional_files[name]
        Path(entry["filename"]).write_text(str(entry["object"]))
    unused = dict.fromkeys(
        ("basis_set", "basis_set_file", "pseudo_potential", "potential_file", "xc", "cutoff")
    )
    return Cp2kShell(
        command=quiet_command(get_settings().cp2k_shell_cmd),
        label=label,
        inp=shell_template(inputs.cp2k_input),
        max_scf=None,
        force_eval_method=None,
        poisson_solver=None,
        print_level=None,
        stress_tensor=False,
        **unused,
    )
