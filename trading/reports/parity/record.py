"""What a session's journal says of its venue, read once before it is compared: answers, arrivals, and what is beyond
any backtest.

A request's own answer carries the time at which it was at the venue; that time is taken from the record, as latency is
when it is measured.  Nothing is judged here.  Called by `parity.proof`.
"""

from collections import Counter, defaultdict, deque
from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.core.records import EVENT, FEED, FEED_GAP, METRIC
from marketdata.engine.telling import METRIC_MISSED
from trading.core.records import (
    ACK,
    CANCEL,
    CANCELLED,
    CANCELLED_ON_REQUEST,
    COMMAND,
    COMMANDS,
    CONFIG_COMMIT,
    ERROR,
    LINK,
    MODIFY,
    PRESENCE,
    RECON,
    RECON_END,
    REJECT,
    REJECTED_LATCHED,
    SUBMIT,
    UNKNOWN_OUTCOME,
)
from trading.run.journal.reader import CHUNK_FRAMES, JournalReader

REQUESTS = (SUBMIT, MODIFY, CANCEL)
NEVER = -1  # in the place of an arrival: the request never left
LOST = "market events that the venue never had, or lost with its process"
ANSWERED_BY = {ACK: (SUBMIT, MODIFY), REJECT: REQUESTS, CANCELLED: (CANCEL,)}
Arrivals = dict[tuple[int, int], deque[int]]


class Recorded(NamedTuple):
    """`answers`: the venue's numbered ones in order of `ref`, each once; `arrivals`: (order number, kind of request) →
    when each was at the venue, ns, or NEVER; `acted_ref`: the first answer that no request of the journal asked for,
    0 when there is none; `missed`: stretches of the tape that the venue never had, or lost with its process, as its
    first place and the place behind its last, apart and in order; `beside`: how often what no backtest has."""

    last_seq: int
    answers: np.ndarray
    arrivals: Arrivals
    acted_ref: int
    missed: list[tuple[int, int]]
    beside: dict[str, int]


class Reading:
    """Takes a journal's EVENTs in order, any cut."""

    def __init__(self) -> None:
        self._answers: list[np.ndarray] = []
        self._last_ref = 0
        self._acted_ref = 0
        self._missed: list[tuple[int, int]] = []
        self._waiting: Counter[tuple[int, int]] = Counter()  # requests without an answer yet
        self._arrivals: Arrivals = defaultdict(deque)
        self._beside: Counter[str] = Counter()

    def note(self, events: np.ndarray) -> None:
        """The next ones."""
        kinds = events["kind"]
        wanted = np.isin(kinds, (*REQUESTS, COMMAND, CONFIG_COMMIT, LINK, ERROR, RECON, FEED))
        wanted |= (kinds == METRIC) & (events["code"] == METRIC_MISSED)
        for i in np.flatnonzero(wanted | ((kinds >= ACK) & (kinds <= UNKNOWN_OUTCOME))):
            row = events[i]
            kind = int(row["kind"])
            if kind in REQUESTS:
                self._waiting[int(row["order_number"]), kind] += 1
            elif kind == METRIC:
                self._missed.append((int(row["value"]), int(row["value"]) + int(row["qty"])))
            elif ACK <= kind <= UNKNOWN_OUTCOME:
                self._answer(events[i : i + 1], kind)
            else:
                self._aside(row, kind)

    def _answer(self, row: np.ndarray, kind: int) -> None:
        number, ref = int(row["order_number"][0]), int(row["ref"][0])
        if kind == UNKNOWN_OUTCOME:
            self._beside["answers that were lost"] += 1
            return
        if ref == 0:  # the execution loop's own, or its report of what the venue knows
            if kind in (REJECT, CANCELLED):
                self._beside["requests that never left the desk"] += 1
                self._settle(number, REQUESTS, NEVER)
            return
        if ref <= self._last_ref:
            self._beside["answers that came twice"] += 1
            return
        self._last_ref = ref
        self._answers.append(row.copy())
        asked = number > 0 and not (kind == REJECT and row["code"][0] == REJECTED_LATCHED)
        if kind in ANSWERED_BY and (kind != CANCELLED or row["code"][0] == CANCELLED_ON_REQUEST):
            asked = self._settle(number, ANSWERED_BY[kind], int(row["ts_venue_ns"][0])) and asked
        if not asked and self._acted_ref == 0:
            self._acted_ref = ref

    def _settle(self, number: int, kinds: tuple[int, ...], arrive_ns: int) -> bool:
        """Note when the request that this answers was at the venue; False: nobody had asked."""
        for kind in kinds:
            if self._waiting[number, kind] > 0:
                self._waiting[number, kind] -= 1
                self._arrivals[number, kind].append(arrive_ns)
                return True
        return False

    def _aside(self, row: np.record, kind: int) -> None:
        code = int(row["code"])
        if kind == COMMAND and code != PRESENCE:
            self._beside[f"command {COMMANDS.get(code, str(code))}"] += 1
        elif kind == LINK and row["value"] == 0:
            self._beside["connections that were away"] += 1
        elif kind == FEED and code == FEED_GAP:
            self._beside["gaps of the feed"] += 1
        elif kind == RECON and code == RECON_END:
            self._beside["comparisons with the venue"] += 1
        elif kind == ERROR:
            self._beside["errors of a component"] += 1
        elif kind == CONFIG_COMMIT:
            self._beside["configurations that took effect"] += 1

    def found(self, last_seq: int) -> Recorded:
        """What was read."""
        answers = np.concatenate([np.zeros(0, EVENT), *self._answers])
        missed = _joined(self._missed)
        if missed:
            self._beside[LOST] = sum(end - first for first, end in missed)
        return Recorded(last_seq, answers, dict(self._arrivals), self._acted_ref, missed, dict(self._beside))


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same places, in order and apart: what was told twice, or told again and longer, counts once."""
    found: list[tuple[int, int]] = []
    for first, end in sorted(stretches):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((first, end))
    return found


def read_record(folder: Path) -> Recorded:
    """The journal up to where it stands now.  Raises JournalBroken."""
    reader, reading, seq = JournalReader(folder), Reading(), 0
    while len(frames := reader.read(seq, CHUNK_FRAMES)) > 0:
        seq += len(frames)
        reading.note(frames["event"])
    return reading.found(seq)
