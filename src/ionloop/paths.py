"""The one place where a name that came from a document becomes a path.

Documents are written by whoever may write to the database, and may be damaged: nothing that
they say leads out of the folder that it was meant for.
"""

from __future__ import annotations

import os
from pathlib import Path

from ionloop.errors import UnsafePathError

#: Longest name that Linux' file systems take, bytes.
NAME_MAX = 255
#: Files that tell a folder in which a job ran: ours, and FireWorks' own, which can be off.
JOB_MARK = ".ionloop-job"
_JOB_MARKS = (JOB_MARK, "FW.json")
_MEND = "the document was changed by other hands or is damaged, look at it before going on"


def component(name: str, what: str = "name") -> str:
    """Return a name that can stand for one file or folder, and for nothing else.

    >>> component("member-0.model")
    'member-0.model'

    Parameters
    ----------
    name
        The name.
    what
        What it is, for the error.

    Raises
    ------
    UnsafePathError
        If it is empty, ``.`` or ``..``, has a ``/`` or an invisible character, or is too long.
    """
    if not isinstance(name, str):
        _refuse(what, f"a {type(name).__name__}")
    if name in ("", ".", ".."):
        _refuse(what, repr(name))
    if "/" in name or not name.isprintable():
        _refuse(what, f"{name[:100]!r}, with '/' or an invisible character")
    if (n_bytes := len(os.fsencode(name))) > NAME_MAX:
        _refuse(what, f"{name[:20]!r}... of {n_bytes} bytes, more than {NAME_MAX}")
    return name


def inside(folder: Path, name: str, what: str = "name") -> Path:
    """Return where a name lies in a folder; a link that leads out of it is refused too.

    Raises
    ------
    UnsafePathError
        If the name is none of one file, or what lies there is elsewhere.
    """
    return below(folder, str(folder / component(name, what)), what)


def below(root: Path, path: str | Path, what: str = "folder") -> Path:
    """Return a path out of a document if it lies below a folder, links followed.

    Parameters
    ----------
    root
        The folder.
    path
        An absolute path, or one from ``root`` on.
    what
        What it is, for the error.

    Raises
    ------
    UnsafePathError
        If it doesn't.
    """
    text = str(path)
    if "\0" in text:
        _refuse(what, f"{text[:100]!r}, with NUL")
    try:
        found, limit = (root / text).resolve(), root.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # names too long, links in a ring
        msg = f"{what}: expected a path below {root}, got {text[:100]!r}: {type(error).__name__}"
        raise UnsafePathError(msg) from error
    if limit not in found.parents:
        got = f"{text[:100]!r}, which is {found}"
        msg = f"{what}: expected a path below {root}, got {got}; {_MEND}"
        raise UnsafePathError(msg)
    return found


def is_below(root: Path, path: str | Path) -> bool:
    """Whether a path lies below a folder, links followed."""
    try:
        below(root, path)
    except UnsafePathError:
        return False
    return True


def is_job_folder(path: str | Path) -> bool:
    """Whether a job ran in a folder."""
    return any((Path(path) / mark).is_file() for mark in _JOB_MARKS)


def _refuse(what: str, got: str) -> None:
    """Refuse a name.

    Raises
    ------
    UnsafePathError
        Always.
    """
    msg = f"{what}: expected the name of one file or folder, got {got}; {_MEND}"
    raise UnsafePathError(msg)
