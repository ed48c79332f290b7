r"""How much faster the model is than the reference, as both were measured.

.. math::

    s = \frac{t_\mathrm{ref}\, c_\mathrm{ref} / n}{t_\mathrm{model}\, c_\mathrm{model} / n}

with the median wall time :math:`t` of a label or a step, the cores :math:`c` that it had and the
atoms :math:`n` of one and the same cell.
"""

from __future__ import annotations

from collections.abc import Sequence

from ionloop.evaluate.schema import Cost
from ionloop.evaluate.scorecard_schema import SpeedUp

#: How the name of the reference's cost begins; its engine follows in brackets.
REFERENCE = "reference"
#: How engines begin that are DFT.
_DFT = ("vasp", "cp2k")


def is_dft(engine: str) -> bool:
    """Whether an engine, as labels name it, is a DFT code.

    >>> is_dft("cp2k 2023.1"), is_dft("lammps 2025.7.22")
    (True, False)
    """
    return engine.lower().startswith(_DFT)


def speed_ups(costs: Sequence[Cost]) -> list[SpeedUp]:
    """Compare each model with the reference of an evaluation; nothing without a reference."""
    references = [one for one in costs if one.calculator.startswith(f"{REFERENCE} (")]
    models = [one for one in costs if one not in references]
    return [compare(model, reference) for reference in references for model in models]


def compare(model: Cost, reference: Cost) -> SpeedUp:
    """Divide core-seconds an atom of the reference by those of the model."""
    engine = reference.calculator.removeprefix(f"{REFERENCE} (")
    common = {
        "model": model.calculator,
        "reference": reference.calculator,
        "over": "DFT" if is_dft(engine) else "the reference",
    }
    if why := _missing(model, reference):
        return SpeedUp(**common, missing=why)
    factor = (reference.cores or 0) / (model.cores or 1)
    interval = None
    if model.quartiles and reference.quartiles:
        low, high = reference.quartiles
        interval = factor * low / model.quartiles[1], factor * high / model.quartiles[0]
    return SpeedUp(
        **common,
        n_atoms=model.n_atoms,
        ratio=factor * reference.seconds_per_step / model.seconds_per_step,
        quartiles=interval,
    )


def _missing(model: Cost, reference: Cost) -> str:
    """Say why the two can't be compared; nothing if they can."""
    if model.n_atoms != reference.n_atoms:
        return f"timed on {model.n_atoms} and on {reference.n_atoms} atoms"
    whose = [one.calculator for one in (model, reference) if one.cores is None]
    if whose:
        return f"cores not known, not alike, or a GPU: {', '.join(whose)}"
    if not reference.seconds_per_step:
        return f"{reference.calculator} has no wall times"
    return ""
