"""The evaluate stage: accuracy, barriers, transport, cost and stability of the last committee."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from jobflow import Flow, Job, JobConfig, Maker, OutputReference

from ionloop.evaluate.campaign_card import Asked
from ionloop.evaluate.expansion import ExpansionSettings
from ionloop.evaluate.jobs import (
    assemble_card,
    assemble_evaluation,
    choose_test_frames,
    measure_accuracy,
    measure_cost,
    measure_crystal,
    measure_stability,
    measure_transport,
)
from ionloop.evaluate.stability import StabilitySettings
from ionloop.frame import Frame
from ionloop.profile import Profile
from ionloop.randomness import derive_seed


@dataclass
class EvaluateMaker(Maker):
    """Evaluate a committee.

    Parameters
    ----------
    name
        Name of the flow.
    md_steps, replicas
        Steps of each transport run of the model, and runs at each temperature, in one batch.
    reference_md_steps
        Steps of the reference's transport runs, where it is cheap.
    skip_fs
        Equilibration left out of D, fs.
    n_test
        Held-out labels.
    n_timed
        Steps that are timed for the cost.
    stability_ps
        Length of each member's run at 1.2 times the highest transport temperature, ps; 0 leaves
        them out. A potential that is to be used for long runs deserves the 500 ps.
    nve_ps
        Length of the run without a bath that follows, ps.
    static
        Whether the committee's static properties of the perfect crystal are computed.
    expansion_ps
        Length of each run of its thermal expansion, at 300, 450, 600 and 750 K, ps; 0 leaves
        them out. Charged cells have neither, since no energy or stress is trained on.
    """

    name: str = "evaluate"
    md_steps: int = 50_000
    replicas: int = 1
    reference_md_steps: int = 50_000
    skip_fs: float = 500.0
    n_test: int = 40
    n_timed: int = 20
    stability_ps: float = 500.0
    nve_ps: float = 10.0
    static: bool = True
    expansion_ps: float = 20.0

    def stability(self, time_step: float, random_seed: int) -> StabilitySettings | None:
        """Say how each member's stability is tried, steps in fs; None if it isn't.

        Raises
        ------
        EvaluationError
            If a run is too short to be judged.
        """
        if not self.stability_ps:
            return None
        return StabilitySettings(
            picoseconds=self.stability_ps,
            nve_ps=self.nve_ps,
            time_step=time_step,
            min_height=0.0,  # the campaign's own cell
            random_seed=random_seed,
        )

    def test_frames(self, explorations: list[OutputReference], random_seed: int) -> Job:
        """Make the job that picks the test set."""
        pick = choose_test_frames(explorations, self.n_test, random_seed)
        pick.name = "choose test frames"
        return pick

    def make(  # noqa: PLR0913
        self,
        *,
        generation: int,
        start: Frame,
        host: Frame,
        members: list[str],
        calibration: str,
        bands: str,
        seeds: str,
        shards: list[str],
        shard: OutputReference,
        model_runs: list[OutputReference],
        reference_runs: list[OutputReference],
        reference_name: str,
        profile: Profile,
        hop_distance: float,
        time_step: float,
        store_every: int,
        random_seed: int,
    ) -> Flow:
        """Make the measurements and the scorecard.

        Parameters
        ----------
        generation, start, host, members, calibration, bands, seeds
            What is evaluated: generation, cell, perfect crystal; uuids of members, of their
            calibration and bands, and of the seeds.
        shards
            uuids of the batches of labels, which have those of the reference's bands.
        shard
            Labels of the test set.
        model_runs, reference_runs
            Batches of replicas, and trajectories; no reference runs leave its D out.
        reference_name, profile, hop_distance, time_step, store_every, random_seed
            The reference's name, the material, its longest hop in Å, MD's step in fs, steps
            between stored frames, the campaign's seed.
        """
        accuracy = measure_accuracy(
            shard, members, calibration, seeds, shards, profile, random_seed
        )
        steered_by = "MACE, first member of the committee"
        model = measure_transport(
            model_runs, steered_by, start, host, profile, hop_distance, self.skip_fs
        )
        cost = measure_cost(start, members, shard, self.n_timed, random_seed)
        stability = self._stability_jobs(start, members, profile, time_step, random_seed)
        crystal = self._crystal_job(host, members, profile, time_step, random_seed)
        jobs = [accuracy, model, cost, *stability, crystal]
        reference = None
        if reference_runs:
            truth = measure_transport(
                reference_runs, reference_name, start, host, profile, hop_distance, self.skip_fs
            )
            truth.name = "reference transport"
            jobs.append(truth)
            reference = truth.output
        scorecard = assemble_evaluation(
            generation,
            accuracy.output,
            model.output,
            reference,
            cost.output,
            bands,
            seeds,
            [one.output for one in stability],
            self.stability_ps,
        )
        asked = self._asked(hop_distance, time_step, store_every, random_seed)
        card = assemble_card(
            scorecard.output, crystal.output, shard, calibration, start, profile, asked
        )
        for one, name in (
            (accuracy, "accuracy"),
            (model, "transport"),
            (cost, "cost"),
            (crystal, "crystal"),
            (scorecard, "evaluation"),
            (card, "scorecard"),
        ):
            one.name = name
        for one in (accuracy, cost, crystal, scorecard, card, *stability):
            one.config = JobConfig(expose_store=True)
        return Flow([*jobs, scorecard, card], output=scorecard.output, name=self.name)

    def _crystal_job(
        self,
        host: Frame,
        members: list[str],
        profile: Profile,
        time_step: float,
        random_seed: int,
    ) -> Job:
        trained = profile.charge == 0  # energies and stress are
        expansion = None
        if self.expansion_ps and trained:
            seed = derive_seed(random_seed, "expansion")
            expansion = ExpansionSettings(
                picoseconds=self.expansion_ps, time_step=time_step, random_seed=seed
            )
        return measure_crystal(host, members, profile, self.static and trained, expansion)

    def _asked(
        self, hop_distance: float, time_step: float, store_every: int, random_seed: int
    ) -> Asked:
        stability = self.stability(time_step, 0)
        chosen = None if stability is None else asdict(stability)
        return Asked(
            picoseconds=self.md_steps * time_step / 1000,
            replicas=self.replicas,
            frame_interval_fs=time_step * store_every,
            skip_fs=self.skip_fs,
            hop_distance=hop_distance,
            stability=chosen and {k: v for k, v in chosen.items() if k != "random_seed"},
            random_seed=random_seed,
        )

    def _stability_jobs(
        self,
        start: Frame,
        members: list[str],
        profile: Profile,
        time_step: float,
        random_seed: int,
    ) -> list[Job]:
        jobs = []
        for k in range(len(members)):
            settings = self.stability(time_step, derive_seed(random_seed, "stability", k))
            if settings is None:
                break
            one = measure_stability(start, members, k, profile, settings)
            one.name = f"stability {k}"
            jobs.append(one)
        return jobs
