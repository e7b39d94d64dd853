"""One backtest over books: chunks of a tape into the compiled loop, trades, fills and the equity curve out of it.

The loop is `trading.core.history.tape`; this file feeds it, tells it the calendar's windows a day ahead, and empties
its buffers.  The same plan, tape, scores and latency give the same rows, byte for byte, however the tape is cut.
Called by the command `backtest --books`, by benchmarks and by tests.
"""

import numpy as np

from marketdata.calendars import ALL_HOURS, Session, trading_day_at, windows
from marketdata.core.instruments import Instrument
from marketdata.core.records import ACCOUNT_SCOPE, DEPTH, EVENT, FEED, FLAG_BACKFILL, NO_TIME, new_depths, new_events
from marketdata.core.units import NANOS
from risk.core.records import LIMIT_FIELDS
from trading.config.schema import Profile, profile_hash
from trading.core.history.records import AHEAD_NS
from trading.core.history.rounds import FILLS_KEPT, TAPE_FILL, Told, new_rounds
from trading.core.history.tape import drive_tape
from trading.core.records import WINDOW_SET
from trading.run.backtest.engine import Result, Run
from trading.run.backtest.plan import SAMPLES_NS, BacktestError, Calendar, Plan
from trading.run.tapes.latency import Latency

DAYS_MAX = 31  # of one tape of books
CME = "cme"


def tape_plan(profile: Profile, instrument: Instrument, *, equity_sample: str = "minute") -> Plan:
    """The plan of a shipped or stored profile for a tape of books.  Raises BacktestError."""
    market = profile.market
    if instrument.symbol not in market.instruments:
        raise BacktestError(f"{profile.profile} trades {', '.join(market.instruments)}, not {instrument.symbol}")
    if equity_sample not in SAMPLES_NS:
        raise BacktestError(f"equity_sample is one of {', '.join(SAMPLES_NS)}")
    limits = profile.limits() | {"presence_ns_max": 0, "bar_mode": 0}
    if limits["rvi_max"] > 0:
        raise BacktestError(
            f"{profile.profile} watches the volatility index and a tape of books brings none, so nothing could ever be"
            " entered: --set risk.rvi_max=0 trades without it"
        )
    assert set(limits) <= set(LIMIT_FIELDS)
    return Plan(
        profile=profile.profile,
        config_hash=profile_hash(profile),
        limits=limits,
        instrument=instrument,
        schedule=market.schedule,
        slip_ticks=profile.paper.slip_ticks,
        slip_mode=profile.paper.slip_mode,
        equity_sample=equity_sample,
        capital_micros=limits["capital_micros"],
    )


def check_latency(plan: Plan, latency: Latency) -> None:
    """Refuse what the kernel would take for a lost answer (W-01).  Raises BacktestError."""
    patience_ns = plan.limits["ack_timeout_ns"]
    if latency.longest_ns >= patience_ns:
        raise BacktestError(
            f"a latency of {latency.longest_ns / NANOS:g} s is no shorter than ack_timeout"
            f" ({patience_ns / NANOS:g} s): the kernel would ask what became of each order"
        )


def tape_calendar(instrument: Instrument, first_ns: int, days: int = DAYS_MAX) -> Calendar:
    """The sessions from `first_ns` on: CME's own, elsewhere whole trading days.  Raises BacktestError."""
    until_ns = first_ns + days * 86_400 * NANOS
    if instrument.venue == CME:
        return Calendar.between(first_ns, until_ns)
    return Calendar(
        [
            Session(trading_day_at(instrument.venue, start), start, end, NO_TIME, NO_TIME, end)
            for _, start, end, _ in windows(ALL_HOURS, instrument.venue, first_ns, days)
        ]
    )


class TapeRun(Run):
    """Feed it chunks in order, then `end()`.  `timers`: the loop makes one a second; False: the tape has them.

    Attributes of use: kernel, venue, counts (events outside of every session).
    """

    def __init__(
        self,
        plan: Plan,
        calendar: Calendar,
        latency: Latency,
        first_ns: int,
        *,
        tape: int = 0,
        timers: bool = True,
        model: str = "book",
    ) -> None:
        check_latency(plan, latency)
        super().__init__(plan, calendar, NANOS, first_ns, tape, model)
        self._kept = new_rounds(latency.samples_ns, latency.seed, timers=timers)
        self._windows = self._tables.windows
        self._told = 0  # windows that the kernel knows
        self._fills: list[np.ndarray] = []
        self.outside = 0

    @property
    def position(self) -> int:
        """Signed quantity held now."""
        return int(self.kernel.state.positions[0].qty)

    def backfill(self, events: np.ndarray) -> None:
        """What lay before the session, flagged: it primes the kernel and decides nothing.  Before the first `feed`."""
        assert bool(np.all(events["flags"] & FLAG_BACKFILL != 0))
        self.setup = np.concatenate([self.setup, self.kernel.apply(events)])

    @property
    def requests(self) -> int:
        """How many were sent to the venue so far."""
        return int(self._kept.round["sent"][0])

    def inside(self, events: np.ndarray, depth_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The events that lie in a session, with their depths' places; the others are counted."""
        keep = self._calendar.inside(events["ts_ns"])
        if keep.all():
            return events, depth_of
        self.outside += int((~keep & (events["kind"] <= FEED)).sum())  # of the tape, not what was decided on it
        return events[keep], depth_of[keep]

    def feed(self, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray) -> None:
        """The next inputs, all within sessions (`inside`), in order of `ts_ns`: (n,) EVENT, DEPTHs, (n,) int32."""
        self._drive(*self._with_windows(events, depth_of), depths, ends=False)

    def end(self) -> Result:
        """Close what is open and give the result.  Nothing may be fed after it."""
        self._drive(new_events(0), np.zeros(0, np.int32), new_depths(1), ends=True)
        return self.result()

    def fills(self) -> np.ndarray:
        """(n,) TAPE_FILL so far, in order."""
        return np.concatenate([np.zeros(0, TAPE_FILL), *self._fills])

    def _with_windows(self, events: np.ndarray, depth_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same with windows told a day before they begin, each at a place that no cut of the tape moves."""
        if len(events) == 0:
            return events, depth_of
        rest = self._windows[self._told :]
        due = rest[rest[:, 1] - AHEAD_NS <= int(events["ts_ns"][-1])]
        if len(due) == 0:
            return events, depth_of
        self._told += len(due)
        places = np.searchsorted(events["ts_ns"], due[:, 1] - AHEAD_NS)
        rows = new_events(len(due))
        rows["kind"], rows["instrument"] = WINDOW_SET, ACCOUNT_SCOPE
        rows["ts_ns"] = rows["ts_venue_ns"] = events["ts_ns"][places]
        rows["code"], rows["value"], rows["until_ns"], rows["ref"] = due.T
        return woven(events, depth_of, places, rows)

    def _drive(self, events: np.ndarray, depth_of: np.ndarray, depths: np.ndarray, *, ends: bool) -> None:
        told = Told(
            np.require(events, EVENT, ["C", "W"]),
            np.require(depths if len(depths) > 0 else new_depths(1), DEPTH, ["C", "W"]),
            np.require(depth_of, np.int32, ["C", "W"]),
        )
        n, done = len(told.events), 0
        round_ = self._kept.round
        while True:
            done = drive_tape(self._desk, self.room, self._tables, self._kept, told, done, n, ends)
            self._empty()
            if count := int(round_["fills"][0]):
                assert count <= FILLS_KEPT
                self._fills.append(self._kept.fills[:count].copy())
                round_["fills"] = 0
            if done == n:
                return


def woven(
    events: np.ndarray, depth_of: np.ndarray, places: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`rows` put before `events[places]`, rows of one place in their order; they have no depth."""
    order = np.argsort(places, kind="stable")
    at = places[order] + np.arange(len(places))
    out = np.zeros(len(events) + len(rows), EVENT)
    out_depth = np.full(len(out), -1, np.int32)
    old = np.ones(len(out), bool)
    old[at] = False
    out[at] = rows[order]
    out[old] = events
    out_depth[old] = depth_of
    return out, out_depth
