"""Which files hold labels, and who reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from monty.io import zopen

from ionloop.errors import ImportLabelsError
from ionloop.reference.importers.cp2k import read_cp2k
from ionloop.reference.importers.deepmd import read_deepmd
from ionloop.reference.importers.outcar import read_outcar
from ionloop.reference.importers.reading import Reading
from ionloop.reference.importers.vasp import read_vasprun
from ionloop.reference.importers.xdatcar import read_xdatcar
from ionloop.reference.importers.xyz import read_extxyz

#: Readers by kind. Of one VASP run's files in a folder the first kind of RUN is read.
READERS: dict[str, Callable[[Path], Reading]] = {
    "vasprun": read_vasprun,
    "outcar": read_outcar,
    "xdatcar": read_xdatcar,
    "cp2k": read_cp2k,
    "extxyz": read_extxyz,
    "deepmd": read_deepmd,
}
RUN = ("vasprun", "outcar", "xdatcar")
FORMATS = "vasprun.xml, OUTCAR, XDATCAR, CP2K's output, extxyz, or a folder of DeePMD's npy"
#: CP2K's trajectories, which its output's reader reads.
PARTS = re.compile(r"-(pos|frc|vel)-\d+\.xyz(\.gz)?$")
#: How much of a file tells what it is.
HEAD = 20_000


@dataclass(frozen=True)
class Source:
    """A file or folder of one kind.

    Parameters
    ----------
    path
        As the user named it, or below what they named.
    kind
        Key of READERS.
    """

    path: Path
    kind: str

    def read(self, type_map: list[str] | None = None) -> Reading:
        """Read it; ``type_map`` serves DeePMD's folders without one.

        Raises
        ------
        ImportLabelsError
            If it can't be read.
        """
        if self.kind == "deepmd":
            return read_deepmd(self.path, type_map)
        return READERS[self.kind](self.path)


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """Find all files of labels in files and folders, in order, each once.

    Raises
    ------
    ImportLabelsError
        If a path isn't there, isn't understood, or a folder holds nothing.
    """
    found: dict[Path, Source] = {}
    for path in paths:
        if not path.exists():
            msg = f"no file or folder {path}; expected {FORMATS}"
            raise ImportLabelsError(msg)
        sources = list(_below(path)) if path.is_dir() else [_named(path)]
        if not sources:
            msg = f"{path}: expected {FORMATS} in it or below, got none"
            raise ImportLabelsError(msg)
        for source in sources:
            found.setdefault(source.path.resolve(), source)
    return list(found.values())


def _named(path: Path) -> Source:
    kind = kind_of(path)
    if kind is None:
        msg = f"{path}: expected {FORMATS}, got none of them"
        raise ImportLabelsError(msg)
    return Source(path, kind)


def _below(folder: Path) -> Iterator[Source]:
    """Yield the sources of a folder and of those below it."""
    if (folder / "type.raw").is_file() and list(folder.glob("set.*")):
        yield Source(folder, "deepmd")
        return
    inside = sorted(folder.iterdir())
    kinds = {file: kind_of(file) for file in inside if file.is_file()}
    run = next((kind for kind in RUN if kind in kinds.values()), None)
    for file, kind in kinds.items():
        if kind is not None and (kind not in RUN or kind == run):
            yield Source(file, kind)
    for part in inside:
        if part.is_dir() and not part.name.startswith("."):
            yield from _below(part)


def kind_of(path: Path) -> str | None:
    """Tell a file's kind by its name, or by how it begins; None if it's none."""
    name = path.name.removesuffix(".gz")
    if PARTS.search(name) or name.endswith(".partial"):
        return None
    by_name = {"extxyz": r"\.(ext)?xyz$", "xdatcar": "XDATCAR", "outcar": "OUTCAR"}
    for kind, pattern in by_name.items():
        if re.search(pattern, name):
            return kind
    head = _head(path)
    if "<modeling>" in head:
        return "vasprun"
    return "cp2k" if re.search(r"^ ?(CP2K|DBCSR)\| ", head, re.MULTILINE) else None


def _head(path: Path) -> str:
    try:
        with zopen(path, mode="rt", encoding="utf-8", errors="replace") as stream:
            return str(stream.read(HEAD))
    except (OSError, EOFError):
        return ""  # no text, so nothing that is looked for
