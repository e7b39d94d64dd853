"""Walk-forward folds over session days: calendar windows on trading-day borders, purged and embargoed (MES-WF).

Pure functions over session days: no row is read, no network trained.  Every fold that the data's length asks for is
returned; one that cannot be run carries its reason and is counted as not profitable (MES-WF-04).  Purge and embargo:
López de Prado, Advances in Financial Machine Learning (2018), 7.4, in the form of MES-SPLIT-03.  Called by
walk-forward and training.
"""

import itertools
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from trading.research.records import ResearchError, ascends, in_order

FOLDS_MIN = 3


class Sessions(NamedTuple):
    """Session days in order; (n,) int64 each: YYYYMMDD, open and close in ns UTC, half-open."""

    trading_day: np.ndarray
    open_ns: np.ndarray
    close_ns: np.ndarray


class Part(NamedTuple):
    """Sessions `first` .. `end` (half-open indices) of one part; `open_ns` .. `close_ns` are the window's borders
    before the embargo, which is what an earlier part must not reach."""

    first: int
    end: int
    open_ns: int
    close_ns: int
    embargoed: int  # sessions of the window that the embargo took

    @property
    def sessions(self) -> int:
        return self.end - self.first


class Fold(NamedTuple):
    """One fold.  `reason` is empty where it can be run; then every part has sessions."""

    number: int
    train: Part
    validation: Part
    test: Part
    reason: str


class Plan(NamedTuple):
    """All folds, and the hold-out at the end (MES-WF-03), which no fold touches."""

    folds: tuple[Fold, ...]
    holdout: Part


class Rows(NamedTuple):
    """Row indices of one fold's parts, and how many rows purge and embargo took."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    purged: int
    embargoed: int


def month_folds(
    sessions: Sessions,
    train: int = 6,
    validation: int = 1,
    test: int = 1,
    step: int = 1,
    holdout: int = 3,
    expanding: bool = False,
    embargo_sessions: int = 1,
) -> Plan:
    """Folds of whole calendar months (MES-WF-01): floor((H - train - validation - test) / step) + 1 of them, H the
    months from the first session's to the last's less the hold-out.

    `expanding`: training always starts at the first month.  `embargo_sessions` >= 1: the first sessions of validation
    and of test are left out (MES-SPLIT-03).  Raises ResearchError below three folds, for a
    hold-out below a month, and without an embargo.
    """
    if holdout < 1:
        raise ResearchError("a hold-out of at least one month is needed: it is opened once, at the very end")
    if embargo_sessions < 1:
        raise ResearchError("an embargo of at least one session is needed before validation and test")
    first, last = _month(sessions, 0), _month(sessions, -1)
    borders = [_month_start(month) for month in range(first, last + 2)]
    return _plan(sessions, borders, (train, validation, test, step, holdout), expanding, embargo_sessions, "month")


def day_folds(
    sessions: Sessions,
    train: int = 120,
    validation: int = 10,
    test: int = 10,
    step: int = 10,
    expanding: bool = False,
    embargo_sessions: int = 0,
) -> Plan:
    """Folds of calendar days counted back from the last session's, without a hold-out (MOEX-TRAIN-02): 180 days make
    five.  Its embargo is a time (`fold_rows`), so no whole session is left out here."""
    _check(sessions)
    last = _date(int(sessions.trading_day[-1]))
    days = (last - _date(int(sessions.trading_day[0]))).days + 1
    spare = (days - train - validation - test) % step if days >= train + validation + test else 0
    start = _date(int(sessions.trading_day[0])) + timedelta(days=spare)
    borders = [start + timedelta(days=i) for i in range(days - spare + 1)]
    return _plan(sessions, borders, (train, validation, test, step, 0), expanding, embargo_sessions, "day")


def fold_rows(fold: Fold, sessions: Sessions, ts_ns: np.ndarray, label_ns: np.ndarray, embargo_ns: int = 0) -> Rows:
    """Which rows of a feature matrix belong to which part of a runnable fold.

    ts_ns (n,) ascending: when a row is known; label_ns (n,): when its label is, >= ts_ns.  Purge: a row whose label is
    not known before a later part's window opens is removed from the earlier one.  Embargo: besides the fold's sessions,
    the first `embargo_ns` of validation and test, counted from the window's open.
    """
    assert not fold.reason, "this fold cannot be run"
    if not in_order(ts_ns) or bool((label_ns < ts_ns).any()):
        raise ResearchError("rows are not in time order, or a label is known before its row")
    session = np.searchsorted(sessions.open_ns, ts_ns, side="right") - 1
    inside = (session >= 0) & (ts_ns < sessions.close_ns[np.maximum(session, 0)])
    kept, purged, embargoed = [], 0, 0
    later = {0: fold.validation, 1: fold.test}
    for i, part in enumerate((fold.train, fold.validation, fold.test)):
        window = inside & (ts_ns >= part.open_ns) & (ts_ns < part.close_ns)
        late = window & (session >= part.first) & (session < part.end)
        if i > 0:
            late &= ts_ns >= part.open_ns + embargo_ns
        keep = late & (label_ns < later[i].open_ns) if i in later else late
        embargoed += int((window & ~late).sum())
        purged += int((late & ~keep).sum())
        kept.append(np.flatnonzero(keep))
    return Rows(kept[0], kept[1], kept[2], purged, embargoed)


def _plan(
    sessions: Sessions,
    borders: list[date],
    sizes: tuple[int, int, int, int, int],
    expanding: bool,
    embargo: int,
    unit: str,
) -> Plan:
    """Folds over windows between successive borders; sizes are counted in windows."""
    _check(sessions)
    train, validation, test, step, holdout = sizes
    if min(train, validation, test, step) < 1 or embargo < 0:
        raise ResearchError("train, validation, test and step are at least one window each, an embargo is not negative")
    windows = len(borders) - 1
    usable = windows - holdout
    count = (usable - train - validation - test) // step + 1
    if count < FOLDS_MIN:
        raise ResearchError(
            f"{usable} {unit}s without the hold-out give {max(0, count)} folds of {train} + {validation} + {test} "
            f"{unit}s; at least {FOLDS_MIN} are needed: take more data or shorter windows"
        )
    index = np.searchsorted(sessions.trading_day, [_number(border) for border in borders])
    folds = []
    for number in range(count):
        at = number * step
        cuts = (0 if expanding else at, at + train, at + train + validation, at + train + validation + test)
        parts = [
            _part(sessions, int(index[a]), int(index[b]), 0 if i == 0 else embargo)
            for i, (a, b) in enumerate(itertools.pairwise(cuts))
        ]
        reason = _reason(parts, [(borders[a], borders[b]) for a, b in itertools.pairwise(cuts)])
        empty = _empty_window(index, borders, cuts[0], cuts[-1], unit)
        folds.append(Fold(number + 1, parts[0], parts[1], parts[2], reason or empty))
    return Plan(tuple(folds), _part(sessions, int(index[usable]), len(sessions.trading_day), 0))


def _part(sessions: Sessions, first: int, end: int, embargo: int) -> Part:
    taken = min(embargo, end - first)
    if first == end:
        nowhere = int(sessions.open_ns[first]) if first < len(sessions.open_ns) else int(sessions.close_ns[-1])
        return Part(first, end, nowhere, nowhere, 0)
    return Part(first + taken, end, int(sessions.open_ns[first]), int(sessions.close_ns[end - 1]), taken)


def _reason(parts: list[Part], spans: list[tuple[date, date]]) -> str:
    for name, part, (start, end) in zip(("training", "validation", "test"), parts, spans, strict=True):
        if part.sessions == 0:
            last = end - timedelta(days=1)
            if part.embargoed:
                return f"the embargo leaves no session for {name} between {start} and {last}"
            return f"there is no session for {name} between {start} and {last}"
    return ""


def _empty_window(index: np.ndarray, borders: list[date], first: int, end: int, unit: str) -> str:
    """A month without any session is a hole in the data.  Single days without one are weekends and holidays."""
    if unit != "month":
        return ""
    holes = [f"{borders[i]:%Y-%m}" for i in range(first, end) if index[i] == index[i + 1]]
    return f"the data have no session in {', '.join(holes)}" if holes else ""


def _check(sessions: Sessions) -> None:
    day, opens, closes = sessions
    if len(day) == 0 or len(day) != len(opens) or len(day) != len(closes):
        raise ResearchError("there are no session days, or their opens and closes are missing")
    if not ascends(day) or bool((closes <= opens).any()) or bool((opens[1:] < closes[:-1]).any()):
        raise ResearchError("session days do not ascend, or overlap")


def _month(sessions: Sessions, at: int) -> int:
    """Months since year 0 of a session day."""
    _check(sessions)
    day = _date(int(sessions.trading_day[at]))
    return day.year * 12 + day.month - 1


def _month_start(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)


def _date(number: int) -> date:
    return date(number // 10_000, number // 100 % 100, number % 100)


def _number(day: date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day
