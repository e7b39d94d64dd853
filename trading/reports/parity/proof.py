"""A recorded session as a backtest: the same market, commands and times through kernel, venue and scorer once more.

Three things are made anew and held against the journal, each from the record of the other two: what the kernel sent and
said, what the venue answered, what the scorer said.  While all of them are the record's, the loop that they form is the
session, frame by frame; the first that is not is told with what either side saw.  What no backtest has (an operator's
commands, faults, what a guard did at the venue) is taken from the record and counted.  Called by `manage.py replay
--parity`.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.records import METRIC, STATUS
from marketdata.feeds.port import Batch, FeedError
from trading.core.records import CANCEL, FILL, MODIFY, SUBMIT
from trading.reports.parity import tell
from trading.reports.parity.record import Recorded, read_record
from trading.reports.parity.scores import ScoresAgain
from trading.reports.parity.tape import TapeAgain, TapeDiffers
from trading.reports.parity.venue import Answered, VenueAgain
from trading.run.backtest.plan import BacktestError
from trading.run.journal.reader import CHUNK_FRAMES, JournalReader
from trading.run.journal.recovery import Difference, Replayer
from trading.run.spec import SessionSpec, load_spec

Progress = Callable[[int, int], None]  # frames done, of how many


class Proof(NamedTuple):
    """`values`: all that is told, as JSON; `orders`: (n,) SUBMIT, MODIFY and CANCEL of both, up to the first
    difference of the decisions; `fills`: of the session, each with the backtest's."""

    spec: SessionSpec
    values: dict[str, Any]
    orders: np.ndarray
    fills: list[Answered]


class _Again:
    """Kernel, venue and scorer on their way through a journal."""

    def __init__(self, spec: SessionSpec, recorded: Recorded) -> None:
        self.kernel = Replayer()
        self.difference: Difference | None = None
        self.decided = 0  # frames that were compared
        self.orders: list[np.ndarray] = [recorded.answers[:0]]
        self.no_venue = self.no_scores = ""
        self.scores: ScoresAgain | None = None
        self.venue: VenueAgain | None = None
        self.tape: TapeAgain | None = None
        try:
            symbols = [item.symbol for item in spec.instruments]
            self.scores = ScoresAgain(spec.scorer, symbols, engine=spec.universe is not None)
        except BacktestError as error:
            self.no_scores = str(error)
        try:
            self.tape = TapeAgain(spec.feed, self._hear)
            self.venue = VenueAgain(spec, recorded, self.tape)
        except (FeedError, OSError) as error:
            self.no_venue = f"its market cannot be read again: {error}"
            self.no_scores = self.no_scores or self.no_venue

    def _hear(self, batch: Batch, past: bool) -> None:
        if self.scores is not None and not self.no_scores:
            try:
                self.scores.hear(batch, past)
            except BacktestError as error:
                self.no_scores = str(error)

    def follow(self, events: np.ndarray) -> None:
        """The next EVENTs."""
        if self.difference is None:
            self._decide(events)
        engine = self.scores is not None and self.scores.engine
        for part in _at_metrics(events) if engine else [events]:
            self._answer(part)

    def _answer(self, events: np.ndarray) -> None:
        if self.venue is None or self.tape is None:
            return
        try:
            self.venue.follow(events)
        except TapeDiffers as error:
            self.venue.why = self.no_scores = str(error)
            self.venue.follow(events)
        if self.scores is None or self.no_scores:
            return
        if self.scores.engine and self.venue.why:  # the tape is no longer held against the journal, event by event
            self.no_scores = self.venue.why
            return
        try:
            self._score(self.scores, self.tape, events)
        except BacktestError as error:
            self.no_scores = str(error)

    @staticmethod
    def _score(scores: ScoresAgain, tape: TapeAgain, events: np.ndarray) -> None:
        if scores.engine:
            scores.upto(tape.confirmed)
            if len(events) > 0 and events["kind"][0] == METRIC:
                scores.tell(events)
        else:
            tape.upto(int(events["ts_venue_ns"][events["kind"] <= STATUS].max(initial=0)))
        scores.follow(events)

    def _decide(self, events: np.ndarray) -> None:
        same = len(events)
        self.difference = self.kernel.feed(events)
        if self.difference is not None:
            same = int(np.searchsorted(events["seq"], self.difference.seq))
        self.decided += same
        self.orders.append(events[:same][np.isin(events["kind"][:same], (SUBMIT, MODIFY, CANCEL))])

    def close(self) -> None:
        if self.tape is not None:
            self.tape.close()


def _at_metrics(events: np.ndarray) -> list[np.ndarray]:
    """Cut so that rows of METRIC stand alone."""
    is_metric = events["kind"] == METRIC
    return np.split(events, np.flatnonzero(is_metric[1:] != is_metric[:-1]) + 1)


def prove(folder: Path, progress: Progress = lambda done, total: None) -> Proof:
    """The session in this folder, as far as its journal stands.  Raises SpecError, JournalBroken."""
    spec, reader = load_spec(folder), JournalReader(folder)
    chain, recorded = reader.verify(), read_record(folder)
    again = _Again(spec, recorded)
    digest, at = hashlib.sha256(), 0
    try:
        while at < recorded.last_seq:
            events = reader.read(at, min(CHUNK_FRAMES, recorded.last_seq - at))["event"]
            digest.update(events.tobytes())
            again.follow(events)
            at += len(events)
            progress(at, recorded.last_seq)
    finally:
        again.close()
    orders = np.concatenate(again.orders)
    fills = _fills(again.venue, recorded)
    sent = int((orders["kind"] == SUBMIT).sum())
    parts = [
        tell.decisions_part(again.decided, again.difference),
        tell.answers_part(again.venue, again.no_venue, len(recorded.answers)),
        tell.scores_part(again.scores, again.no_scores),
    ]
    score = None if again.scores is None else again.scores.first
    values = {
        "session": spec.id,
        "key": spec.key,
        "profile": spec.profile,
        "config_hash": spec.version_hash,
        "currency": spec.currency,
        "verdict": tell.verdict_of(parts, chain.fault),
        "frames": at,
        "chain_fault": chain.fault,
        "journal_sha256": digest.hexdigest(),
        "state_sha256": hashlib.sha256(again.kernel.kernel.snapshot()).hexdigest(),
        "parts": parts,
        "orders": sent,
        "fills": len(fills),
        "sides": tell.side_values(spec, fills, sent),
        "first": tell.first_difference(spec, again.difference, again.venue, score),
        "beside": dict(sorted((recorded.beside | _dropped(again.venue) | _restarts(chain.segments)).items())),
    }
    return Proof(spec, values, orders, fills)


def _fills(venue: VenueAgain | None, recorded: Recorded) -> list[Answered]:
    if venue is not None:
        return venue.fills
    rows = recorded.answers
    return [Answered(rows[i : i + 1], None) for i in np.flatnonzero(rows["kind"] == FILL)]


def _dropped(venue: VenueAgain | None) -> dict[str, int]:
    count = 0 if venue is None else venue.dropped
    return {"kept children that ended with the loop or the venue that kept them": count} if count else {}


def _restarts(segments: int) -> dict[str, int]:
    """Every start after the first began a segment of its own."""
    return {"starts of the risk loop after the first": segments - 1} if segments > 1 else {}
