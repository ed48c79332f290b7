"""The reference's side of the comparison: its MD, its labels, its bands and the test set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ionloop.errors import EvaluationError
from ionloop.evaluate.hop_bins import hop_bin
from ionloop.evaluate.testset import pick_test_frames
from ionloop.explore.candidates import pick_candidates
from ionloop.explore.detector import hop_detector
from ionloop.explore.replicas import MDRun
from ionloop.files import whole
from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label
from ionloop.randomness import derive_seed
from ionloop.reference.base import hash_settings
from ionloop.reference.checkpoint import Checkpoint
from ionloop.reference.ends import RelaxedEnds
from ionloop.reference.forcefield import run_hash, single_point
from ionloop.reference.neb import relax_band
from ionloop.reference.nvt import NvtRun
from ionloop.reference.quality import judge_point
from ionloop.reference.schema import Band
from ionloop.study.plan import ArmsPlan, ReferenceRuns

#: Consecutive frames of a run that make a group, which validation takes as a whole.
BLOCK = 4
#: Hops of a test run whose windows are looked at.
EVENTS_MAX = 60
#: Optimizer steps of a band of the reference, and of each of its ends.
BAND_STEPS, END_STEPS = 400, 200


@dataclass(frozen=True)
class TestSet:
    """Frames that no arm sees, and the reference's bands."""

    __test__ = False

    labels: list[Label]
    bands: dict[str, Band]

    def count(self) -> dict[str, int]:
        """Count frames by bin of the hop coordinate; those that lie on no hop are random."""
        return dict(
            Counter(
                "random" if x.frame.hop is None else hop_bin(x.frame.hop.progress)
                for x in self.labels
            )
        )


class Truth:
    """Asks the reference; runs and bands are kept in a folder.

    Parameters
    ----------
    plan
        Whose material and reference.
    folder
        Made if it isn't there.
    """

    def __init__(self, plan: ArmsPlan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._calculator = plan.reference.teacher.calculator()
        self._ends = RelaxedEnds()

    def label(self, frames: Sequence[Frame]) -> list[Label]:
        """Label frames, and judge them as a campaign does."""
        reference = self.plan.reference
        return [
            judge_point(
                frame,
                single_point(frame, self._calculator, reference),
                reference.settings_hash,
                self.plan.profile,
            )
            for frame in frames
        ]

    def aimd(self, n_labels: int, seed: int) -> list[Frame]:
        """Return frames of the reference's MD, all temperatures in turn, earliest first."""
        runs = self.plan.seeding
        each = math.ceil(n_labels / len(runs.temperatures))
        found = []
        for i, temperature in enumerate(runs.temperatures):
            n_steps = runs.skip + (each - 1) * runs.stride
            positions = self._run(runs, temperature, n_steps, derive_seed(seed, "aimd", i))
            taken = positions[runs.skip // runs.store_every :: runs.stride // runs.store_every]
            found += [
                (k, i, self._frame(x, Origin.AIMD, f"aimd-{temperature:g}K-{k // BLOCK}"))
                for k, x in enumerate(taken[:each])
            ]
        return [frame for _, _, frame in sorted(found, key=lambda row: row[:2])][:n_labels]

    def test_set(self) -> TestSet:
        """Make the test set, the same for all seeds and arms.

        Raises
        ------
        EvaluationError
            If the reference's runs show no hop, or a band of it doesn't converge.
        """
        frames: list[Frame] = []
        for i, temperature in enumerate(self.plan.testing.temperatures):
            frames += self._test_frames(temperature, derive_seed(0, "test", i))
        labels = [label for label in self.label(frames) if not label.reasons]
        if not any(x.frame.hop for x in labels):
            msg = (
                f"expected hops in the reference's runs at {list(self.plan.testing.temperatures)} "
                "K, got none; test at higher temperatures, or run longer"
            )
            raise EvaluationError(msg)
        return TestSet(labels, {hop.path_class: self._band(k)
                                for k, hop in enumerate(self.plan.material.hops)})  # fmt: skip

    def _test_frames(self, temperature: float, seed: int) -> list[Frame]:
        plan, runs = self.plan, self.plan.testing
        positions = self._run(runs, temperature, runs.n_steps, seed)[
            runs.skip // runs.store_every :
        ]
        interval = runs.time_step * runs.store_every
        material = plan.material
        detector = hop_detector(material.start, material.host, plan.profile, interval)
        rng = np.random.default_rng(derive_seed(seed, "frames"))
        group = f"test-{temperature:g}K"
        picks = pick_candidates(
            MDRun(positions=list(positions)),
            detector.analyse(positions, temperature),
            group,
            max_events=EVENTS_MAX,
            n_uncertain=0,
            n_random=plan.n_test,
            rng=rng,
        )
        frames = [
            self._frame(positions[p.index], p.origin, group, temperature, p.hop) for p in picks
        ]
        return pick_test_frames(frames, plan.n_test, rng)

    def _frame(
        self,
        positions: np.ndarray,
        origin: Origin,
        group: str,
        temperature: float | None = None,
        hop: object = None,
    ) -> Frame:
        atoms = self.plan.material.start.to_atoms()
        atoms.positions = positions
        atoms.wrap()
        charge = self.plan.material.start.charge
        return Frame.from_atoms(
            atoms, charge=charge, origin=origin, group=group, temperature=temperature, hop=hop
        )

    def _run(self, runs: ReferenceRuns, temperature: float, n_steps: int, seed: int) -> np.ndarray:
        """Run MD of the reference, or take the run that the folder has."""
        run = NvtRun(temperature, n_steps, runs.time_step, runs.store_every, seed)
        start, reference = self.plan.material.start, self.plan.reference
        digest = run_hash(start, reference, run)
        checkpoint = Checkpoint(self.folder / f"md-{digest[:16]}.npz", digest)
        return reference.teacher.run_md(start.to_atoms(), run, checkpoint)

    def _band(self, k: int) -> Band:
        """Relax the reference's band of a hop, or take the one that the folder has."""
        hop, reference = self.plan.material.hops[k], self.plan.reference
        n_images, fmax = self.plan.settings.n_images, self.plan.settings.fmax / 2
        asked: dict[str, Any] = {
            "n_images": n_images,
            "fmax": fmax,
            "max_steps": BAND_STEPS,
            "end_fmax": self.plan.settings.end_fmax,
            "end_steps": END_STEPS,
        }
        digest = hash_settings(
            {"hop": hop.model_dump(mode="json"), "reference": reference.settings_hash, **asked}
        )
        path = self.folder / f"band-{digest[:16]}.json"
        if path.exists():
            return Band.model_validate_json(path.read_text())
        band = relax_band(
            hop,
            lambda _: reference.teacher.calculator(),
            **asked,
            engine=reference.teacher.engine,
            settings_hash=reference.settings_hash,
            shared=self._ends,
        )
        if not band.converged:
            msg = (
                f"{hop.path_class}: expected the reference's band to converge to "
                f"{fmax:g} eV/Å in {BAND_STEPS} steps, it didn't; its barrier is "
                "what the arms are held to. Check the reference, or leave out this class by a "
                "lower Profile.hop_distance_max"
            )
            raise EvaluationError(msg)
        with whole(path) as scratch:
            scratch.write_text(band.model_dump_json())
        return band


def plan_key(plan: ArmsPlan) -> dict[str, object]:
    """Return all that decides the test set and the first labels."""
    return {
        "profile": plan.profile.model_dump(mode="json", exclude={"name", "budget"}),
        "start": plan.material.start.frame_hash,
        "hops": [hop.path_class for hop in plan.material.hops],
        "reference": plan.reference.settings_hash,
        "seeding": asdict(plan.seeding),
        "testing": asdict(plan.testing),
        "n_test": plan.n_test,
    }
