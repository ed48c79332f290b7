"""``mace_run_train`` in a process of its own, whose checkpoints a kill can't take away.

MACE 0.3 deletes its last checkpoint before it writes the next one in place: killed in between,
or on a full disk, it has none, and a training of hours starts anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ionloop.files import whole

if TYPE_CHECKING:
    from mace.tools.checkpoint import CheckpointIO


def save_whole(
    self: CheckpointIO,
    checkpoint: dict[str, Any],
    epochs: int,
    keep_last: bool = False,  # noqa: FBT001, FBT002  as MACE calls it
) -> None:
    """Save as ``CheckpointIO.save`` does, but delete the old one once the new one is whole."""
    import torch

    path = Path(self.directory) / self._get_checkpoint_filename(epochs, self.swa_start)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as scratch:
        torch.save(checkpoint, scratch)
    old, self.old_path = self.old_path, str(path)
    if old and old != str(path) and not (self.keep or keep_last):
        Path(old).unlink()


def main() -> None:
    """Run MACE's own command on this process's arguments."""
    from mace.cli import run_train
    from mace.tools import checkpoint

    checkpoint.CheckpointIO.save = save_whole
    run_train.main()


if __name__ == "__main__":
    main()
