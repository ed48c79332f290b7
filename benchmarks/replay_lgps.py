"""How few of LGPS's DFT labels would have been enough, by ways to choose them.

    python benchmarks/replay_lgps.py LABELS.extxyz.gz OUT [--arms ...] [--seeds 3]

2,060 PBE labels of Li10GeP2S12 (Huang et al., J. Chem. Phys. 154, 094703 (2021)) that DP-GEN
chose. Of each source, blocks of ten consecutive frames are one group; every fifth is test. Which
frames came from one trajectory isn't known, so a test block may have neighbours in the pool, for
every arm alike. Writes pool.extxyz, test.extxyz, replay.json and replay.png into OUT; all the
rest is ``ionloop replay pool.extxyz --test test.extxyz --mobile Li``.
"""

from __future__ import annotations

import argparse
import gzip
from collections import Counter
from io import StringIO
from pathlib import Path

import ase.io
from ase import Atoms

from ionloop.report.replay_picture import write_picture
from ionloop.select.replay import replay
from ionloop.select.replay_plan import ReplayPlan
from ionloop.train.labelled import read_labels

BLOCK, EVERY = 10, 5


def grouped(labels: Path) -> list[Atoms]:
    """Read the labels; consecutive frames of a source share a group."""
    with gzip.open(labels, "rt") as stream:
        frames = ase.io.read(StringIO(stream.read()), index=":", format="extxyz")
    seen: Counter[str] = Counter()
    for atoms in frames:
        source = Path(atoms.info.pop("source")).name
        atoms.info["group"] = f"{source} block {seen[source] // BLOCK}"
        seen[source] += 1
    return frames


def main() -> None:
    """Split, replay, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels_file", type=Path, help="labels whose source stands in each frame")
    parser.add_argument("out", type=Path)
    parser.add_argument("--arms", default="random,sigma,diverse,bottleneck,loop")
    parser.add_argument("--labels", default="40,80,160,320")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--r-max", type=float, default=4.0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    frames = grouped(args.labels_file)
    tested = [int(a.info["group"].rpartition(" ")[2]) % EVERY == EVERY - 1 for a in frames]
    for name, wanted in (("pool", False), ("test", True)):
        chosen = [a for a, t in zip(frames, tested, strict=True) if t is wanted]
        ase.io.write(args.out / f"{name}.extxyz", chosen)
    plan = ReplayPlan(
        mobile_ion="Li",
        arms=args.arms.split(","),
        counts=[int(n) for n in args.labels.split(",")],
        seeds=args.seeds,
        first_seed=args.first_seed,
        steps=args.steps,
        r_max=args.r_max,
    )
    found = replay(
        read_labels([args.out / "pool.extxyz"]),
        read_labels([args.out / "test.extxyz"]),
        plan,
        args.out / "replay",
        workers=2,
        done=lambda p: print(
            f"{p.arm:>12} seed {p.seed} {p.n_labels:4d} labels: {1000 * p.rmse_mobile:6.1f} meV/Å, "
            f"{p.wall_s:.0f} s",
            flush=True,
        ),
    )
    (args.out / "replay.json").write_text(found.model_dump_json(indent=1))
    write_picture(found, args.out / "replay.png")


if __name__ == "__main__":
    main()
