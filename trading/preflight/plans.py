"""Plans that pre-flight has asked for: one reading of a tape serves the page and the start that follows it.

Reading a recording or back-filling the simulated market takes seconds.  A plan is kept for as long as pre-flight is
good, under a key that changes with the version, the account and the file; a start joins a reading that still runs.  A
refused plan is never kept.
"""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from trading.configs import Profile
from trading.models import Account, ConfigVersion
from trading.preflight.planning import plan_session
from trading.run.spec import FeedSpec, ScorerSpec, SessionSpec

GOOD_S = 30
READERS = 2
_POOL = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="plan")
_LOCK = threading.Lock()
_ASKED: dict[tuple[object, ...], "_Asked"] = {}


class _Asked:
    """One reading, and when it ended (None: it runs)."""

    def __init__(self, job: "Future[SessionSpec]") -> None:
        self.job = job
        self.ended: float | None = None
        job.add_done_callback(self._note)

    def _note(self, job: "Future[SessionSpec]") -> None:
        self.ended = time.monotonic()

    def good(self) -> bool:
        """Whether it still runs, or ended well not long ago."""
        if not self.job.done():
            return True
        young = self.ended is None or time.monotonic() - self.ended < GOOD_S
        return young and not self.job.cancelled() and self.job.exception() is None


def ask(
    mode: str, feed: FeedSpec, scorer: ScorerSpec, account: Account, version: ConfigVersion, profile: Profile
) -> "Future[SessionSpec]":
    """The spec that this plan would be stored with, as a future; it fails with what `plan_session` raises."""
    files = tuple(_stamp(part) for part in feed.path.split(",") if part)
    money = (account.name, account.venue, account.currency)
    key = (mode, msgspec.json.encode((feed, scorer)), money, version.id, version.hash, files)
    with _LOCK:
        for old in [name for name, asked in _ASKED.items() if not asked.good()]:
            del _ASKED[old]
        if key not in _ASKED:
            job = _POOL.submit(
                plan_session,
                account=account,
                version=version,
                profile=profile,
                feed=feed,
                scorer=scorer,
                mode=mode,
            )
            _ASKED[key] = _Asked(job)
        return _ASKED[key].job


def _stamp(path: str) -> tuple[int, int]:
    """Size and time of change; a file that is not there has none."""
    try:
        found = Path(path).stat()
    except OSError:
        return (-1, 0)
    return found.st_size, found.st_mtime_ns
