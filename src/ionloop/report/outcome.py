"""What came out of a campaign, in sentences."""

from __future__ import annotations

from ionloop.evaluate.schema import Transport
from ionloop.evaluate.scorecard import doubts, lowest_barrier
from ionloop.report import tables
from ionloop.report.stability import stability_line
from ionloop.report.summary import Record, barriers_of, last_advance, mev, summarize


def verdict(record: Record) -> tuple[str, str]:
    """Return the campaign's state as a word for styling and as a sentence for people."""
    last = last_advance(record)
    found = summarize(record)
    generations = "1 generation" if found.generations == 1 else f"{found.generations} generations"
    spent = f"after {generations} and {found.labels} labels"
    if last is None:
        return "running", "No verdict yet: no generation has been judged."
    if last.judgement.converged:
        return "converged", f"Converged {spent}."
    if last.judgement.stop:
        return "stopped", f"Stopped without converging {spent}."
    return "running", f"Not converged {spent}; another generation follows."


def outcome(record: Record) -> list[str]:
    """Return what came out, in sentences."""
    sentences = []
    easiest = lowest_barrier(barriers_of(record))
    if easiest is not None and easiest.model is not None:
        why = doubts(easiest)
        doubt = f" (not admissible: {'; '.join(why)})" if why else ""
        sentences.append(
            f"Easiest hop: barrier {mev(easiest.model)} meV by the model, "
            f"{mev(easiest.reference)} meV by the reference{doubt}."
        )
    sentences += _quarantine(record)
    if record.evaluation is None:
        return [*sentences, "The last committee hasn't been evaluated yet."]
    for name, transport in (
        ("model", record.evaluation.model_transport),
        ("reference", record.evaluation.reference_transport),
    ):
        if transport is None:
            sentences.append(
                f"Activation energy by the {name}: not computed, "
                "since molecular dynamics long enough for it is too dear."
            )
            continue
        energy = transport.activation_energy
        if energy.value is None:
            sentences.append(
                f"Activation energy of D by the {name}: none, because {energy.reason}."
            )
            sentences += _hop_energy(name, transport)
            continue
        text = (
            f"Activation energy of D by the {name}: {tables.with_error(energy.value, energy.error)}"
        )
        doubt = "" if energy.admissible else f" (not admissible by itself: {energy.reason})"
        sentences.append(f"{text} eV{doubt}.")
        sentences += _hop_energy(name, transport)
    if record.evaluation.stability:
        sentences.append(f"S{stability_line(record.evaluation)[1:]}.")
    return sentences


def _quarantine(record: Record) -> list[str]:
    """Say how many labels were refused and taken back, if any were."""
    found = summarize(record)
    sentences = []
    if found.quarantined:
        kinds = tables.refusal_counts(record.shards).most_common(3)
        why = ", ".join(f"{kind}: {n}" for kind, n in kinds)
        sentences.append(f"Quarantined labels: {found.quarantined} ({why}).")
    if found.readmitted:
        sentences.append(f"Labels readmitted by hand: {found.readmitted}.")
    return sentences


def _hop_energy(name: str, transport: Transport) -> list[str]:
    """Say the activation energy of the hop rate, where it has a number."""
    energy = transport.hop_activation_energy
    if energy is None or energy.value is None:
        return []
    value = tables.with_error(energy.value, energy.error)
    n_hops = sum(rate.n_hops for rate in transport.hop_rates)
    doubt = "" if energy.admissible else f" (not admissible: {energy.reason})"
    return [
        f"Activation energy of the hop rate by the {name}: {value} eV, from {n_hops} hops{doubt}."
    ]
