"""A worker's part in a shared study: take a place, open bars and strategy, run what is handed out, hand it in.

`lend` is what the queue's task calls: the work is done in a process of its own, for a worker that lives on would keep
yesterday's strategy in memory.  That process ends with its parent, however that went.  A worker that cannot see the
very study (its bars, this code, this strategy) says so and takes nothing.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from django.conf import settings
from django.db import connections

from trading.studies import exchange
from trading.studies.exchange import Held, Lost
from trading.studies.patience import beating, patiently

if TYPE_CHECKING:
    from trading.run.search.trial import Bench, Task
    from trading.studies.models import StudyTrial

TURN_S = 300.0  # then the worker takes what else is queued; the study asks again
CLAIM_S = 1.0  # of work that is claimed at once: so much is run again when a worker is lost
CLAIMS_MAX = 32
NOT_WANTED, CLOSED = "not wanted", "the study is closed"
REFUSED = 3  # exit status of a process that cannot see the study; its worker takes no other invitation for so long:
REFUSED_S = 30.0
log = structlog.get_logger("trading.studies")
_refused: dict[int, float] = {}  # until when, by study


class Stopped(BaseException):
    """This process was told to end; no error, for trials hand those on as their own."""


class Ended(NamedTuple):
    """How a turn ended.  `refused`: it could not begin, and the next here would not either."""

    words: str
    refused: bool = False


def lend(run_id: int) -> str:
    """Work for a study in a process of its own until there is nothing more to do; returns how that ended."""
    if not exchange.is_wanted(run_id) or _refused.get(run_id, 0.0) > time.monotonic():
        return NOT_WANTED  # the message waited longer than the study
    owner = f"{socket.gethostname()}#{os.getpid()}:{uuid.uuid4().hex[:8]}"
    words = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "studyhand", str(run_id), "--owner", owner]
    connections.close_all()  # it would idle through a whole turn
    try:
        # its standard input is its life line: it closes with this process
        with subprocess.Popen(words, cwd=settings.BASE_DIR, stdin=subprocess.PIPE) as process:
            status = process.wait()
        if status == REFUSED:
            _refused[run_id] = time.monotonic() + REFUSED_S
    finally:
        exchange.give_up(run_id, owner)
    return f"ended with {status}"


def work(run_id: int, owner: str, turn_s: float = TURN_S) -> Ended:
    """Run trials of a study in this process; returns how it ended.  Raises what the database raises."""
    subject = exchange.subject_of(run_id)
    if subject is None:
        return Ended(NOT_WANTED)
    bench = _bench(json.loads(subject))
    if isinstance(bench, str):
        log.warning("study_not_seen", study=run_id, why=bench)
        exchange.excuse(run_id, bench)
        return Ended(bench, refused=True)
    held = exchange.take_hand(run_id, owner)  # not before: who cannot help is not counted as a worker
    if held is None:
        return Ended(NOT_WANTED)
    try:
        with beating(lambda: exchange.keep_hand(held), held.lease_s / exchange.BEATS) as ended:
            told = _run(held, bench, ended, time.monotonic() + turn_s)
    except Lost as error:
        return Ended(str(error))
    except Stopped:
        told = "it was stopped"
    # whoever comes by another way is lost, and the trial that it stood in is suspected: it may end every worker
    patiently(lambda: exchange.give_back(held), log.warning)
    return Ended(told)


def stop_in_order() -> None:
    """Let SIGTERM end the work where it stands: what is finished is handed in, the rest is another's, unsuspected."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: what follows is short
        raise Stopped

    signal.signal(signal.SIGTERM, stop)


def end_with_parent() -> None:
    """End this process when its standard input closes."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4_096):  # not its buffer, whose lock would be held when the process ends
            continue
        os._exit(1)  # its thread of work may stand in a trial that nobody waits for

    threading.Thread(target=wait, name="life line", daemon=True).start()


def _bench(subject: dict[str, Any]) -> "Bench | str":
    """A place for trials of this very study, or why there can be none here."""
    from trading.run.search.version import trial_code

    key, code, strategy = subject.pop("key"), subject.pop("code_hash"), subject.pop("strategy_hash")
    here = socket.gethostname()
    if code != trial_code():  # before anything of it is used
        return f"{here} has another version of this desk in {settings.BASE_DIR}, or of Python, numpy or numba"

    from trading.run.backtest.plan import BacktestError
    from trading.run.search.crew import bench_of
    from trading.run.search.parcel import from_values

    opened = from_values(subject)
    try:
        if (opened.tape / exchange.KEY).read_text() != key:
            return f"{here} sees another study's bars in {opened.tape}"
        bench = bench_of(opened)
    except OSError as error:
        return f"{here} does not see the study's folder: {error.filename}: {error.strerror}"
    except BacktestError as error:
        return f"{here}: {error}"
    if bench.strategy.code_hash != strategy:
        return f"{here} has another version of the strategy {opened.strategy}"
    return bench


def _run(held: Held, bench: "Bench", ended: threading.Event, until: float) -> str:
    """Claim, run, hand in, until the study ends or the turn does.  Raises Lost."""
    count = 1
    while time.monotonic() < until:
        rows = None if ended.is_set() else patiently(lambda: _next(held, count), log.warning)  # noqa: B023 - called here
        if rows is None:
            return CLOSED
        if not rows:
            time.sleep(exchange.PAUSE_S)
            continue
        began = time.monotonic()
        if not _claimed(held, bench, rows, ended):
            return "a trial broke off"
        took = max(time.monotonic() - began, 1e-3)
        count = max(1, min(CLAIMS_MAX, 2 * count, round(CLAIM_S * len(rows) / took)))
    return "the turn is over"


def _next(held: Held, count: int) -> "list[StudyTrial] | None":
    """Trials that are ours now, perhaps none yet; None when the study hands out nothing more.  Raises Lost."""
    if not exchange.is_open(held.run_id):
        return None
    return exchange.claim(held, count) if exchange.is_waiting(held.run_id) else []


def _claimed(held: Held, bench: "Bench", rows: "list[StudyTrial]", ended: threading.Event) -> bool:
    """Run what was claimed; False when one of them broke off.  Whatever happens, what was finished is handed in."""
    from trading.research.records import ResearchError
    from trading.run.search.parcel import pack

    finished: list[tuple[int, bytes]] = []
    handed = time.monotonic()
    try:
        for row in rows:
            try:
                finished.append((row.pk, pack(bench.run(task_of(row)))))
            except ResearchError as error:
                why = str(error)
                patiently(lambda: exchange.break_off(held, row.pk, why), log.warning)  # noqa: B023 - called here
                return False
            if time.monotonic() - handed >= CLAIM_S:
                patiently(lambda: exchange.answer(held, finished), log.warning)
                finished.clear()
                handed = time.monotonic()
            if ended.is_set():
                return True
        return True
    finally:
        if finished:
            patiently(lambda: exchange.answer(held, finished), log.warning)


def task_of(row: "StudyTrial") -> "Task":
    """What a row asks for."""
    from trading.run.search.trial import Task

    point = tuple(json.loads(row.point))
    return Task(row.stage, row.kind, point, row.first, row.end, trades_min=row.trades_min)
