"""Places of the source that ask MongoDB, and which of them did: none is forgotten by a test."""

from __future__ import annotations

import ast
import functools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo.collection import Collection

SOURCE = Path(__file__).resolve().parents[2] / "src" / "ionloop"
#: Names the file in which each process notes its places.
BOOK = "IONLOOP_ASKED_BOOK"
METHODS = (
    "find", "find_one", "aggregate", "count_documents", "estimated_document_count", "distinct",
    "update_one", "update_many", "delete_one", "delete_many", "find_one_and_update",
    "find_one_and_replace", "find_one_and_delete", "insert_one", "insert_many", "replace_one",
    "bulk_write",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A call that asks."""

    file: str
    function: str
    call: str
    method: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.file} {self.function}: {self.call}"


def places() -> Iterator[Place]:
    """Find all calls of pymongo's methods in the source."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        yield from _places(tree, str(path.relative_to(SOURCE)), "")


def _places(node: ast.AST, file: str, function: str) -> Iterator[Place]:
    if isinstance(node, ast.FunctionDef):
        function = node.name
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in METHODS
    ):
        call, last = ast.unparse(node.func), node.end_lineno or node.lineno
        yield Place(file, function, call, node.func.attr, node.lineno, last)
    for child in ast.iter_child_nodes(node):
        yield from _places(child, file, function)


def never_asked(book: Path) -> set[str]:
    """Return the places that no process noted."""
    noted = [line.split() for line in book.read_text().splitlines()]
    asked = {(file, method, int(line)) for file, method, line in noted}
    return {
        str(place)
        for place in places()
        if not any(
            (place.file, place.method, line) in asked for line in range(place.first, place.last + 1)
        )
    }


def watch() -> Callable[[], None]:
    """Note from now on which of our lines call pymongo; return what ends it."""
    book = os.open(os.environ[BOOK], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    seen: set[tuple[str, str, int]] = set()
    plain = {name: getattr(Collection, name) for name in METHODS}
    for name, method in plain.items():
        setattr(Collection, name, _noting(name, method, seen, book))

    def end() -> None:
        for name, method in plain.items():
            setattr(Collection, name, method)
        os.close(book)

    return end


def _noting(
    name: str, method: Callable[..., Any], seen: set[tuple[str, str, int]], book: int
) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(SOURCE):
            place = (str(path.relative_to(SOURCE)), name, frame.f_lineno)
            if place not in seen:
                seen.add(place)
                os.write(book, f"{' '.join(map(str, place))}\n".encode())  # one system call
        return method(*args, **kwargs)

    return call
