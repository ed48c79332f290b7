"""A reference that fails on demand and counts its calculations; workers import this module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow import Flow, Job, Response, job

from ionloop.frame import Frame
from ionloop.label.maker import LabelMaker
from ionloop.profile import Profile
from ionloop.reference.base import Reference
from ionloop.reference.runs import MAX_RESTARTS, OUT_OF_TIME, in_a_new_launch, is_out_of_time
from ionloop.reference.schema import SinglePoint
from ionloop.seed.schema import Hop


@dataclass
class FlakyReference(Reference):
    """Each frame's group names a file in ``folder`` that says how its calculation fails."""

    name: str = "flaky"
    folder: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        return {"code": "flaky", "cutoff": 1}

    @property
    def has_stress(self) -> bool:
        return False

    @property
    def cheap(self) -> bool:
        return True

    def isolated_atom_energies(self, symbols: list[str]) -> dict[str, float]:
        return dict.fromkeys(symbols, 0.0)

    def static(self, frames: list[Frame]) -> Job:
        return flaky_labels(frames, self.folder, self.settings_hash, self.settings)

    def md(self, frame: Frame, **settings: Any) -> Job:
        raise NotImplementedError

    def neb(self, hop: Hop, **settings: Any) -> Job:
        raise NotImplementedError


@job
def flaky_labels(
    frames: list[Frame],
    folder: str,
    settings_hash: str,
    settings: dict,
    first: str | None = None,
    attempt: int = 1,
) -> list[SinglePoint] | Response:
    """Compute frames; as the DFT Makers, a good result in the job's folder isn't repeated.

    As theirs, too, a label out of time goes on in a new launch.
    """
    points, here = [], Path(first or Path.cwd())
    for frame in frames:
        done = here / f"good-{frame.frame_hash}.json"
        if not done.exists():
            point = calculate(frame, Path(folder), settings_hash, settings)
            if point.converged:
                done.write_text(point.model_dump_json())
        else:
            point = SinglePoint.model_validate_json(done.read_text())
        points.append(point)
    if any(is_out_of_time(point.failure) for point in points) and attempt <= MAX_RESTARTS:
        again = flaky_labels(frames, folder, settings_hash, settings, str(here), attempt + 1)
        return in_a_new_launch(again)
    return points


def calculate(frame: Frame, folder: Path, settings_hash: str, settings: dict) -> SinglePoint:
    """Run one calculation: a line in the ledger, and what the frame's file wants."""
    with (folder / "ledger").open("a") as book:
        book.write(f"{frame.group}\n")
    wish = folder / frame.group
    fault = wish.read_text() if wish.exists() else ""
    if fault == "dies":
        msg = "the node went down"
        raise RuntimeError(msg)
    force = 99.0 if fault == "force" else 0.1
    return SinglePoint(
        energy=-1.0,
        forces=[[force, 0.0, 0.0]] * len(frame.symbols),
        converged=fault not in {"scf", "late"},
        failure=OUT_OF_TIME if fault == "late" else None,
        n_scf=60 if fault == "scf" else 12,
        scf_limit=60,
        symbols=frame.symbols,
        settings_hash=settings_hash if fault != "settings" else "other",
        settings=settings if fault != "settings" else {**settings, "cutoff": 2},
        engine="flaky",
        wall_s=1.0,
        directory=str(Path.cwd()),
    )


def frames(names: str) -> list[Frame]:
    """One frame a letter; the letter is its group."""
    cell = [[5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 5.0]]
    return [
        Frame(
            symbols=["Li"], positions=[[0.1 * ord(name), 0.0, 0.0]], cell=cell, origin="rattle",
            group=name,
        )
        for name in names
    ]  # fmt: skip


@job
def note(folder: str, *n_admitted: int) -> int:
    """Stand for what trains on the labels: say how many there were."""
    with (Path(folder) / "noted").open("a") as book:
        book.write(f"{n_admitted}\n")
    return sum(n_admitted)


def batches(
    folder: Path, *names: str, share: float = 0.8, frames_per_job: int = 1, campaign_id: str = "c"
) -> Flow:
    """Batches of labels one after another, and a job that wants all of them."""
    profile = Profile(
        name="x", mobile_ion="Li", formal_charges={"Li": 1}, min_success_fraction=share
    )
    reference = FlakyReference(folder=str(folder), frames_per_job=frames_per_job)
    jobs: list[Job] = []
    for generation, letters in enumerate(names):
        batch = LabelMaker().make(
            frames(letters), reference, profile, generation, "train",
            [one.uuid for one in jobs], {"campaign_id": campaign_id, "generation": generation},
            n_imported=jobs[-1].output.n_admitted if jobs else 0,
        )  # fmt: skip
        batch.update_metadata({"generation": generation, "stage": "label"})
        jobs.append(batch)
    last = note(str(folder), *(one.output.n_admitted for one in jobs))
    last.update_metadata({"generation": len(names) - 1, "stage": "train"})
    return Flow([*jobs, last], name="batches")
