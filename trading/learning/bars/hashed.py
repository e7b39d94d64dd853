"""The rows of a data set computed and hashed, not stored: by sessions, on as many threads as there are processors.

A session is computed by itself, because nothing is computed across its border; the compiled step and the hash leave the
interpreter alone, so threads work side by side while the next bars are read.  Results are taken in the order of time:
the hash is that of the file that `file` writes, on any number of threads.  Called by `manage.py features` and `bench`.
"""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np

from marketdata.core.barfeatures.engine import BarFeatures, BarRefused
from marketdata.core.barfeatures.records import BAR_DAY
from marketdata.core.barfeatures.schema import FEATURE_NAMES
from trading.learning.bars.digest import HOUR_S, Hours, RowsDigest
from trading.learning.bars.rows import BarRows, Made, Session
from trading.learning.dataset import DataError

THREADS_MAX = 8
AHEAD = 2  # sessions that wait for a thread, of each
BLOCK_ROWS = HOUR_S // 2  # of a session without holes: no block crosses an hour, and its rows stay in the cache


class _Done(NamedTuple):
    """One session: its rows but for the features, and the hashes of those."""

    hours: Hours
    second: np.ndarray
    valid: np.ndarray
    label: np.ndarray


def threads_of() -> int:
    """Processors that this process may use, THREADS_MAX at most."""
    return min(len(os.sched_getaffinity(0)), THREADS_MAX)


def hash_rows(source: BarRows, threads: int = 0) -> Made:
    """Compute and hash all rows of `source`; `threads`: 0 takes as many as there are processors.

    Raises what BarRows raises."""
    digest = RowsDigest()
    rows = valid = labelled = 0
    for done in _in_order(source, threads or threads_of()):
        digest.add_session(*done)
        rows += len(done.second)
        valid += int(done.valid.sum())
        labelled += int((done.valid & (done.label >= 0)).sum())
    if rows == 0:
        raise DataError(f"{source.path} holds no bar of {source.symbol} within a session")
    return Made(source.kept, rows, valid, labelled, source.dropped, source.schema.hash, digest.hexdigest())


def _in_order(source: BarRows, threads: int) -> Iterator[_Done]:
    """Every session, computed by some thread, in the order of time."""
    idle: SimpleQueue[BarFeatures] = SimpleQueue()
    for _ in range(threads):
        idle.put(BarFeatures(np.zeros(0, BAR_DAY), FEATURE_NAMES, BLOCK_ROWS))

    def computed(session: Session) -> _Done:
        engine = idle.get()  # there is one a thread
        try:
            return _compute(engine, session)
        except BarRefused as error:
            raise DataError(f"{source.path}: {error}") from None
        finally:
            idle.put(engine)

    waiting: deque[Future[_Done]] = deque()
    with ThreadPoolExecutor(threads, "features") as pool:
        try:
            for session in source.sessions():
                waiting.append(pool.submit(computed, session))
                while len(waiting) > (1 + AHEAD) * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _compute(engine: BarFeatures, session: Session) -> _Done:
    engine.restart()
    engine.days = session.days
    hours = Hours()
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    labels: list[np.ndarray] = []
    for block in engine.blocks(session.bars, session.until):
        hours.add(block.second, block.features)
        parts.append((block.second.copy(), block.valid))
        labels.append(block.label.copy())
    hours.end()
    labels.append(engine.last_labels())
    second, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Done(hours, second, valid, np.concatenate(labels))
