"""Three writers of a campaign's kinds, which note each write that the database acknowledged."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pymongo.errors import PyMongoError

from ionloop.document import DATA_FIELDS
from ionloop.engine.launchpad import launchpad
from ionloop.store.connection import database, job_store


def write_outputs() -> Callable[[int], str]:
    """Store outputs with a heavy part, as jobs do."""
    store = job_store()
    store.connect()

    def write(i: int) -> str:
        document = {"uuid": f"u{i}", "index": 1, "output": {"labels": ["x" * 2000] * 10}}
        store.update(document, key=["uuid", "index"], save={"data": DATA_FIELDS})
        return f"output u{i}"

    return write


def draw_numbers() -> Callable[[int], str]:
    """Draw launch numbers, as FireWorks does for each launch."""
    lp = launchpad()
    return lambda _: f"launch {lp.get_new_launch_id()}"


def insert_plainly() -> Callable[[int], str]:
    """Insert as our own queries do."""
    plain = database()["plain"]

    def write(i: int) -> str:
        plain.insert_one({"_id": i})
        return f"plain {i}"

    return write


def keep_writing(make: Callable[[], Callable[[int], str]], ledger: Path, stop: Path) -> None:
    write, i = make(), 0
    with ledger.open("a") as book:
        while not stop.exists():
            i += 1
            try:
                line = write(i)
            except PyMongoError:
                continue  # not acknowledged: it may be there or not
            book.write(f"{line}\n")
            book.flush()


def main(folder: Path) -> None:
    makers = (write_outputs, draw_numbers, insert_plainly)
    threads = [
        threading.Thread(target=keep_writing, args=(m, folder / m.__name__, folder / "stop"))
        for m in makers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
