"""Who runs the trials: this process, or several that share the bars in memory and compiled kernels on disk.

Workers are started anew (spawn), for what a strategy imports may not survive a fork; they map the tape, import the
strategy by its name and then get points.  They leave Ctrl-C to their parent and end when it is gone, however it went.
Called by `study` and by the walk-forward.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from types import TracebackType

from trading.research.records import ResearchError
from trading.run.backtest.plan import BacktestError
from trading.run.backtest.signals import strategy_of
from trading.run.search import tape
from trading.run.search.ledger import Trial
from trading.run.search.trial import Bench, Subject, Task

AHEAD = 4  # tasks in line for each worker
GONE = 1

_bench: Bench | None = None  # of a worker process,
_fault = ""  # and why it has none


class Crew:
    """Use as a context.  `workers` 1: everything happens here."""

    def __init__(self, subject: Subject, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        if workers == 1:
            self.bench = bench_of(subject)
            return
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(subject,))
        self.bench = bench_of(subject)  # for what only one process does: checks, the best at the end

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, tasks: Iterable[Task]) -> Iterator[Trial]:
        """The trials as they are ready, in whatever order.  Raises ResearchError when a worker died or cannot begin."""
        if self._pool is None:
            for task in tasks:
                yield self.bench.run(task)
            return
        line = iter(tasks)
        running: set[Future[Trial]] = set()
        try:
            while True:
                for task in islice(line, AHEAD * self.workers - len(running)):
                    running.add(self._pool.submit(_run, task))
                if not running:
                    return
                ready, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield future.result()
        except BrokenProcessPool:
            raise ResearchError(
                "a worker process died (was memory short?); the trials so far are kept, and the same command with"
                " --workers 1 goes on"
            ) from None
        finally:
            for future in running:
                future.cancel()


def bench_of(subject: Subject) -> Bench:
    """A place for trials in this process.  Raises BacktestError, OSError."""
    return Bench(subject, tape.read(subject.tape), strategy_of(subject.strategy, folder=Path(subject.folder)))


def _begin(subject: Subject) -> None:
    """A worker's first work."""
    global _bench, _fault
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _bench = bench_of(subject)
    except Exception as error:  # noqa: BLE001 - raised here it would break the pool, and nobody could say what it was
        _fault = str(error) if isinstance(error, BacktestError) else f"{type(error).__name__}: {error}"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(GONE)  # its thread of work waits for a task that nobody will send


def _run(task: Task) -> Trial:
    if _bench is None:
        raise ResearchError(f"a worker process cannot begin: {_fault}")
    return _bench.run(task)
