"""The process that does an open job's work: a command of the desk, its signs of life, how far it is, and its end.

The command dies with its worker and ends by itself at Ctrl-C, which is how it is cancelled.  What it says goes into the
job's row, the job's only voice.  Called by `runs`, `searches` and `parity.jobs`.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from django.db import Error as DatabaseFault
from django.utils import timezone

from desk.backtests import strategies
from desk.backtests.models import RUNNING, BacktestRun, ParityRun, SearchRun
from desk.jitcache import BASE
from marketdata.services import leave_dead_connection

BEAT_S = 0.5
CANCEL_S = 30.0  # a command that does not end by itself is ended
Kind = type[BacktestRun] | type[SearchRun] | type[ParityRun]


def manage(*words: str) -> list[str]:
    """`manage.py` with these words."""
    return [sys.executable, str(BASE / "manage.py"), *words]


def work(kind: Kind, job_id: int, command: list[str]) -> tuple[int, str]:
    """Run a command of a job: (exit status, its last sentence).

    It is ended when somebody asked for the job's end or closed the job.
    """
    wrapper = [sys.executable, "-P", "-m", "desk.ops.child", "--signal", "SIGTERM", "--hear", "SIGINT", "--"]
    paths = [str(BASE), *filter(None, [os.environ.get("PYTHONPATH")])]
    strategies.folder().mkdir(parents=True, exist_ok=True)
    child = subprocess.Popen(
        [*wrapper, *command],
        cwd=strategies.folder(),  # where a strategy of one's own is found
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    heard = _Heard()
    listener = threading.Thread(target=heard.listen, args=(child.stderr,), daemon=True)
    listener.start()
    ends_s: float | None = None
    try:
        while child.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(BEAT_S)
            if _beat(kind, job_id, heard) and ends_s is None:
                child.send_signal(signal.SIGINT)
                ends_s = time.monotonic() + CANCEL_S
            elif ends_s is not None and time.monotonic() > ends_s:
                child.kill()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        listener.join()
    return child.returncode, heard.last.removeprefix("CommandError: ")


def cancelled(kind: Kind, job_id: int) -> bool:
    """Whether somebody asked for its end, or closed it."""
    leave_dead_connection()
    return not kind.objects.filter(pk=job_id, state=RUNNING, cancel_asked_by="").exists()


class _Heard:
    """What a command says on its standard error: lines of progress, and a sentence at the end."""

    def __init__(self) -> None:
        self.done, self.total, self.words, self.last = 0, 0, "", ""

    def listen(self, stream: Any) -> None:
        for line in stream:
            text = line.replace("\0", "").strip()  # a database of text takes no zero byte
            if text and not self._progress(text):
                self.last = text

    def _progress(self, text: str) -> bool:
        """Whether a line is one of progress; a strategy may write whatever it likes beside them."""
        if not text.startswith('{"done"'):
            return False
        try:
            found = json.loads(text)
            self.done, self.total, self.words = int(found["done"]), int(found["total"]), str(found["words"])
        except (ValueError, KeyError, TypeError):
            return False
        return True


def _beat(kind: Kind, job_id: int, heard: _Heard) -> bool:
    """A sign of life; True when the job is to end.  A database that does not answer is no reason to stop."""
    try:
        leave_dead_connection()
        mine = kind.objects.filter(pk=job_id, state=RUNNING)
        held = mine.update(beat_at=timezone.now(), done=heard.done, total=heard.total, words=heard.words[:200])
        return not held or mine.exclude(cancel_asked_by="").exists()
    except DatabaseFault:
        return False
