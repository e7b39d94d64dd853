"""What a run over stored data will take, before it is asked for: rows, memory, sessions, folds; or why it may not be.

Nothing is read of the data but its size, and the strategy's code is not imported: the estimate counts what any function
needs.  Called by the forms of backtests and of searches.
"""

from typing import TYPE_CHECKING, NamedTuple

from desk.backtests import runs
from desk.backtests.pages.forms import BooksForm, HistoryForm, WalkForm
from marketdata.core.instruments import instrument
from marketdata.core.units import NANOS
from marketdata.feeds.options import parse_options
from marketdata.selectors import data_set_path
from trading.management.history import STRATEGY, bounds, changes_of, refusals

if TYPE_CHECKING:
    from trading.config.schema import Profile


class NotStarted(Exception):
    """A run that may not begin; the text says why."""


class Size(NamedTuple):
    """Rows of the source, memory in MiB, a warning or "", sessions of the chosen days; the profile with its changes."""

    rows: int
    memory_mib: float
    warning: str
    sessions: int
    profile: "Profile"


def size_of(form: HistoryForm, *, curve: str) -> Size:
    """`curve`: how often the equity is sampled, minute or day.  Raises NotStarted with the command's own sentence."""
    try:
        return _sized(form, curve)
    except refusals() as error:
        raise NotStarted(str(error)) from None
    except OSError as error:
        raise NotStarted(str(error)) from None


def _sized(form: HistoryForm, curve: str) -> Size:
    from risk.services import contract_fault
    from trading.config.paths import with_values
    from trading.configs import resolve
    from trading.run.backtest.outputs import curve_bytes
    from trading.run.backtest.plan import BacktestError, Calendar, plan_of
    from trading.run.backtest.signals import Strategy
    from trading.run.backtest.source import BarSource

    asked, row = form.words(), form.data_set()
    changes = {path: value for path, value in changes_of(asked["changes"]).items() if not path.startswith(STRATEGY)}
    profile = with_values(resolve(asked["config"]), changes)
    item = instrument(asked["symbol"])
    plan = plan_of(profile, item, equity_sample=curve)
    if fault := contract_fault(plan.limits, item):
        raise BacktestError(f"{profile.profile} cannot trade {item.symbol}: {fault}")
    calendar = Calendar.between(row.first_ns, row.last_ns)
    from_ns, to_ns = bounds(calendar, asked["first"], asked["last"])
    source = BarSource(
        data_set_path(row),
        item,
        parse_options(runs.reader_words(row, item.symbol)),
        Strategy(asked["strategy"], function=lambda bars: None),
        from_ns=from_ns,
        to_ns=to_ns,
    )
    rows, needed, verdict = source.estimate(curve_bytes(plan, calendar))
    sessions = sum(from_ns < s.close_ns and s.open_ns < to_ns for s in calendar.sessions)
    return Size(rows, needed / 2**20, verdict.warning or "", sessions, profile)


class TapeSize(NamedTuple):
    """Events of a data set of books, seconds of its tape that would be traded, how requests travel."""

    events: int
    seconds: int
    latency: str


def tape_size_of(form: BooksForm) -> TapeSize:
    """Of a run over books.  Raises NotStarted with the command's own sentence."""
    try:
        return _tape_sized(form)
    except refusals() as error:
        raise NotStarted(str(error)) from None
    except OSError as error:
        raise NotStarted(str(error)) from None


def _tape_sized(form: BooksForm) -> TapeSize:
    from risk.services import contract_fault
    from trading.config.paths import with_values
    from trading.configs import resolve
    from trading.control import session_folder
    from trading.management.history import SESSION
    from trading.run.backtest.plan import BacktestError
    from trading.run.tapes.engine import DAYS_MAX, check_latency, tape_plan
    from trading.run.tapes.latency import constant

    asked, row = form.request(), form.data_set()
    data_set_path(row)  # it is there
    changes = {path: value for path, value in changes_of(asked.changes).items() if not path.startswith(STRATEGY)}
    profile = with_values(resolve(asked.config), changes)
    item = instrument(asked.symbol)
    plan = tape_plan(profile, item)
    if fault := contract_fault(plan.limits, item):
        raise BacktestError(f"{profile.profile} cannot trade {item.symbol}: {fault}")
    words = asked.latency or profile.paper.latency
    if not words.startswith(SESSION):
        check_latency(plan, constant(words))
    elif not session_folder(int(words.removeprefix(SESSION))).is_dir():
        raise BacktestError(f"{words}: this desk has no journal of such a session")
    whole_s = -(-(row.last_ns - row.first_ns) // NANOS)
    seconds = min(whole_s, asked.seconds) if asked.seconds else whole_s
    if seconds > DAYS_MAX * 86_400:
        raise BacktestError(f"a tape of books may cover {DAYS_MAX} days: say how many seconds of it")
    return TapeSize(max(1, row.rows * max(1, seconds) // max(1, whole_s)), seconds, words)


class Folds(NamedTuple):
    """How many folds the chosen days make, how many can be run, why the first that cannot be is not; the hold-out's
    sessions, and the tests' first and last day."""

    total: int
    runnable: int
    why: str
    holdout: int
    first: str
    last: str


def folds_on(form: WalkForm) -> Folds:
    """Of a walk-forward, by the calendar alone.  Raises NotStarted."""
    from trading.run.backtest.plan import Calendar
    from trading.run.backtest.summary import utc
    from trading.run.forward.walk import sessions_of
    from trading.studies.folding import folds_of, sizes_of

    asked, row = form.words(), form.data_set()
    try:
        calendar = Calendar.between(row.first_ns, row.last_ns)
        from_ns, to_ns = bounds(calendar, asked["first"], asked["last"])
        inside = [session for session in calendar.sessions if from_ns < session.close_ns and session.open_ns < to_ns]
        plan = folds_of(sessions_of(inside), sizes_of(form.walk()))
    except refusals() as error:
        raise NotStarted(str(error)) from None
    fit = [fold for fold in plan.folds if not fold.reason]
    if not fit:
        raise NotStarted(plan.folds[0].reason)
    why = next((f"fold {fold.number}: {fold.reason}" for fold in plan.folds if fold.reason), "")
    days = str(utc(fit[0].test.open_ns))[:10], str(utc(fit[-1].test.close_ns))[:10]
    return Folds(len(plan.folds), len(fit), why, plan.holdout.sessions, *days)
