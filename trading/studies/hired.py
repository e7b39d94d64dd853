"""The crew of a shared study: workers of the queue, on whatever machine they are, instead of processes of our own.

It keeps a bounded window of trials in the shared database, asks the queue for workers as long as places are free, and
gives the answers as they come.  The ledger in the study's folder stays the record; what workers answered after their
study was killed or stopped is found in the database by the next command and written there first (`left_over`).
Called by `opening`.
"""

import contextlib
import hashlib
import json
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby, islice
from types import TracebackType
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError
from django.utils.module_loading import import_string

from trading.research.records import ResearchError
from trading.run.search.crew import Crew
from trading.run.search.ledger import Ledger, Trial
from trading.run.search.parcel import to_values, unpack
from trading.run.search.trial import Subject, Task
from trading.run.search.version import trial_code
from trading.studies import exchange
from trading.studies.exchange import KEY, LEND_HAND, Wanted
from trading.studies.patience import beating, patiently

T = TypeVar("T")
Say = Callable[[str], object]
WINDOW, WINDOW_MAX = 64, 512  # trials in line for each worker, and for all
INVITED_S = 20  # a worker that was asked has come by then, or others are asked
AT_ONCE = 8  # are asked at first, and as many as work afterwards: whoever comes late finds no place
NOBODY_TOLD_S, NOBODY_S = 15.0, 600.0  # without any worker: say so, give up
TRIES_MAX = 3  # workers that may be lost with one trial
LEFT_OVER = 64  # answers that are read at once


class HiredCrew(Crew):
    """Use as a context.  `workers`: how many of the queue's are asked for; `bench`: for what only one process does.

    Raises ResearchError: another command has the study, no queue, a database without these tables.
    """

    def __init__(self, subject: Subject, key: str, strategy_hash: str, workers: int, say: Say) -> None:
        super().__init__(subject, 1)
        self.workers = workers
        self._say = say
        (subject.tape / KEY).write_text(key)
        told = to_values(subject) | {"key": key, "code_hash": trial_code(), "strategy_hash": strategy_hash}
        owner = f"{socket.gethostname()}:{subject.tape.parent}"
        with _database():
            self._run = exchange.open_run(key, json.dumps(told), owner, workers, settings.STUDY_LEASE_S)
            exchange.forget()
        # from a thread, for what this process does by itself between two stages may take longer than a lease
        self._alive = contextlib.ExitStack()
        self._alive.enter_context(beating(lambda: exchange.keep_open(self._run), self._run.lease_s / exchange.BEATS))
        self._invited: deque[float] = deque()
        self._looked = self._seen = time.monotonic() - NOBODY_S
        self._met, self._told = False, False
        self._excused: set[str] = set()  # refusals of workers that were told

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alive.close()
        try:
            with _database():
                exchange.close_run(self._run)
        except ResearchError as fault:
            if error is None:
                raise
            self._say(str(fault))  # the workers end by themselves when the lease has run out

    def run(self, tasks: Iterable[Task]) -> Iterator[Trial]:
        """The trials as they are answered, in whatever order.  Raises ResearchError."""
        line = iter(tasks)
        waiting: dict[int, Task] = {}
        room = min(WINDOW * self.workers, WINDOW_MAX)
        self._seen = time.monotonic()  # nobody was asked before
        while True:
            if 2 * len(waiting) <= room and (more := list(islice(line, room - len(waiting)))):
                waiting |= self._patiently(partial(self._ask, more))
            if not waiting:
                return
            self._patiently(self._tend)
            found = self._patiently(partial(exchange.answers, list(waiting)))
            for row_id, packed in found:
                del waiting[row_id]
                yield unpack(packed)
            if not found:
                time.sleep(exchange.PAUSE_S)

    def left_over(self, ledger: Ledger) -> int:
        """Write into the ledger what was answered and is not in it: the command that asked did not live to.  Returns
        how many trials that were."""
        after, written = 0, 0
        known: dict[str, set[str]] = {}
        while True:
            with _database():
                rows = exchange.answered(self._run.run_id, after, LEFT_OVER)
            if not rows:
                return written
            after = rows[-1][0]
            for stage in {stage for _, stage, _ in rows} - known.keys():
                known[stage] = {json.dumps(point) for point in ledger.scores(stage)}
            missing = [row_id for row_id, stage, point in rows if point not in known[stage]]
            with _database():
                packed = exchange.answers(missing)
            ledger.add([unpack(trial) for _, trial in packed])
            written += len(packed)

    def _patiently(self, act: Callable[[], T]) -> T:
        with _database():
            return patiently(act, self._say)

    def _ask(self, tasks: list[Task]) -> dict[int, Task]:
        """Put tasks up; the row of each."""
        found: dict[int, Task] = {}
        for _, group in groupby(tasks, key=lambda task: task.stage):
            several = {json.dumps(task.point): task for task in group}
            rows = exchange.ask(self._run, [_wanted(point, task) for point, task in several.items()])
            found |= {rows[point]: task for point, task in several.items()}
        return found

    def _tend(self) -> None:
        """A few times in a lease: look after the workers, ask for more of them."""
        now = time.monotonic()
        if now - self._looked < self._run.lease_s / exchange.BEATS:
            return
        exchange.take_back(self._run.run_id)
        self._looked = now
        if fatal := exchange.worn_out(self._run.run_id, TRIES_MAX):
            raise ResearchError(
                f"{TRIES_MAX} workers were lost while they ran the trial {fatal} (was memory short?); the trials so far"
                " are kept"
            )
        working = exchange.working(self._run.run_id)
        if working:
            self._seen, self._met, self._told = now, True, False
        for excuse in exchange.excuses(self._run.run_id):
            if excuse not in self._excused:
                self._excused.add(excuse)
                self._say(f"A worker cannot help: {excuse}")
        self._wait_for_somebody(now)
        self._invite(now, self.workers - working)

    def _invite(self, now: float, free: int) -> None:
        """Ask the queue for as many workers as places are free, but for those that were asked a moment ago.

        Workers that are there go on without a broker; without any there is nothing to wait for."""
        while self._invited and now - self._invited[0] >= INVITED_S:
            self._invited.popleft()
        for _ in range(min(free, max(AT_ONCE, self.workers - free)) - len(self._invited)):
            away = import_string(settings.SEND_JOB)(LEND_HAND, run_id=self._run.run_id)
            if away and not self._met:
                raise ResearchError(_no_queue(away))
            if away:
                return
            self._invited.append(now)

    def _wait_for_somebody(self, now: float) -> None:
        """Say why nobody comes, once, and give up much later.  Raises ResearchError."""
        alone_s = now - self._seen
        if alone_s < NOBODY_TOLD_S or (self._told and alone_s < NOBODY_S):
            return
        why = "; ".join(sorted(exchange.excuses(self._run.run_id))) or _why_nobody()
        if alone_s >= NOBODY_S:
            raise ResearchError(f"no worker came within {NOBODY_S:.0f} s: {why}; the trials so far are kept")
        self._told = True
        self._say(f"No worker has come yet: {why}")


def check_queue(say: Say) -> None:
    """Before anything is read: is there a queue, does anybody serve it?  Raises ResearchError without a queue."""
    count, away = import_string(settings.COUNT_WORKERS)()
    if away:
        raise ResearchError(_no_queue(away))
    if count == 0:
        say(f"The study waits for workers: {_nobody()}")


def _why_nobody() -> str:
    """Why nobody may have come, asked now."""
    count, away = import_string(settings.COUNT_WORKERS)()
    if away:
        return _no_queue(away)
    if count == 0:
        return _nobody()
    some = "a worker of studies answers" if count == 1 else f"{count} workers of studies answer"
    return f"{some}, but may be busy with another study or use another database"


def _nobody() -> str:
    start = f"cd {settings.BASE_DIR} && {sys.executable} -m celery -A desk worker -Q {settings.STUDY_QUEUE}"
    return f"no worker of studies answers; start the desk (manage.py run), or one worker, here or elsewhere: {start}"


def _no_queue(fault: str) -> str:
    return (
        f"--distributed needs the queue of the desk, which is away: {fault}; start the desk (manage.py run), or name"
        " its Redis in DESK_REDIS_URL"
    )


def _wanted(point: str, task: Task) -> Wanted:
    assert not task.keep_rows, "what keeps its trades is run by one process alone"
    return Wanted(task.stage, task.kind, point, task.first, task.end, task.trades_min)


@contextlib.contextmanager
def _database() -> Iterator[None]:
    """The database's errors as one sentence."""
    try:
        yield
    except DatabaseError as error:
        raise ResearchError(
            f"the shared database does not answer: {error}; is it prepared (manage.py migrate)? What was answered is"
            " kept, and the same command goes on"
        ) from error


def key_of(identity: dict[str, Any]) -> str:
    """The name of a study among those of the shared database: what is searched by which code, whoever asks and
    wherever."""
    words = json.dumps([identity, trial_code()], sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()
