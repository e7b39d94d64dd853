"""Proofs of parity as batch jobs: a recorded session as a backtest, asked for on its page, run by the batch worker.

The work is `manage.py replay N --parity` in a process of its own; what it finds lies beside the results, and is made
anew by whoever asks again.  Called by the pages and by the Celery task.
"""

import csv
import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from desk.backtests import working
from desk.backtests.models import CANCELLED, DONE, FAILED, RUNNING, ParityRun
from marketdata.services import cancel_job, end_job, open_job, take_job
from trading.reports.parity import tell
from trading.reports.parity.tell import FILLS, ORDERS, PROOF

FILES = (PROOF, ORDERS, FILLS)
NOTHING = "nothing was written"


def folder_of(session_id: int) -> Path:
    """Where the proof of a session lies."""
    return tell.folder_of(Path(settings.VAR), session_id)


def ask(session_id: int, by: str, queue: Callable[[int], str]) -> ParityRun:
    """A new proof, put into the queue; the open one of the same session, where there is one."""
    digest = hashlib.sha256(f"session {session_id}".encode()).hexdigest()
    return open_job(ParityRun, digest, queue, session_id=session_id, by=by)


def last_of(session_id: int) -> ParityRun | None:
    """The one that was asked for last, as it is shown."""
    row = ParityRun.objects.filter(session_id=session_id).order_by("-id").first()
    return None if row is None else row.looked()


def cancel(session_id: int, by: str) -> bool:
    """Ask the open proof of a session to end.  False: none is."""
    row = last_of(session_id)
    return row is not None and cancel_job(ParityRun, row.pk, by)


def command_of(row: ParityRun) -> list[str]:
    """The words of `manage.py replay`."""
    out = ("--out", str(folder_of(row.session_id)))
    return working.manage("replay", str(row.session_id), "--parity", *out, "--json", "--progress-lines")


def run(run_id: int) -> str:
    """Do the work of a waiting proof.  Returns the state in which it ended, "" if it was not waiting."""
    if (taken := take_job(ParityRun, run_id)) != RUNNING:
        return taken
    row = ParityRun.objects.get(pk=run_id)
    try:
        folder_of(row.session_id).parent.mkdir(parents=True, exist_ok=True)
        before = _stamp(row.session_id)
        status, told = working.work(ParityRun, run_id, command_of(row))
        if status == 0 or (status == 1 and _stamp(row.session_id) != before):  # 1: it differs, or it failed
            values = read(row.session_id)
            end_job(ParityRun, run_id, DONE, verdict=str(values["verdict"]))
        elif working.cancelled(ParityRun, run_id):
            end_job(ParityRun, run_id, CANCELLED, detail=f"cancelled; {NOTHING}")
        else:
            end_job(ParityRun, run_id, FAILED, detail=told or f"the command ended with {status}; {NOTHING}")
    except Exception as error:
        end_job(ParityRun, run_id, FAILED, detail=f"{type(error).__name__}: {error}")
        raise
    return str(ParityRun.objects.values_list("state", flat=True).get(pk=run_id))


def _stamp(session_id: int) -> tuple[int, int] | None:
    """What changes when a proof is written; None without one."""
    try:
        found = (folder_of(session_id) / PROOF).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


# what was found


def read(session_id: int) -> dict[str, Any]:
    """The values of a proof.  Raises OSError without one, ValueError for a file that is none."""
    found: dict[str, Any] = json.loads((folder_of(session_id) / PROOF).read_text(encoding="utf-8"))
    return found


def rows_of(session_id: int, name: str, first: int, count: int) -> list[dict[str, str]]:
    """Lines of one of its tables; none are read behind them.  Raises OSError."""
    with open(folder_of(session_id) / name, encoding="utf-8", newline="") as file:
        return list(itertools.islice(csv.DictReader(file), first, first + count))
