"""What a run over stored bars will take, before it is asked for: rows, memory, sessions; or why it may not begin.

Nothing is read of the data but its size, and the strategy's code is not imported: the estimate counts what any function
needs.  Called by the forms of backtests and of searches.
"""

from typing import TYPE_CHECKING, NamedTuple

from desk.backtests import runs
from desk.backtests.pages.forms import HistoryForm
from marketdata.core.instruments import instrument
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

    asked, row = form.history(), form.data_set()
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
