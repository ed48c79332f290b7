"""What a warm worker keeps of earlier jobs' outputs.

Every generation needs all labels of a campaign. Read anew each time, they would make each
generation longer than the one before; so a process reads each batch once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Generic, TypeVar

from ase import Atoms

from ionloop.document import blobs_of, stream_outputs

T = TypeVar("T")
#: The blobs in which a document's heavy fields lie.
_Blobs = tuple[str, ...]

#: What all that one :class:`Kept` holds may take, bytes.
MOST_BYTES = 256 << 20
#: ASE's atoms with a label's numbers, without those of their arrays, by tracemalloc.
_ATOMS_BYTES = 1_800


def atoms_bytes(atoms: Atoms) -> int:
    """Return the memory that atoms take, bytes; of ``info`` a label's few entries."""
    return _ATOMS_BYTES + sum(array.nbytes for array in atoms.arrays.values())


class Kept(Generic[T]):
    """What was made of heavy fields of stored outputs; of others' the longest unused goes first.

    A field that is stored anew, as after a readmission, lies in another blob; so what is kept
    is never stale. Fields that are in no blob are read each time.

    Parameters
    ----------
    fields
        Heavy fields of a document, of which the values are made.
    make
        Makes a value of a document.
    size
        Tells what a value takes, bytes.
    most
        Bytes to keep at most; a larger value is made each time.
    """

    def __init__(
        self,
        fields: Sequence[str],
        make: Callable[[Any], T],
        size: Callable[[T], int],
        most: int = MOST_BYTES,
    ) -> None:
        self.fields = tuple(fields)
        self.make = make
        self.size = size
        self.most = most
        self._values: OrderedDict[_Blobs, tuple[T, int]] = OrderedDict()
        self._bytes = 0

    def stream(self, uuids: Sequence[str]) -> Iterator[T]:
        """Yield the values of jobs' outputs, in the order of ``uuids``; inside a job.

        They are shared with later callers: whoever changes one makes a copy before.

        Raises
        ------
        RuntimeError
            If the running job wasn't given its store.
        ValueError
            If an output isn't stored.
        """
        keys = blobs_of(uuids, self.fields)
        wanted = frozenset(keys)
        for uuid, blobs in zip(uuids, keys, strict=True):
            if blobs in self._values:
                self._values.move_to_end(blobs)
                yield self._values[blobs][0]
            else:
                value = self.make(next(stream_outputs([uuid])))
                if all(blobs):
                    self._keep(blobs, value, wanted)
                yield value

    def _keep(self, blobs: _Blobs, value: T, wanted: Collection[_Blobs]) -> None:
        """Keep a value, if there is room without those that its own caller wants too.

        All batches of a campaign are asked for in turn; to put the oldest of them out would
        leave none for the next turn.
        """
        size = self.size(value)
        others = [key for key in self._values if key not in wanted] if size <= self.most else []
        while others and self._bytes + size > self.most:
            self._bytes -= self._values.pop(others.pop(0))[1]
        if self._bytes + size <= self.most:
            self._values[blobs] = value, size
            self._bytes += size
