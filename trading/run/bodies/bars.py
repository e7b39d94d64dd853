"""Bars of what was traded, for people to look at: kept beside the journal, one second each, folded to wider frames.

The sinks loop feeds it journalled events; nothing decides on these bars; a lost file is made again from the journal.
A print extends the second it was made in; a BAR of the tape replaces that second, as the venue's own word for it.
Prices in ticks, times in whole seconds UTC of the venue's stamp.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from marketdata.core.records import BAR, NO_TICK, TRADE
from marketdata.core.units import NANOS

BARS_FILE = "bars.bin"
FRAMES_S = (1, 5, 60, 300)  # what a page may ask for
RECORD = np.dtype(
    [(name, "<i8") for name in ("inst", "t_s", "o", "h", "l", "c", "v", "seq")]
)  # seq: every event of this instrument up to here is in closed bars
LIMIT_MAX = 10_000
NO_END_S = 2**53

Ohlcv = list[int]  # [t_s, open, high, low, close, volume]


def fold(into: Ohlcv | None, bar: Ohlcv, t_s: int) -> Ohlcv:
    """A new bar at `t_s` of what was there and a later bar."""
    if into is None or into[0] != t_s:
        return [t_s, *bar[1:]]
    _, o, h, low, _, v = into
    return [t_s, o, max(h, bar[2]), min(low, bar[3]), bar[4], v + bar[5]]


class _Frame:
    """One instrument in one frame: the bar that closed seconds make, the one before it, and how many there were."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.bar: Ohlcv | None = None
        self.before: Ohlcv | None = None
        self.count = 0

    def close(self, second: Ohlcv) -> None:
        t_s = second[0] - second[0] % self.seconds
        if self.bar is None or self.bar[0] != t_s:
            self.before, self.count = self.bar, self.count + 1
        self.bar = fold(self.bar, second, t_s)

    def value(self, second: Ohlcv | None) -> dict[str, Any] | None:
        """The page's value, with the second that is still open in it; None before the first print."""
        bar, before, count = self.bar, self.before, self.count
        if second is not None:
            t_s = second[0] - second[0] % self.seconds
            if bar is None or bar[0] != t_s:
                before, count = bar, count + 1
            bar = fold(bar, second, t_s)
        if bar is None:
            return None
        names = dict(zip(("o", "h", "l", "c", "v"), bar[1:], strict=True))
        return {"t_us": bar[0] * 1_000_000, **names, "closed": second is None, "n": count, "before": before}


class Bars:
    """All instruments of a session.  `seq` is the last event it has taken."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / BARS_FILE
        self.open: dict[int, Ohlcv] = {}
        self.closed_s: dict[int, int] = {}  # newest closed second of each instrument
        self.frames: dict[int, list[_Frame]] = {}
        self._unsaved: list[tuple[int, ...]] = []
        rows = load(folder)
        for row in rows.tolist():
            inst, t_s = row[0], row[1]
            self.closed_s[inst] = t_s
            self._frames(inst, list(row[1:7]))
        last = {int(row["inst"]): int(row["seq"]) for row in rows}
        self.seq = min(last.values(), default=0)
        if self.path.exists():
            os.truncate(self.path, len(rows) * RECORD.itemsize)  # a torn record at the end

    def note(self, events: np.ndarray) -> None:
        """Follow EVENTs in order; what closed is appended to the file.  Raises OSError when the disk refuses."""
        if len(events) == 0:
            return
        shown = events[(events["kind"] == TRADE) | (events["kind"] == BAR)]
        names = ("kind", "instrument", "ts_venue_ns", "price_tick", "qty", "seq")
        for i, row in enumerate(zip(*(shown[name].tolist() for name in names), strict=True)):
            kind, inst, ts_ns, price, qty, seq = row
            if kind == TRADE and price != NO_TICK:
                t_s = max(ts_ns // NANOS, self.open.get(inst, [0])[0])
                self._take(inst, fold(self._same(inst, t_s), [t_s, price, price, price, price, qty], t_s), seq)
            elif kind == BAR and int(shown["close_tick"][i]) != NO_TICK:
                t_s = (ts_ns - 1) // NANOS  # a bar is stamped at its end
                whole = [int(shown[name][i]) for name in ("open_tick", "high_tick", "low_tick", "close_tick", "volume")]
                self._take(inst, [t_s, *whole], seq)
        self.seq = int(events["seq"][-1])
        self._save()

    def values(self) -> dict[str, Any]:
        """`bar:<inst>:<seconds>` of everything that has traded."""
        found = {}
        for inst in sorted(self.frames.keys() | self.open.keys()):
            for frame in self._of(inst):
                found[f"bar:{inst}:{frame.seconds}"] = frame.value(self.open.get(inst))
        return found

    def _same(self, inst: int, t_s: int) -> Ohlcv | None:
        bar = self.open.get(inst)
        return bar if bar is not None and bar[0] == t_s else None

    def _take(self, inst: int, bar: Ohlcv, seq: int) -> None:
        """The second's bar as it now stands; an earlier one is over."""
        if bar[0] <= self.closed_s.get(inst, -1):
            return
        before = self.open.get(inst)
        if before is not None and before[0] > bar[0]:
            return
        if before is not None and before[0] < bar[0]:
            self.closed_s[inst] = before[0]
            self._frames(inst, before)
            self._unsaved.append((inst, *before, seq - 1))
        self.open[inst] = bar

    def _of(self, inst: int) -> list[_Frame]:
        return self.frames.setdefault(inst, [_Frame(seconds) for seconds in FRAMES_S])

    def _frames(self, inst: int, bar: Ohlcv) -> None:
        for frame in self._of(inst):
            frame.close(bar)

    def _save(self) -> None:
        if not self._unsaved:
            return
        data = np.array(self._unsaved, dtype=RECORD).tobytes()
        with self.path.open("ab") as file:
            if torn := file.tell() % RECORD.itemsize:  # a disk that was full in the middle of a record
                file.truncate(file.tell() - torn)
            file.write(data)
        self._unsaved.clear()


def load(folder: Path) -> np.ndarray:
    """All closed seconds, (n,) RECORD, oldest first; empty while nothing has closed."""
    path = folder / BARS_FILE
    if not path.exists():
        return np.empty(0, RECORD)
    data = path.read_bytes()
    return np.frombuffer(data[: len(data) - len(data) % RECORD.itemsize], RECORD)


def read_bars(
    folder: Path, inst: int, seconds: int, limit: int = LIMIT_MAX, until_s: int = NO_END_S
) -> tuple[list[Ohlcv], int]:
    """The last `limit` bars of an instrument, oldest first, and how many there are in all up to `until_s`.

    The newest is made of closed seconds alone.  Raises ValueError for a frame that is not kept.
    """
    if seconds not in FRAMES_S or not 0 < limit <= LIMIT_MAX:
        raise ValueError(f"frames of {FRAMES_S} s and at most {LIMIT_MAX} bars are kept")
    rows = load(folder)
    rows = rows[(rows["inst"] == inst) & (rows["t_s"] <= until_s)]
    if len(rows) == 0:
        return [], 0
    rows = rows[np.append(np.diff(rows["t_s"]) > 0, True)]  # a second written twice counts once
    starts = rows["t_s"] - rows["t_s"] % seconds
    first = np.flatnonzero(np.append(True, np.diff(starts) > 0))
    last = np.append(first[1:], len(rows)) - 1
    columns = (
        starts[first],
        rows["o"][first],
        np.maximum.reduceat(rows["h"], first),
        np.minimum.reduceat(rows["l"], first),
        rows["c"][last],
        np.add.reduceat(rows["v"], first),
    )
    return np.stack(columns, axis=1)[-limit:].tolist(), len(first)
