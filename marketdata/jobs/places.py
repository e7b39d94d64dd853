"""Which runtime folder a batch job belongs to: its files lie there, and a worker that sees another one cannot do it.

A folder is named by a few random letters in a file of its own.  Who asks for a job sends the name with it; a batch
worker on another machine, started for studies, has another folder or none, and says so instead of buying or storing
where nobody looks.  Called by who queues a job and by the Celery tasks.
"""

import contextlib
import os
import re
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from marketdata.models import FAILED, RUNNING, BatchRow
from marketdata.services import end_job, take_job

FILE = "place"
NAME = re.compile(r"[0-9a-f]{16}")


def here() -> str:
    """The name of this process's runtime folder, made at the first question; empty where it cannot be written."""
    path = Path(settings.VAR) / FILE
    try:
        if not path.exists():
            _make(path)
        found = path.read_text().strip()
    except OSError:
        return ""
    return found if NAME.fullmatch(found) else ""


def _make(path: Path) -> None:
    """Give the folder a name: of several who try at once the first one's stands, whole.  Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = secrets.token_hex(8)
    part = path.with_name(f".{FILE}.{name}")
    part.write_text(name)
    with contextlib.suppress(FileExistsError):
        os.link(part, path)
    part.unlink()


def elsewhere(place: str) -> str:
    """Why this process may not do a job of `place`; empty when it may, and for a job that names none."""
    if not place or place == here():
        return ""
    return (
        f"the batch worker on {socket.gethostname()} took it, which does not see this desk's runtime folder, so its"
        " files would be lost to the desk: end that worker, or give it the same folder (DESK_VAR), and ask again"
    )


def run(kind: type[BatchRow], job_id: int, place: str, work: Callable[[int], str]) -> str:
    """Do a waiting job of `place` here, or end it with why not.  Returns the state in which it ended, "" if it was not
    waiting."""
    if why := elsewhere(place):
        if (taken := take_job(kind, job_id)) != RUNNING:
            return taken
        end_job(kind, job_id, FAILED, detail=why)
        return FAILED
    return work(job_id)
