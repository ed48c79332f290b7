"""atomate2's own Makers, their own input sets and custodian's own handlers, over the stand-in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from atomate2.vasp.flows.md import MultiMDMaker
from atomate2.vasp.jobs.base import BaseVaspMaker
from atomate2.vasp.jobs.core import RelaxMaker, StaticMaker
from atomate2.vasp.jobs.md import MDMaker
from atomate2.vasp.jobs.neb import NebFromEndpointsMaker, NebFromImagesMaker
from emmet.core.neb import NebTaskDoc
from emmet.core.tasks import TaskDoc
from jobflow import Flow, Job, JobStore, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import SETTINGS, Structure
from pymatgen.io.vasp import Oszicar

from ionloop.reference.vasp.facts import potcars_in
from ionloop.testing.potcars import MARK, RELEASES, write_potcars

pytestmark = [
    # What atomate2, pymatgen and emmet say to each other.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore:.*is an unconverged VASP run"),
]


@pytest.fixture(autouse=True)
def machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up POTCARs of the releases that pymatgen's sets look for; runs are counted."""
    psp = write_potcars(folder / "psp", releases=RELEASES)
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(psp))
    monkeypatch.setenv("VASP_STAND_IN_LOG", str(folder / "runs.log"))


def over_stand_in(maker: BaseVaspMaker) -> BaseVaspMaker:
    """Name the command and how often custodian looks; nothing else changes."""
    import sys

    command = f"{sys.executable} -m ionloop.testing.vasp_std"
    looks = {"polling_time_step": 0.1, "monitor_freq": 10}
    own = {"vasp_cmd": command, "vasp_gamma_cmd": command, "custodian_kwargs": looks}
    maker.run_vasp_kwargs = {**maker.run_vasp_kwargs, **own}
    return maker


def run(part: Flow | Job, folder: Path) -> object:
    """Run to the end; returns the output of the last job."""
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    options = {"create_folders": True, "raise_immediately": True, "log": False}
    run_locally(part, store=store, root_dir=folder, **options)
    return store.get_output(part.output.uuid, load=True)


def test_static(folder: Path, structure: Structure) -> None:
    job = over_stand_in(StaticMaker()).make(structure)
    document = TaskDoc.model_validate(run(job, folder))
    assert (document.state, document.task_type.value) == ("successful", "Static")
    calculation = document.calcs_reversed[0]
    assert calculation.vasp_version == "6.4.2 stand-in"
    assert calculation.input.incar["ISMEAR"] == -5  # its own set, not ours
    assert np.shape(document.output.forces) == (8, 3)
    assert MARK in str(potcars_in(Path(document.dir_name.split(":")[-1])))


def test_relax(folder: Path, structure: Structure) -> None:
    job = over_stand_in(RelaxMaker()).make(structure)
    document = TaskDoc.model_validate(run(job, folder))
    assert document.state == "successful"
    assert document.calcs_reversed[0].input.incar["ISIF"] == 3
    assert document.output.structure.volume != pytest.approx(structure.volume, rel=1e-3)
    assert np.abs(document.output.forces).max() < 0.02


def test_md(folder: Path, structure: Structure) -> None:
    maker = over_stand_in(MDMaker())
    maker.input_set_generator.nsteps = 4
    document = TaskDoc.model_validate(run(maker.make(structure), folder))
    assert document.state == "successful"
    (oszicar,) = folder.glob("job_*/OSZICAR.gz")
    assert len(Oszicar(oszicar).ionic_steps) == 4


def test_several_md_runs_go_on_from_each_other(folder: Path, structure: Structure) -> None:
    maker = MultiMDMaker.from_parameters(4, 2.0, 2, "nvt", 300.0)
    maker.md_makers = [over_stand_in(part) for part in maker.md_makers]
    output = run(maker.make(structure), folder)
    assert len(output["full_traj_ids"] if isinstance(output, dict) else output.full_traj_ids) == 2
    assert len((folder / "runs.log").read_text().splitlines()) == 2


def test_band(folder: Path, structure: Structure) -> None:
    host = structure * (2, 1, 1)
    sites = [i for i, site in enumerate(host) if site.specie.symbol == "Li"]
    ion, other = sites[0], min(sites[1:], key=lambda i: host.get_distance(sites[0], i))
    first = host.copy()
    first.remove_sites([other])
    last = first.copy()
    last.translate_sites([ion], host[other].frac_coords - host[ion].frac_coords, frac_coords=True)
    relax = over_stand_in(RelaxMaker())
    relax.input_set_generator.user_incar_settings = {"ISIF": 2, "NELECT": 78}
    images = over_stand_in(NebFromImagesMaker())
    images.input_set_generator.user_incar_settings = {"EDIFFG": -0.1, "NELECT": 78}
    flow = NebFromEndpointsMaker(endpoint_relax_maker=relax, images_maker=images).make(
        [first, last], 1, autosort_tol=0
    )
    document = NebTaskDoc.model_validate(run(flow, folder))
    assert document.num_images == 3  # ends included
    assert len(document.energies) == 3
    assert document.energies[1] > document.energies[0]


def test_an_error_in_the_incar_fails_the_job(folder: Path, structure: Structure) -> None:
    maker = over_stand_in(StaticMaker())
    maker.input_set_generator.user_incar_settings = {"ALGO": "Quick"}
    with pytest.raises(RuntimeError):
        run(maker.make(structure), folder)
    said = next(folder.glob("job_*/vasp.out")).read_text()
    assert "Error reading item ALGO from file INCAR" in said
