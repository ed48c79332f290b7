"""Model files: pickles, so nothing of one is loaded whose hash isn't the expected one."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ionloop.errors import TrainingError
from ionloop.train.schema import Member, ModelFile

#: Permission bits that let others than the owner write.
_OTHERS_WRITE = 0o022


def model_bytes(member: Member) -> bytes:
    """Return a member's model, checked against the hash in the member's own document.

    Raises
    ------
    TrainingError
        If it is another file than was trained.
    """
    data = member.model_file.to_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != member.model_hash:
        msg = (
            f"member {member.index} of generation {member.generation}: expected a model with "
            f"sha256 {member.model_hash}, got {found}; its file in the database was changed: "
            "restore it from a backup, or train again"
        )
        raise TrainingError(msg)
    return data


def read_model(path: Path) -> bytes:
    """Read a model file.

    Raises
    ------
    TrainingError
        If there is none.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"expected a MACE model at {path}, found none; give the path of a .model file"
        raise TrainingError(msg) from error


def describe_model(path: Path) -> ModelFile:
    """Return where a model file is, and its hash."""
    return ModelFile(path=str(path.resolve()), sha256=hashlib.sha256(read_model(path)).hexdigest())


def foundation_bytes(foundation: ModelFile) -> bytes:
    """Read a foundation model, which must be the file that the campaign was made with.

    Raises
    ------
    TrainingError
        If it is missing here, or another file.
    """
    data = read_model(Path(foundation.path))
    found = hashlib.sha256(data).hexdigest()
    if found != foundation.sha256:
        msg = (
            f"{foundation.path}: expected the foundation model that the campaign was made with, "
            f"sha256 {foundation.sha256}, got {found}; put that file there, on every worker"
        )
        raise TrainingError(msg)
    return data


@contextmanager
def private_file(data: bytes) -> Iterator[Path]:
    """Lay a model where this user alone can change it, below the working folder, for a while."""
    with tempfile.TemporaryDirectory(prefix="model-", dir=Path.cwd()) as folder:
        path = Path(folder, "start.model")
        path.write_bytes(data)
        yield path


def own_folder(folder: Path) -> None:
    """Make a folder that this user alone may write, or make sure that it is one.

    Raises
    ------
    TrainingError
        If it is somebody else's, or others may write there.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    state = folder.lstat()
    if folder.is_symlink():
        got = "a link"
    elif state.st_uid != os.getuid():
        got = "somebody else's"
    elif state.st_mode & _OTHERS_WRITE:
        got = "one that others may write"
    else:
        return
    msg = (
        f"{folder}: expected a folder that its owner alone may write, got {got}; its checkpoints "
        "may be anybody's: remove it, or chmod go-w if you trust them"
    )
    raise TrainingError(msg)
