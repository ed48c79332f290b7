"""Whether a campaign's budget can hold what the campaign is sure to ask."""

from __future__ import annotations

from ionloop.errors import ProfileError
from ionloop.profile import Profile
from ionloop.seed.maker import SeedMaker


def expected_seeds(seed: SeedMaker, n_temperatures: int, n_hops: int) -> dict[str, int]:
    """Count the frames that the seed stage will ask labels for.

    Parameters
    ----------
    seed
        The stage.
    n_temperatures
        AIMD runs.
    n_hops
        Distinct hops of the structure.

    Returns
    -------
    dict[str, int]
        Frames by kind: at most these, since runs may fail and bands may share an end.
    """
    stored = seed.md_steps // seed.store_every + 1
    return {
        "aimd": n_temperatures * len(range(seed.skip, stored, seed.stride)),
        "neb": min(n_hops, seed.max_bands) * (seed.n_images + 2),
        "rattle": seed.displacements.n_rattle,
        "strain": seed.displacements.n_strain,
    }


def check_budget(profile: Profile, seed: SeedMaker, n_hops: int, n_test: int) -> None:
    """Check that seeds and test set fit into the budget.

    Raises
    ------
    ProfileError
        If they don't: the campaign would spend all on its start or have no test set.
    """
    seeds = expected_seeds(seed, len(profile.seed_temperatures), n_hops)
    needed = sum(seeds.values()) + n_test
    if profile.budget.left(0) < needed:
        parts = ", ".join(f"{n} {kind}" for kind, n in seeds.items())
        msg = (
            f"Budget.labels_max: expected at least {needed} ({sum(seeds.values())} seeds: {parts}; "
            f"test set: {n_test}), got {profile.budget.labels_max}; raise it, or ask less: "
            "SeedMaker.stride, max_bands, displacements, EvaluateMaker.n_test"
        )
        raise ProfileError(msg)
