"""How long a request of a run over books travels to the venue: one time, or the times that a session has measured.

A session's journal has both ends: when the kernel sent a request, and when the venue says that it had it.  The sample
is drawn from as it is, with a seed of the run.  Reads a journal and nothing else; called by the command `backtest`.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.core.units import NANOS
from trading.core.records import ACK, CANCEL, CANCELLED, CANCELLED_ON_REQUEST, FIRST_OUTPUT_KIND, MODIFY, SUBMIT
from trading.run.backtest.plan import BacktestError
from trading.run.journal.reader import CHUNK_FRAMES, JournalReader

UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": NANOS}
SAMPLES_MIN = 20  # fewer are no distribution
_TIME = re.compile(r"(\d{1,11}) ?(ns|us|ms|s)")


class Latency(NamedTuple):
    """`words` name it in results; `samples_ns` (k,) int64 ≥ 0: one value is a constant; `seed` of what is drawn."""

    words: str
    samples_ns: np.ndarray
    seed: int = 1

    @property
    def longest_ns(self) -> int:
        return int(self.samples_ns.max())

    def values(self) -> dict[str, object]:
        """For the summary; the hash names the sample, for the journal of a running session grows."""
        sha256 = hashlib.sha256(self.samples_ns.tobytes()).hexdigest()
        p50, p90, p99 = (int(np.percentile(self.samples_ns, q, method="higher")) for q in (50, 90, 99))
        quantiles: dict[str, object] = {"p50_ns": p50, "p90_ns": p90, "p99_ns": p99, "max_ns": self.longest_ns}
        return {"from": self.words, "samples": len(self.samples_ns), "sha256": sha256, "seed": self.seed, **quantiles}


def constant(words: str) -> Latency:
    """`20 ms`, `0 ms`, `350us`.  Raises BacktestError."""
    found = _TIME.fullmatch(words.strip())
    if found is None:
        raise BacktestError(f"latency {words!r} is no time with its unit ({', '.join(UNITS_NS)}), like 20 ms")
    return Latency(words.strip(), np.array([int(found[1]) * UNITS_NS[found[2]]], np.int64))


def measured(folder: Path, words: str, seed: int = 1) -> Latency:
    """What the requests of a session's journal took.  Raises BacktestError with too few, JournalBroken."""
    reader, seq = JournalReader(folder), 0
    parts: list[np.ndarray] = []
    sent: dict[tuple[int, int], int] = {}
    while len(frames := reader.read(seq, CHUNK_FRAMES)) > 0:
        seq += len(frames)
        parts.append(travelled(frames["event"], sent))
    samples = np.concatenate([np.zeros(0, np.int64), *parts])
    if len(samples) < SAMPLES_MIN:
        raise BacktestError(
            f"{words}: its journal has {len(samples)} answered requests; {SAMPLES_MIN} are needed to draw from"
        )
    return Latency(words, samples, seed)


def travelled(events: np.ndarray, sent: dict[tuple[int, int], int]) -> np.ndarray:
    """(k,) int64 ns, in order: how long each request among a journal's EVENTs took to be at the venue.

    `sent`: (order number, kind) → when it left; carried from chunk to chunk.  An answer's venue time is that of the
    arrival; a venue whose clock is behind ours counts as at once.
    """
    found = []
    kinds, numbers, codes = (events[name].tolist() for name in ("kind", "order_number", "code"))
    ours, theirs = events["ts_ns"].tolist(), events["ts_venue_ns"].tolist()
    for i, (kind, number) in enumerate(zip(kinds, numbers, strict=True)):
        if kind in (SUBMIT, CANCEL, MODIFY):
            sent[number, kind] = ours[i]
            continue
        if kind >= FIRST_OUTPUT_KIND:
            continue
        answered: tuple[int, ...] = ()
        if kind == ACK:
            answered = (SUBMIT, MODIFY)
        elif kind == CANCELLED and codes[i] == CANCELLED_ON_REQUEST:
            answered = (CANCEL,)
        for request in answered:
            left_ns = sent.pop((number, request), None)
            if left_ns is not None:
                found.append(max(0, theirs[i] - left_ns))
                break
    return np.array(found, np.int64)
