"""Equity of a recorded session, open money included, at each fill, every 60 s and each day's end (MOEX-GATE-01).

The journal is replayed through the kernel and must be what the kernel makes.  Money that a person booked in or out is
taken out again, so the points move by trading alone.  No Django, no clock.  Called by whoever judges paper sessions.
"""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.core.units import NANOS
from trading.core.records import CONFIG_COMMIT, FILL, FIRST_OUTPUT_KIND, PAST, TIMER, TRANSFER, WINDOW_SET
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import ReplayDiffers, Replayer
from trading.run.journal.segment import JournalBroken

CHUNK = 16_384
STEP_NS = 60 * NANOS
BOOKED = (TRANSFER, PAST)  # move the balance without a trade


class DayRun(NamedTuple):
    """One trading day of one session; money in micros, times in ns UTC.

    `capital_micros`: C of that day (MOEX-RISK-01); `open_micros`: equity before its first event; `ts_ns`,
    `equity_micros` (P,) int64, P >= 1, the last of them the day's end as far as the session ran.
    """

    day: int  # YYYYMMDD
    start_ns: int
    capital_micros: int
    open_micros: int
    ts_ns: np.ndarray
    equity_micros: np.ndarray


class Equity(NamedTuple):
    """A session's days in order, and the hash of the last frame that they were made from."""

    days: list[DayRun]
    head: str


def equity_days(folder: Path, until_seq: int) -> Equity:
    """The days of the journal in `folder` up to frame `until_seq`.

    Raises JournalBroken (damaged, or shorter than that), ReplayDiffers (other code).
    """
    reader, taken, seq, head = JournalReader(folder), _Samples(), 0, b""
    while seq < until_seq:
        frames = reader.read(seq, min(CHUNK, until_seq - seq))
        if len(frames) == 0:
            raise JournalBroken(f"{folder.name} ends at frame {seq}, {until_seq} are needed")
        events = frames["event"]
        edges = [0, *cuts(events, taken.minute), len(events)]
        for first, end in pairwise(edges):
            if first < end and not taken.take(events[first:end]):
                raise ReplayDiffers(f"replay of {folder.name} differs from its journal")
        seq, head = seq + len(frames), frames["hash"][-1].tobytes()
    return Equity(taken.days(), head.hex())


def cuts(events: np.ndarray, minute: int) -> list[int]:
    """Indices at which these EVENTs are cut, ascending: before the first input of a new minute, behind a fill and a
    commit, around booked money.  `minute`: the one of the inputs before."""
    inputs = np.flatnonzero(events["kind"] < FIRST_OUTPUT_KIND)
    if len(inputs) == 0:
        return []
    kinds = events["kind"][inputs]
    minutes = np.maximum.accumulate(events["ts_ns"][inputs] // STEP_NS)
    before = np.concatenate(([minute], minutes[:-1]))
    booked = np.isin(kinds, BOOKED)
    ends = (kinds == FILL) | (kinds == CONFIG_COMMIT) | booked
    # behind an input is before the next one: its outputs in between belong to it
    found = {*inputs[(minutes > before) | booked].tolist(), *inputs[1:][ends[:-1]].tolist()}
    return sorted(found)


class _Samples:
    """Follows one journal piece by piece; a piece holds no more than a minute, a fill or a booking."""

    def __init__(self) -> None:
        self._replayer = Replayer()
        self.minute = -1
        self._moved = 0  # booked so far
        self._equity = 0  # at the last look, without what was booked
        self._days: list[tuple[int, int, int, int]] = []
        self._points: list[list[tuple[int, int]]] = []

    def take(self, events: np.ndarray) -> bool:
        """Apply one piece and look at the account.  False when the kernel makes other outputs."""
        account = self._replayer.kernel.state.account
        balance, configured = int(account["balance_micros"][0]), int(account["version"][0]) > 0
        if self._replayer.feed(events) is not None:
            return False
        inputs = events[events["kind"] < FIRST_OUTPUT_KIND]
        if len(inputs) > 0:
            self.minute = max(self.minute, int(inputs["ts_ns"].max()) // STEP_NS)
            if configured and int(inputs["kind"][0]) in BOOKED:
                self._moved += int(account["balance_micros"][0]) - balance
        self._look(inputs)
        return True

    def _look(self, inputs: np.ndarray) -> None:
        account = self._replayer.kernel.state.account[0]
        if account["version"] == 0:
            return
        before, self._equity = self._equity, int(account["equity_micros"]) - self._moved
        lived = bool(((inputs["kind"] < WINDOW_SET) | (inputs["kind"] == TIMER)).any())
        day = int(account["trading_day"])
        if lived and day > 0 and (not self._days or day > self._days[-1][0]):  # what the past told is not lived
            self._days.append((day, int(inputs["ts_ns"].min()), int(account["capital_micros"]), before))
            self._points.append([])
        if self._days:
            self._points[-1].append((int(account["now_ns"]), self._equity))

    def days(self) -> list[DayRun]:
        """What was seen."""
        found = []
        for (day, start_ns, capital, opened), points in zip(self._days, self._points, strict=True):
            ts_ns, equity = np.array(points, np.int64).T
            found.append(DayRun(day, start_ns, capital, opened, ts_ns.copy(), equity.copy()))
        return found
