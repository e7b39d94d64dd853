"""A recorded or simulated tape of books, from its feed to the run: chunks in order, scores woven in, a hash of it all.

The feed is the one of a session, so that the same file gives the same events with the same books.  What the feed says
about itself stays out: here time is told by the run.  Memory is one chunk.  Called by the command `backtest --books`.
"""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from marketdata.core.records import FEED, NO_TIME
from marketdata.core.units import NANOS
from marketdata.feeds.port import Batch, FeedError
from marketdata.feeds.registry import open_feed
from trading.learning.dataset import FOREVER, Tape, chunks
from trading.run.backtest.engine import Result
from trading.run.backtest.plan import BacktestError, Plan
from trading.run.tapes.engine import TapeRun, tape_calendar, woven
from trading.run.tapes.latency import Latency
from trading.run.tapes.scores import Asked, Scoring, answer_row, view_of

Progress = Callable[[int, int], None]  # events read, their latest time in ns


class TapeSource:
    """One pass over a tape.  Attributes afterwards: events, hash (sha256, hex, over market events and books)."""

    def __init__(self, tape: Tape, seconds: int = 0) -> None:
        self.tape = tape
        self._feed = open_feed(tape)
        self.start_ns = int(self._feed.start_ns)
        self._until_ns = self.start_ns + seconds * NANOS if seconds > 0 else FOREVER
        self._digest = hashlib.sha256()
        self.events = 0

    @property
    def hash(self) -> str:
        return self._digest.hexdigest()

    def batches(self) -> Iterator[tuple[Batch, bool]]:
        """(batch without the feed's own events, whether it is back-fill)."""
        for k, batch in enumerate(chunks(self._feed, self._until_ns)):
            market = batch.events["kind"] != FEED
            clean = batch._replace(events=batch.events[market], depth_of=batch.depth_of[market])
            self.events += len(clean.events) if k > 0 else 0
            self._digest.update(clean.events.tobytes())
            self._digest.update(clean.depths.tobytes())
            yield clean, k == 0

    def close(self) -> None:
        self._feed.close()


def trade_tape(
    source: TapeSource,
    plan: Plan,
    latency: Latency,
    decides: Scoring | Asked,
    progress: Progress,
    *,
    tape: int = 0,
) -> tuple[TapeRun, Result]:
    """The whole tape through the loop.  Raises BacktestError for a tape without an event in a session."""
    calendar = tape_calendar(plan.instrument, source.start_ns)
    run: TapeRun | None = None
    past: np.ndarray | None = None
    outside = 0
    for batch, is_past in source.batches():
        if len(batch.events) == 0:
            continue
        if is_past:
            past = batch.events
            if isinstance(decides, Scoring):
                decides.scores(*batch[:3], silent=True)
            continue
        if run is None:
            found = np.flatnonzero(calendar.inside(batch.events["ts_ns"]))
            if not len(found):
                if isinstance(decides, Scoring):  # no session yet, but they move its features wherever a chunk ends
                    decides.scores(*batch[:3])
                outside += len(batch.events)
                continue
            run = TapeRun(plan, calendar, latency, int(batch.events["ts_ns"][found[0]]), tape=tape)
            run.outside = outside
            if past is not None and len(past) > 0:
                run.backfill(past)
        if int(batch.events["ts_ns"][-1]) >= int(calendar.close_ns[-1]):
            raise BacktestError("a tape of books may cover 31 days: cut it, with --option start=… and --seconds")
        _feed(run, batch, decides)
        progress(source.events, int(batch.events["ts_ns"][-1]))
    if run is None:
        name = source.tape.path or source.tape.name
        raise BacktestError(f"{name} holds no event of {plan.instrument.symbol} in a session")
    return run, run.end()


def _feed(run: TapeRun, batch: Batch, decides: Scoring | Asked) -> None:
    """One chunk, with what is decided on it."""
    if isinstance(decides, Asked):
        _ask(run, batch, decides)
        return
    places, rows = decides.scores(*batch[:3])
    events, depth_of = woven(batch.events, batch.depth_of, places, rows)
    run.feed(*_with_depths(run.inside(events, depth_of), batch.depths))


def _with_depths(kept: tuple[np.ndarray, np.ndarray], depths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return kept[0], depths, kept[1]


def _ask(run: TapeRun, batch: Batch, asked: Asked) -> None:
    """Event by event: the kernel hears it, then the policy is asked, and its answer is heard before the next."""
    events, depth_of = run.inside(batch.events, batch.depth_of)
    seen = events.copy()
    seen.setflags(write=False)
    depths = batch.depths.copy()
    depths.setflags(write=False)
    none = np.full(1, -1, np.int32)
    for i in range(len(events)):
        run.feed(events[i : i + 1], batch.depths, depth_of[i : i + 1])
        event, at = seen[i], int(depth_of[i])
        try:
            answer = asked.policy.on_event(
                event, None if at < 0 else depths[at], view_of(run.kernel.state, int(event["ts_ns"]))
            )
        except Exception as error:  # it is somebody's own
            raise BacktestError(f"{asked.words} failed at event {i}: {type(error).__name__}: {error}") from error
        if (row := answer_row(answer, event)) is not None:
            run.feed(row, batch.depths, none)


def opened_tape(tape: Tape, seconds: int) -> TapeSource:
    """The tape that the words of a command name.  Raises FeedError, BacktestError."""
    source = TapeSource(tape, seconds)
    if source.start_ns == NO_TIME:
        source.close()
        raise FeedError(f"{tape.path} has no event: is it a tape of books?")
    return source
