"""Searches of parameters and walk-forwards as batch jobs: ask, run, cancel.  A study is its folder in `var/studies`.

The work is `manage.py optimise` or `walkforward` in a process of its own: every trial is on disk before it counts, so
what was cancelled or killed goes on where it was when the same name is asked for again with the same words; other words
under a name are refused by the command itself.  Called by the pages and by the Celery task.
"""

import hashlib
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from desk.backtests import studies, working
from desk.backtests.models import CANCELLED, DONE, FAILED, OPEN, RUNNING, SEARCH, SearchRun
from desk.backtests.runs import reader_words
from marketdata.models import DataSet
from marketdata.services import cancel_job, end_job, open_job, take_job

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
KEPT = "what was tried is kept: the same name goes on"
OWN_ADDRESSES = ("new", "start")  # of pages: no study may be called so


class Request(NamedTuple):
    """What decides a study; `trials` may grow, 0 is what the method takes by itself."""

    config: str
    symbol: str
    strategy: str
    changes: list[str]
    first: str
    last: str
    space: str
    params: list[str]
    method: str
    trials: int
    objective: str
    min_trades: int
    seed: int
    purpose: str = SEARCH
    walk: dict[str, Any] = {}
    distributed: bool = False


class Busy(Exception):
    """A study of this name waits or is at work, with other words; the text says so."""


def ask(name: str, data_set: DataSet, request: Request, by: str, queue: Callable[[int], str]) -> SearchRun:
    """A new search, put into the queue; the open one of the same words, where there is one.

    `queue(search id)` says why it could not be queued: that fails the search at once.  Raises Busy.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()
    wanted = {**request._asdict(), "name": name, "data_set": data_set}
    made = open_job(SearchRun, digest, queue, **wanted, by=by)
    if any(getattr(made, field) != value for field, value in wanted.items()):
        raise Busy(f"a study called {name} waits or is at work, of other data or words: choose another name")
    return made


def last_of(name: str) -> SearchRun | None:
    """The search of this name that was asked for last, as it is shown."""
    row = SearchRun.objects.filter(name=name).order_by("-id").first() if NAME.fullmatch(name) else None
    return None if row is None else row.looked()


def open_ones() -> list[SearchRun]:
    """Those that wait or are at work, the first asked first."""
    rows = [row.looked() for row in SearchRun.objects.filter(state__in=OPEN).order_by("id")]
    return [row for row in rows if row.state in OPEN]


def cancel(name: str, by: str) -> bool:
    """Ask the open search of a name to end: one that waits ends here, one at work within seconds.  False: none is."""
    row = last_of(name)
    return row is not None and cancel_job(SearchRun, row.pk, by)


def workers() -> int:
    """Processes of a search: one core is left to the sessions."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def command_of(row: SearchRun) -> list[str]:
    """The words of `manage.py optimise` or `walkforward`."""
    words = working.manage(
        row.purpose, "--config", row.config, "--data", str(row.data_set_id), "--symbol", row.symbol,
        "--strategy", row.strategy, "--out", str(studies.folder() / row.name), "--method", row.method,
        "--objective", row.objective, "--min-trades", str(row.min_trades), "--seed", str(row.seed),
        "--json", "--progress-lines", *(["--distributed"] if row.distributed else ["--workers", str(workers())]),
    )  # fmt: skip
    words += [f"--{name}={value}" for name, value in (("space", row.space), ("trials", row.trials)) if value]
    words += [f"--{name.replace('_', '-')}={value}" for name, value in row.walk.items() if value is not None]
    words += [f"--param={text}" for text in row.params] + [f"--set={text}" for text in row.changes]
    words += [f"--option={name}={value}" for name, value in reader_words(row.data_set, row.symbol).items()]
    return words + [f"--{name}={day}" for name, day in (("from", row.first), ("to", row.last)) if day]


def run(run_id: int) -> str:
    """Do the work of a waiting search.  Returns the state in which it ended, "" if it was not waiting."""
    if (taken := take_job(SearchRun, run_id)) != RUNNING:
        return taken
    row = SearchRun.objects.get(pk=run_id)
    try:
        studies.folder().mkdir(parents=True, exist_ok=True)
        status, told = working.work(SearchRun, run_id, command_of(row))
        if status == 0:
            end_job(SearchRun, run_id, DONE)
        elif working.cancelled(SearchRun, run_id):
            end_job(SearchRun, run_id, CANCELLED, detail=f"cancelled; {KEPT}")
        else:
            end_job(SearchRun, run_id, FAILED, detail=told or f"the command ended with {status}; {KEPT}")
    except Exception as error:
        end_job(SearchRun, run_id, FAILED, detail=f"{type(error).__name__}: {error}")
        raise
    return str(SearchRun.objects.values_list("state", flat=True).get(pk=run_id))
