"""Room for the rings that can be given back to the system while the process lives (MOEX-DATA-13).

An array of its own anonymous mapping: a page that was never written, or was given back, costs no resident memory.  An
array of the ordinary heap would keep what it once took.
"""

import mmap

import numpy as np


class Room:
    """(n,) or (n, m) records of `dtype`, all bytes 0."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        size = int(np.prod(shape)) * dtype.itemsize
        self._map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.array: np.ndarray = np.frombuffer(self._map, dtype).reshape(shape)
        self._row_bytes = size // shape[0]

    def give_back(self, which: int) -> int:
        """Zero array[which] and return its whole pages to the system; bytes returned.

        The edges share a page with the neighbours: they are zeroed and stay.
        """
        start, stop = which * self._row_bytes, (which + 1) * self._row_bytes
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        last = stop // mmap.PAGESIZE * mmap.PAGESIZE
        if last <= first:
            self._map[start:stop] = bytes(stop - start)
            return 0
        self._map[start:first] = bytes(first - start)
        self._map[last:stop] = bytes(stop - last)
        self._map.madvise(mmap.MADV_DONTNEED, first, last - first)
        return last - first
