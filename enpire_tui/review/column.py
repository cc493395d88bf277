"""A long column of small numbers in memory of its own, which grows without being copied.

Arrays that grow on the heap leave holes as large as they are; a million lines must fit a budget.
"""

import mmap

import numpy as np
import numpy.typing as npt

GROW_BYTES = 1 << 20

Numbers = npt.NDArray[np.unsignedinteger]


class Column:
    """Numbers of one unsigned type; only ever appended to."""

    def __init__(self, kind: type[np.unsignedinteger]) -> None:
        self._kind = np.dtype(kind)
        # Private, since a shared mapping cannot be written beyond the size it was made with.
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._memory = mmap.mmap(-1, GROW_BYTES, flags=flags)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> int:
        if not 0 <= place < self._count:
            raise IndexError(f"{place} is not below {self._count}")
        return int(self.view()[place])

    def extend(self, values: npt.ArrayLike) -> None:
        """Append numbers."""
        new = np.asarray(values, self._kind)
        count = self._count + len(new)
        needed = count * self._kind.itemsize
        if needed > len(self._memory):
            self._memory.resize((needed // GROW_BYTES + 1) * GROW_BYTES)
        np.frombuffer(self._memory, self._kind)[self._count : count] = new
        self._count = count

    def view(self) -> Numbers:
        """The numbers without a copy; let it go before the column grows."""
        return np.frombuffer(self._memory, self._kind, self._count)

    def place_of(self, value: int, *, after: bool = False) -> int:
        """Where a value is in a column that rises, or would be; `after` puts it behind equal ones."""
        # A number of another type would have the whole column converted first.
        wanted = self._kind.type(value)
        return int(self.view().searchsorted(wanted, side="right" if after else "left"))
