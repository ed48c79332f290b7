"""Passwords in files: read, never shown, and put into URIs in memory only."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote_plus, unquote_plus

from ionloop.errors import StoreError

#: Permission bits of all but the owner.
_OTHERS = 0o077


def read_secret(path: Path, what: str) -> str:
    """Read a secret of one line; the line's end doesn't count.

    Parameters
    ----------
    path
        The file; ``~`` is expanded.
    what
        What it is and who names it, for the error: ``IONLOOP_DB_PASSWORD_FILE``.

    Raises
    ------
    StoreError
        If there is no such file, others may read or write it, or it holds no line or several.
    """
    path = path.expanduser()
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8") if path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        msg = (
            f"{what}: expected a file with one line, got {path}: {why}; write it, or mend the path"
        )
        raise StoreError(msg) from None  # a decoding error quotes the file
    if text is None:
        msg = f"{what}: expected a file with one line, got the folder {path}; name a file in it"
        raise StoreError(msg)
    if mode & _OTHERS:
        msg = (
            f"{what}: expected a file for its owner only, got one for others too; chmod 600 {path}"
        )
        raise StoreError(msg)
    lines = text.splitlines()
    if len(lines) != 1 or not lines[0].strip():
        msg = f"{what}: expected one line in {path}, got {len(lines)}; write the secret alone"
        raise StoreError(msg)
    return lines[0].strip()


def with_password(uri: str, path: Path) -> str:
    """Put the password of a file into a URI that names a user.

    Raises
    ------
    StoreError
        If the URI names no user or has a password already, or the file is refused.
    """
    scheme, found, rest = uri.partition("://")
    user, at, hosts = rest.rpartition("@")
    if not found or not at or not user or ":" in user:
        msg = (
            "IONLOOP_DB_PASSWORD_FILE: expected a user without a password in IONLOOP_DB_URI, as "
            f"mongodb://runner@host:27017/, got {'one with' if ':' in user else 'none'}; mend it"
        )
        raise StoreError(msg)
    password = read_secret(path, "IONLOOP_DB_PASSWORD_FILE")
    return f"{scheme}://{user}:{quote_plus(password)}@{hosts}"


def split_password(uri: str) -> tuple[str, str | None]:
    """Return a URI without its password, and the password; None if it has none.

    >>> split_password("mongodb://runner:p%40ss@host:27017/?replicaSet=rs0")
    ('mongodb://runner@host:27017/?replicaSet=rs0', 'p@ss')
    """
    scheme, found, rest = uri.partition("://")
    login, at, tail = rest.partition("@")
    user, colon, password = login.partition(":")
    if not (found and at and colon):
        return uri, None
    return f"{scheme}://{user}@{tail}", unquote_plus(password)
