"""The evaluate stage: accuracy, barriers, transport and cost of the last committee."""

from __future__ import annotations

from dataclasses import dataclass

from jobflow import Flow, Job, JobConfig, Maker, OutputReference

from ionloop.evaluate.jobs import (
    assemble_evaluation,
    choose_test_frames,
    measure_accuracy,
    measure_cost,
    measure_transport,
)
from ionloop.frame import Frame
from ionloop.profile import Profile


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
    """

    name: str = "evaluate"
    md_steps: int = 50_000
    replicas: int = 1
    reference_md_steps: int = 50_000
    skip_fs: float = 500.0
    n_test: int = 40
    n_timed: int = 20

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
        bands: str,
        seeds: str,
        shard: OutputReference,
        model_runs: list[OutputReference],
        reference_runs: list[OutputReference],
        reference_name: str,
        profile: Profile,
        hop_distance: float,
        random_seed: int,
    ) -> Flow:
        """Make the measurements and the scorecard.

        Parameters
        ----------
        generation, start, host, members, bands, seeds
            What is evaluated: generation, cell, perfect crystal, uuids of members, bands and seeds.
        shard
            Labels of the test set.
        model_runs, reference_runs
            Batches of replicas, and trajectories; no reference runs leave its D out.
        reference_name, profile, hop_distance, random_seed
            The reference's name, the material, its longest hop in Å, the campaign's seed.
        """
        accuracy = measure_accuracy(shard, members, random_seed)
        steered_by = "MACE, first member of the committee"
        model = measure_transport(
            model_runs, steered_by, start, host, profile, hop_distance, self.skip_fs
        )
        cost = measure_cost(start, members, shard, self.n_timed, random_seed)
        jobs = [accuracy, model, cost]
        reference = None
        if reference_runs:
            truth = measure_transport(
                reference_runs, reference_name, start, host, profile, hop_distance, self.skip_fs
            )
            truth.name = "reference transport"
            jobs.append(truth)
            reference = truth.output
        scorecard = assemble_evaluation(
            generation, accuracy.output, model.output, reference, cost.output, bands, seeds
        )
        for one, name in (
            (accuracy, "accuracy"),
            (model, "transport"),
            (cost, "cost"),
            (scorecard, "scorecard"),
        ):
            one.name = name
        for one in (accuracy, cost, scorecard):
            one.config = JobConfig(expose_store=True)
        return Flow([*jobs, scorecard], output=scorecard.output, name=self.name)
