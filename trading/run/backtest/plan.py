"""What a backtest is, before its first bar: the profile's limits for bars, the costs, the calendar, a desk set up.

The set-up of the kernel is that of every session (`trading.run.spec.setup_events`); only who fills the inbox differs.
No network is asked for (MES-BT-03, check 7) and no person is demanded (MES-HOLD-PRESENCE is of live trading alone).
Called by `engine`; it knows no database and no clock.
"""

import functools
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from marketdata.calendars import (
    CME_CALENDAR,
    DAY_NS,
    NEW_YORK,
    SCHEDULES,
    CalendarError,
    Session,
    cme_sessions,
    local_date,
    local_ns,
    session_phases,
    windows,
)
from marketdata.core.instruments import Instrument
from marketdata.core.sessions import MUST_BE_FLAT
from marketdata.core.units import NANOS, PPM
from risk.core.costs import NORMAL_SLIP_TICKS
from risk.core.records import SPEC_FIELDS
from trading.config.schema import Profile, bar_limits, profile_hash
from trading.core.history.records import NEVER_NS, POINT, Desk, Tables, new_run
from trading.core.records import (
    COMMAND,
    LINK,
    LINK_DATABASE,
    LINK_EXECUTION,
    LINK_STREAM,
    RECON,
    RECON_BEGIN,
    RECON_END,
    START,
)
from trading.core.venue.state import CONDITIONAL, FIXED, ORDER_SLOTS, new_venue
from trading.run.journal.recovery import account_event
from trading.run.replica import Kernel
from trading.run.spec import FeedSpec, InstrumentSpec, ScorerSpec, SessionSpec, VenueSpec, setup_events

SAMPLES_NS = {"bar": 1, "minute": 60_000_000_000, "day": NEVER_NS}  # of the curve that is kept; "bar" = every row
LIMIT_FILLS = ("through", "touch")  # MES-BT-13
VENUE = "cme"
BAR_SLOTS = 64  # orders that the venue of a run over bars keeps: it looks through all of them for a new one's number
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


class BacktestError(ValueError):
    """A backtest that cannot be run: one sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides a result, but the bars and the decisions made on them."""

    profile: str
    config_hash: str
    limits: dict[str, int]  # names = LIMIT_FIELDS, with bar_mode on
    instrument: Instrument
    schedule: str
    slip_ticks: int  # where slippage is fixed (MES-COST-06)
    limit_fill: str = "through"
    equity_sample: str = "minute"
    capital_micros: int = 0
    slip_mode: str = FIXED
    slip_times_ppm: int = PPM  # what conditional slippage is multiplied by

    @property
    def usual_slip_ticks(self) -> int:
        """What a market or stop fill slips when nothing is unusual: the least of conditional slippage."""
        if self.slip_mode == FIXED:
            return self.slip_ticks
        return -(-NORMAL_SLIP_TICKS * self.slip_times_ppm // PPM)


def plan_of(
    profile: Profile, instrument: Instrument, *, limit_fill: str = "through", equity_sample: str = "minute"
) -> Plan:
    """The plan of a shipped or stored profile.  Raises BacktestError for what bars cannot express."""
    market = profile.market
    if market.venue != VENUE:
        raise BacktestError(
            f"{profile.profile} trades at {market.venue}: bars are traded back for {VENUE} futures alone (MES-BT); a"
            " market of books needs a session on a recorded tape"
        )
    if instrument.symbol not in market.instruments:
        raise BacktestError(f"{profile.profile} trades {', '.join(market.instruments)}, not {instrument.symbol}")
    if instrument.symbol in market.restricted:
        raise BacktestError(f"{profile.profile} restricts {instrument.symbol}: nothing could be entered (P-25)")
    if limit_fill not in LIMIT_FILLS or equity_sample not in SAMPLES_NS:
        raise BacktestError(f"limit_fill is one of {', '.join(LIMIT_FILLS)}, equity_sample of {', '.join(SAMPLES_NS)}")
    limits = bar_limits(profile.limits()) | {"presence_ns_max": 0}
    return Plan(
        profile=profile.profile,
        config_hash=profile_hash(profile),
        limits=limits,
        instrument=instrument,
        schedule=market.schedule,
        slip_ticks=profile.paper.slip_ticks,
        slip_mode=profile.paper.slip_mode,
        limit_fill=limit_fill,
        equity_sample=equity_sample,
        capital_micros=limits["capital_micros"],
    )


class Calendar:
    """CME sessions in order.  Attributes: sessions, open_ns and close_ns (m,) int64."""

    def __init__(self, sessions: list[Session]) -> None:
        self.sessions = sessions
        self.open_ns = np.array([session.open_ns for session in sessions], np.int64)
        self.close_ns = np.array([session.close_ns for session in sessions], np.int64)

    @classmethod
    def between(cls, first_ns: int, last_ns: int) -> "Calendar":
        """From the session that contains, or follows, `first_ns` to the one of `last_ns`.  Raises BacktestError."""
        first, last = local_date(first_ns, NEW_YORK), local_date(last_ns, NEW_YORK)
        try:
            found = cme_sessions(first - timedelta(days=1), last + timedelta(days=7))
        except CalendarError as error:
            raise BacktestError(str(error)) from None
        wanted = [session for session in found if session.close_ns > first_ns and session.open_ns <= last_ns]
        if not wanted:
            raise BacktestError(f"the calendar {CME_CALENDAR} has no session between {first} and {last}")
        return cls(wanted)

    def inside(self, start_ns: np.ndarray) -> np.ndarray:
        """(n,) starts of bars in order of time → (n,) bool: within a session."""
        found = np.zeros(start_ns.size, bool)
        first = np.searchsorted(start_ns, self.open_ns)
        behind = np.searchsorted(start_ns, self.close_ns)
        for begin, end in zip(first.tolist(), behind.tolist(), strict=True):
            found[begin:end] = True
        return found

    def from_bar(self, start_ns: int) -> "Calendar":
        """The same from the session of this bar on: days before the first bar are no part of a result."""
        at = int(np.searchsorted(self.open_ns, start_ns, side="right")) - 1
        return Calendar(self.sessions[at:])


@functools.lru_cache(maxsize=64)
def _windows(schedule: str, venue: str, first_ns: int, days: int) -> tuple[tuple[int, int, int, int], ...]:
    """The phases of a period: a study asks for the same ones with every trial."""
    return tuple(windows(schedule, venue, first_ns, days))


def tables_of(plan: Plan, calendar: Calendar) -> Tables:
    """Windows and closes of a run.  Raises BacktestError where the schedule does not fit a date (MES-EOD-02)."""
    first_ns, last_ns = int(calendar.open_ns[0]), int(calendar.close_ns[-1])
    days = max(1, -(-(last_ns - first_ns) // DAY_NS))
    try:
        rows = _windows(plan.schedule, plan.instrument.venue, first_ns, days)
    except CalendarError as error:
        raise BacktestError(str(error)) from None
    return Tables(
        windows=np.array(rows, np.int64).reshape(-1, 4),
        close_ns=calendar.close_ns.copy(),
        days=np.zeros(len(calendar.close_ns), POINT),
    )


def _clock(t_ns: int) -> str:
    """New York's time of day."""
    return datetime.fromtimestamp(t_ns // NANOS, ZoneInfo(NEW_YORK)).strftime("%H:%M")


def check_data_close(plan: Plan, calendar: Calendar, text: str, from_ns: int, to_ns: int) -> None:
    """MES-EOD-05: where each date's data end at `text` (New York), a schedule that is flat only later is refused.

    Looks at the sessions within [from_ns, to_ns).  Raises BacktestError (EOD_SCHEDULE_BEYOND_DATA), naming both times.
    """
    given = _TIME_OF_DAY.fullmatch(text)
    if given is None:
        raise BacktestError(f"{text!r} is no time of day like 16:00 or 16:00:00")
    hours, minutes, seconds = (int(part or 0) for part in given.groups())
    schedule = SCHEDULES.get(plan.schedule)
    for session in calendar.sessions:
        if schedule is None or session.close_ns <= from_ns or session.open_ns >= to_ns:
            continue
        day = local_date(session.close_ns, NEW_YORK)
        end_ns = min(local_ns(day, hours * 60 + minutes, NEW_YORK) + seconds * NANOS, session.close_ns)
        flat_ns = [start for phase, start, _ in session_phases(schedule, session) if phase == MUST_BE_FLAT]
        if flat_ns and flat_ns[0] > end_ns:
            late, ends = (_clock(at) for at in (flat_ns[0], end_ns))
            raise BacktestError(
                f"EOD_SCHEDULE_BEYOND_DATA: on {day} schedule {plan.schedule} must be flat at {late}"
                f" New York and the data end at {ends}: take a schedule of its own that ends earlier"
            )


def setup_of(plan: Plan, ts_ns: int) -> np.ndarray:
    """(n,) EVENTs of a fresh desk: limits, instrument, links, books that agree, START."""
    values = {name: int(getattr(plan.instrument, name)) for name in SPEC_FIELDS if name != "tradable"}
    spec = SessionSpec(
        id=1,
        key="backtest",
        mode="paper",
        profile=plan.profile,
        version_id=1,
        version_hash=plan.config_hash,
        currency=plan.instrument.currency,
        capital_micros=plan.capital_micros,
        limits=plan.limits,
        instruments=[InstrumentSpec(symbol=plan.instrument.symbol, values=values | {"tradable": 1})],
        feed=FeedSpec(name="bars", symbols=[plan.instrument.symbol]),
        venue=VenueSpec(fill_model="bar", slip_ticks=plan.slip_ticks, slip_mode=plan.slip_mode),
        scorer=ScorerSpec(name="none"),
        windows=[],  # told as the bars go on: a session of years has more than the kernel keeps
        created_ns=ts_ns,
        venue_socket="",
        redis_url="",
    )
    links = [account_event(LINK, code, ts_ns, value=1) for code in (LINK_EXECUTION, LINK_DATABASE, LINK_STREAM)]
    agreed = [account_event(RECON, code, ts_ns) for code in (RECON_BEGIN, RECON_END)]
    return np.concatenate([setup_events(spec, ts_ns), *links, *agreed, account_event(COMMAND, START, ts_ns)])


def desk_of(plan: Plan, bar_ns: int, first_ns: int, model: str = "bar") -> tuple[Kernel, Desk, np.ndarray]:
    """A kernel and a venue that have been set up, and the events that did it (in and out, as a journal has them)."""
    kernel = Kernel()
    journal = kernel.apply(setup_of(plan, first_ns))
    terms = {name: int(getattr(plan.instrument, name)) for name in ("tick_value_micros", "fee_micros", "fee_ppm")}
    slots = BAR_SLOTS if model == "bar" else ORDER_SLOTS
    venue = new_venue(
        model,
        [terms],
        slip_ticks=plan.slip_ticks,
        touch=plan.limit_fill == "touch",
        slots=slots,
        slip_mode=plan.slip_mode,
        slip_times_ppm=plan.slip_times_ppm,
    )
    if model == "bar" and plan.slip_mode == CONDITIONAL:
        venue = venue._replace(grids=kernel.state.grids)  # the same bars: heard once, and many at a time by `glide`
    run = new_run()
    run["bar_ns"] = bar_ns
    run["tick_value_micros"] = plan.instrument.tick_value_micros
    run["sample_ns"] = max(SAMPLES_NS[plan.equity_sample], bar_ns)
    for name in ("equity_micros", "balance_micros", "peak_micros"):
        run[name] = plan.capital_micros
    run["point_ns"] = first_ns
    return kernel, Desk(kernel.state, kernel.params, venue, run), journal
