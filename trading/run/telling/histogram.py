"""Durations of one stage, counted: p50, p95 and p99 of the last minute and of the whole holding (MOEX-MON-04).

Buckets an eighth of a power of two wide: a quantile is at most an eighth too high, never too low.  Times by the boot
clock; adding costs two counts, whatever came before.
"""

SLICES = 6  # of the minute
SLICE_NS = 10_000_000_000
BUCKETS = 8 * 48  # up to 3 days
QUANTILES = (50, 95, 99)


def bucket(ns: int) -> int:
    """Where a duration is counted."""
    if ns < 8:
        return max(0, ns)
    shift = ns.bit_length() - 4
    return min(BUCKETS - 1, 8 * (shift + 1) + (ns >> shift) - 8)


def top(index: int) -> int:
    """The longest duration of a bucket, ns."""
    if index < 8:
        return index
    shift = index // 8 - 1
    return ((index % 8 + 9) << shift) - 1


def quantiles(counts: list[int]) -> tuple[int, ...]:
    """QUANTILES in ns of these counts; empty without any."""
    total, found = sum(counts), []
    if total == 0:
        return ()
    seen, wanted = 0, iter(QUANTILES)
    rank = -(-total * next(wanted) // 100)
    for index, count in enumerate(counts):
        seen += count
        while seen >= rank:
            found.append(top(index))
            following = next(wanted, None)
            if following is None:
                return tuple(found)
            rank = -(-total * following // 100)
    raise AssertionError("no rank lies behind the last count")


class Histogram:
    """The counts of one stage."""

    def __init__(self) -> None:
        self._slices: dict[int, list[int]] = {}  # number of the slice → counts
        self._all = [0] * BUCKETS

    def add(self, ns: int, boot: int) -> None:
        """One duration, at boot clock `boot`."""
        at, index = boot // SLICE_NS, bucket(ns)
        counts = self._slices.get(at)
        if counts is None:
            self._slices = {n: old for n, old in self._slices.items() if n > at - SLICES}
            counts = self._slices[at] = [0] * BUCKETS
        counts[index] += 1
        self._all[index] += 1

    def minute(self, boot: int) -> tuple[int, ...]:
        """p50, p95, p99 (ns) of the last minute, within ten seconds; empty without a duration in it."""
        newest = boot // SLICE_NS
        kept = [counts for n, counts in self._slices.items() if newest - SLICES < n <= newest]
        return quantiles([sum(column) for column in zip(*kept, strict=True)]) if kept else ()

    def whole(self) -> tuple[int, ...]:
        """The same of everything."""
        return quantiles(self._all)
