"""Backtests, over bars and over books, as batch jobs: ask, run, cancel, look, delete.  The row is the job's only voice.

The work is `manage.py backtest` in a process of its own: the command writes a whole result or none, and dies with its
worker.  A run without a sign of life is shown as failed.  A killed one left nothing and is asked for again, from the
start: it is the same result.  Called by the pages and by the Celery task.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from desk.backtests import strategies, working
from desk.backtests.models import CANCELLED, DONE, FAILED, OPEN, RUNNING, BacktestRun, SearchRun
from marketdata.feeds.port import FeedError
from marketdata.models import DataSet
from marketdata.selectors import data_set_path
from marketdata.services import cancel_job, end_job, open_job, take_job
from marketdata.store.coverage import look
from trading.management.history import registry_file
from trading.research.records import ResearchError
from trading.run.backtest.codehash import code_hash
from trading.run.search.ledger import others_on

STUDIES = "studies"  # where `optimise` and `walkforward` put theirs, unless told otherwise
FILES = ("trades.csv", "equity.csv", "summary.json")
FILLS = "fills.csv"  # of books, beside them


class Request(NamedTuple):
    """What decides a result; `seed` and `elsewhere` what the criticism draws and counts.  Over `books` a tape instead
    of days, and the latency of requests."""

    config: str
    symbol: str
    strategy: str
    changes: list[str]
    first: str
    last: str
    seed: int
    elsewhere: int
    books: bool = False
    latency: str = ""
    seconds: int = 0


def folder_of(run: BacktestRun) -> Path:
    """Where a result's files are."""
    return Path(settings.VAR) / "results" / f"backtest-{run.pk}"


def files_of(run: BacktestRun) -> tuple[str, ...]:
    """Names of a result's files."""
    return (*FILES, FILLS) if run.books else FILES


# asking


def ask(data_set: DataSet, request: Request, by: str, queue: Callable[[int], str]) -> BacktestRun:
    """A new run, put into the queue; the open one of the same request, where there is one.

    `queue(run id)` says why it could not be queued: that fails the run at once.
    """
    trial = _trial(data_set.path, _code(request.strategy), request)
    asked = _digest(trial, request.seed, request.elsewhere)
    of = {"data_set": data_set, "data_path": data_set.path, "trial": trial}
    return open_job(BacktestRun, asked, queue, **request._asdict(), **of, by=by)


def _trial(data_path: str, code: str, asked: Request | BacktestRun) -> str:
    """What decides a result, with the hash of the strategy's code."""
    words = [getattr(asked, name) for name in Request._fields[:6]]
    if asked.books:  # where latencies are drawn, the seed decides, too
        words += [asked.latency, asked.seconds, *([asked.seed] if asked.latency.startswith("session:") else [])]
    return _digest(data_path, code, *words)


def _digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _code(words: str) -> str:
    """Hash of a strategy's code; other code is another trial."""
    if words == strategies.BASELINE:
        return str(settings.CODE_HASH)
    offer = strategies.named(words)
    return code_hash(str(offer.path)) if offer else ""


def trials_of(run: BacktestRun) -> int:
    """Different trials on the same data: backtests, this one, deleted ones and those at work beside it included, those
    of the desk's studies and those told of (N11).

    Raises FeedError, OSError where the data have no name, ResearchError for a broken study."""
    others = BacktestRun.objects.filter(data_path=run.data_path, state__in=(DONE, RUNNING)).exclude(trial=run.trial)
    return others.values("trial").distinct().count() + 1 + run.elsewhere + _searched(run.data_set)


def _searched(data_set: DataSet | None) -> int:
    """Trials of the studies on the same bytes, wherever their folders are or were."""
    studies = Path(settings.VAR) / STUDIES
    told = studies.is_dir() or registry_file().is_file()
    if data_set is None or data_set.bar_ns == 0 or not told:  # studies are of bars
        return 0
    data_hash = look(data_set_path(data_set)).data_hash
    return others_on(studies / "none", data_hash, registry_file()).searched


def open_on(data_set: DataSet) -> list[str]:
    """Names of the backtests and searches that wait for or read a data set."""
    backtests = BacktestRun.objects.filter(data_set=data_set, state__in=OPEN).order_by("id")
    found = SearchRun.objects.filter(data_set=data_set, state__in=OPEN).order_by("id")
    rows = [row.looked() for row in (*backtests, *found)]
    return [row.title for row in rows if row.state in OPEN]


def cancel(run_id: int, by: str) -> bool:
    """Ask a run to end: one that waits ends here, one at work within seconds.  False: it is over."""
    return cancel_job(BacktestRun, run_id, by)


def _end(run_id: int, state: str, **fields: Any) -> bool:
    return end_job(BacktestRun, run_id, state, **fields)


# running


def reader_words(data_set: DataSet | None, symbol: str) -> dict[str, str]:
    """Options of the reader: a tape of another contract of the same market is traded as `symbol`."""
    held = data_set.symbols[0] if data_set is not None and data_set.symbols else symbol
    return {} if held == symbol else {"as_symbol": f"{held}:{symbol}"}


def command_of(run: BacktestRun) -> list[str]:
    """The words of `manage.py backtest`."""
    words = working.manage(
        "backtest", "--config", run.config, "--data", str(run.data_set_id),
        "--symbol", run.symbol, "--strategy", run.strategy, "--out", str(folder_of(run)), "--trials", str(run.trials),
        "--seed", str(run.seed), "--overwrite", "--json", "--progress-lines",
    )  # fmt: skip
    words += [f"--set={change}" for change in run.changes]
    if run.books:
        words += ["--books", *([f"--latency={run.latency}"] if run.latency else [])]
        words += [f"--seconds={run.seconds}"] if run.seconds else []
    words += [f"--option={name}={value}" for name, value in reader_words(run.data_set, run.symbol).items()]
    return words + [f"--{name}={day}" for name, day in (("from", run.first), ("to", run.last)) if day]


def run(run_id: int) -> str:
    """Do the work of a waiting run.  Returns the state in which it ended, "" if it was not waiting."""
    if (taken := take_job(BacktestRun, run_id)) != RUNNING:
        return taken
    row = BacktestRun.objects.get(pk=run_id)
    try:
        code = _code(row.strategy)
        row.trial = _trial(row.data_path, code, row)  # its code may have changed while it waited
        row.trials = trials_of(row)
        BacktestRun.objects.filter(pk=run_id).update(trial=row.trial, trials=row.trials)
        _clear(folder_of(row))
        status, told = working.work(BacktestRun, run_id, command_of(row))
        if status == 0:
            files, figures = _result(folder_of(row), files_of(row), code)
            if not _end(run_id, DONE, files=files, figures=figures):  # closed as lost: then nothing is left of it
                shutil.rmtree(folder_of(row), ignore_errors=True)
        elif working.cancelled(BacktestRun, run_id):
            _end(run_id, CANCELLED, detail="cancelled; nothing was written")
        else:
            _end(run_id, FAILED, detail=told or f"the command ended with {status}; nothing was written")
    except (FeedError, ResearchError) as refusal:
        _end(run_id, FAILED, detail=str(refusal))
    except Exception as error:
        _end(run_id, FAILED, detail=f"{type(error).__name__}: {error}")
        raise
    return str(BacktestRun.objects.values_list("state", flat=True).get(pk=run_id))


def _clear(folder: Path) -> None:
    """What runs that were killed left: beside the place of this one's result, and whole results that nobody noted."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    numbers = [path.name.removeprefix("backtest-") for path in folder.parent.glob("backtest-*")]
    written = BacktestRun.objects.filter(pk__in=[int(text) for text in numbers if text.isdecimal()])
    left = [folder_of(row) for row in written.filter(state__in=(FAILED, CANCELLED))]
    for path in [*folder.parent.glob(f".{folder.name}.*"), *left]:
        shutil.rmtree(path, ignore_errors=True)


def _result(folder: Path, names: tuple[str, ...], code: str) -> tuple[dict[str, list[object]], dict[str, Any]]:
    """Manifest, and the figures of lists, of a whole result.  Raises ResearchError for one of other code."""
    files: dict[str, list[object]] = {}
    for name in names:
        with open(folder / name, "rb") as file:
            files[name] = [(folder / name).stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]
    values = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    if (values["run"]["strategy_hash"] or "") != code:
        shutil.rmtree(folder)
        raise ResearchError("its strategy was changed while it started: run it again")
    return files, {
        "net": values["trades"]["net"],
        "trades": values["trades"]["count"],
        "sharpe": values["returns"]["sharpe"],
        "drawdown_pct": values["drawdown"]["pct"],
        "bars": values["period"].get("bars", values["period"].get("events")),
        "config_hash": values["run"]["config_hash"],
        "data_hash": values["run"]["data_hash"],
        "blocked_by": values["criticism"]["blocked_by"],
    }


def delete_files(run_id: int, by: str, told: Callable[[BacktestRun], None]) -> BacktestRun:
    """Take a result's files away for good; its row stays, a trial.  Raises BacktestRun.DoesNotExist, OSError."""
    with transaction.atomic():
        row = BacktestRun.objects.select_for_update().get(pk=run_id, state=DONE, deleted_at=None)
        BacktestRun.objects.filter(pk=run_id).update(deleted_by=by, deleted_at=timezone.now())
        told(row)
    if folder_of(row).exists():
        shutil.rmtree(folder_of(row))
    return row
