"""Places of the source that ask MongoDB, and which of them did: none is forgotten by a test."""

from __future__ import annotations

import ast
import functools
import itertools
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

from pymongo.collection import Collection

SOURCE = Path(__file__).resolve().parents[2] / "src" / "ionloop"
#: Names the file in which each process notes its places.
BOOK = "IONLOOP_ASKED_BOOK"
_WRITES = (
    "update_one", "update_many", "delete_one", "delete_many", "find_one_and_update",
    "find_one_and_replace", "find_one_and_delete", "insert_one", "insert_many", "replace_one",
    "bulk_write",
)  # fmt: skip
_READS = (
    "find", "find_one", "aggregate", "count_documents", "estimated_document_count", "distinct",
)  # fmt: skip
_OF_STORES = ("query", "query_one", "count", "groupby", "update", "remove_docs", "get_output")
#: Libraries' classes that ask in our name.
_STORES = {
    "jobflow.core.store": "JobStore",
    "maggma.core.store": "Store",
    "maggma.stores.mongolike": "MongoStore",
}
_PADS = {"fireworks.core.launchpad": "LaunchPad"}
#: What their instances are called here; others have methods of these names too.
_STORE = re.compile(r"stor|stag|^super\(\)$")
_PAD = re.compile(r"(\blp|launchpad|^super\(\))$")
_DURABLE = {"w": "majority", "j": True}

#: A call's file, and the line and column where it ends.
Place = tuple[str, int, int]


def places() -> dict[Place, str]:
    """Find and name all calls in the source that ask."""
    found: dict[Place, str] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        file, n = str(path.relative_to(SOURCE)), Counter[str]()
        for function, call in _calls(ast.parse(path.read_text()), ""):
            name = f"{file} {function}: {ast.unparse(call.func)}"
            n[name] += 1
            again = f" ({n[name]})" if n[name] > 1 else ""
            found[file, call.end_lineno or 0, call.end_col_offset or 0] = name + again
    return found


def _calls(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
    if isinstance(node, ast.FunctionDef):
        function = node.name
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _asks(node.func):
        yield function, node
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, function)


def _asks(called: ast.Attribute) -> bool:
    whose, name = ast.unparse(called.value), called.attr
    return (
        name in _READS + _WRITES
        or (name in _OF_STORES and _STORE.search(whose) is not None)
        or (name in _of_pads() and _PAD.search(whose) is not None)
    )


@functools.cache
def _of_pads() -> list[str]:
    from fireworks import LaunchPad

    return _methods(LaunchPad)


def _methods(cls: type) -> list[str]:
    found = (name for name, value in vars(cls).items() if isinstance(value, FunctionType))
    return [name for name in found if not name.startswith("__")]


def never_asked(book: Path) -> set[str]:
    """Return the places that no process noted."""
    noted = [line.split() for line in _noted(book, "asked")]
    asked = {(file, int(line), int(column)) for file, line, column in noted}
    return {name for place, name in places().items() if place not in asked}


def careless(book: Path) -> set[str]:
    """Return the writes, by whatever library, that wouldn't wait for the majority's journals."""
    return set(_noted(book, "careless"))


def _noted(book: Path, kind: str) -> list[str]:
    lines = (line.partition(" ") for line in book.read_text().splitlines())
    return [rest for first, _, rest in lines if first == kind]


class Watch:
    """Notes from now on which of our lines ask, and how writes are asked for, until its end."""

    def __init__(self) -> None:
        self._book = os.open(os.environ[BOOK], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._seen: set[str] = set()
        self._plain: list[tuple[type, str, Callable[..., Any]]] = []
        self._awaited = _STORES | _PADS
        for name in _READS + _WRITES:
            self._wrap(Collection, name, self._look)
        # A store or launch pad makes its collections before it asks: its class is there by then.
        self._wrap(Collection, "__init__", lambda *_: self._wrap_libraries())

    def end(self) -> None:
        """Note no more."""
        for cls, name, method in self._plain:
            setattr(cls, name, method)
        os.close(self._book)

    def _wrap_libraries(self) -> None:
        """Watch stores and launch pads where they are loaded; loading them here has effects."""
        for module in self._awaited.keys() & sys.modules.keys():
            cls = getattr(sys.modules[module], self._awaited[module], None)
            if cls is None:  # just being loaded
                continue
            del self._awaited[module]
            for name in _methods(cls):
                if module in _PADS or name in _OF_STORES:
                    self._wrap(cls, name, self._look)

    def _wrap(self, cls: type, name: str, look: Callable[..., None]) -> None:
        method = getattr(cls, name)

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            look(args[0], name, sys._getframe(1))
            return method(*args, **kwargs)

        self._plain.append((cls, name, method))
        setattr(cls, name, call)

    def _look(self, asked: Any, name: str, frame: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(SOURCE):
            _, line, _, column = next(
                itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None)
            )
            self._note(f"asked {path.relative_to(SOURCE)} {line} {column}")
        if isinstance(asked, Collection) and name in _WRITES:
            concern = asked.write_concern.document
            if concern != _DURABLE:
                self._note(f"careless {asked.name} {name} {concern}")

    def _note(self, line: str) -> None:
        if line not in self._seen:
            self._seen.add(line)
            os.write(self._book, f"{line}\n".encode())  # one system call
