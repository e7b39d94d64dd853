"""Drills as batch jobs: the page stores a run and queues it, the batch worker runs the command in a process of its own.

The command keeps its rows in the stored run; nothing comes back by the broker.  It dies in order with its worker.
"""

import subprocess
import sys
from typing import NamedTuple

from celery import shared_task
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy
from redis import RedisError

from desk.jitcache import BASE
from desk.ops.drills import record
from trading.run.streams import make_client


class Job(NamedTuple):
    """One choice of the page's button."""

    name: str
    kind: str
    words: tuple[str, ...]
    title: "str | Promise"
    help: "str | Promise"


JOBS = {
    job.name: job
    for job in (
        Job(
            "rehearsal",
            "rehearsal",
            ("kill", "--here", "--release"),
            gettext_lazy("Rehearse the kill on this desk"),
            gettext_lazy(
                "A real kill: every running paper session is closed and latched, by both roads and the shell. "
                "The latch is released after its minute; sessions stay paused until a person resumes. About 90 s."
            ),
        ),
        Job(
            "matrix",
            "kill",
            ("kill", "--times", "1"),
            gettext_lazy("Kill matrix on a private desk"),
            gettext_lazy(
                "A second desk with its own folder and ports: every road with every part dead, once each, then "
                "restarts. This desk trades on, but shares the machine. About 10 minutes."
            ),
        ),
        Job(
            "load",
            "load",
            ("load", "--browsers", "40", "--minutes", "2"),
            gettext_lazy("40 browsers for 2 minutes on a private desk"),
            gettext_lazy("Ages of what they see, the server's memory, the order path beside it. About 6 minutes."),
        ),
    )
}


class NoBroker(RuntimeError):
    """The queue does not answer."""


def queue(job: Job, by: str) -> int:
    """Store the run and queue it.  Returns its id.  Raises record.Busy, NoBroker.

    Asked first whether anybody is there: Celery's own client waits for seconds before it gives up.
    """
    from kombu.exceptions import OperationalError

    from desk.celery import app  # the web does not load Celery before somebody queues a job

    run = record.ask(job.kind, by, {"job": job.name})
    try:
        with make_client(settings.REDIS_URL) as client:
            client.ping()
        fields = {"run_id": run.pk, "words": list(job.words), "by": by}
        app.send_task("desk.ops.tasks.run_drill", kwargs=fields, retry=False)
    except (RedisError, OperationalError) as error:
        record.cancel(run.pk, "the queue")
        raise NoBroker(str(error)) from error
    return int(run.pk)


@shared_task(name="desk.ops.tasks.run_drill", ignore_result=True, acks_late=False)
def run_drill(*, run_id: int, words: list[str], by: str) -> int:
    """Run `manage.py drill …` to its end; its exit status.  A failed start is a failed run."""
    command = [sys.executable, str(BASE / "manage.py"), "drill", *words, "--run", str(run_id), "--by", by]
    wrapper = [sys.executable, "-m", "desk.ops.child", "--signal", "SIGTERM", "--"]
    done = subprocess.run([*wrapper, *command], cwd=BASE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        record.give_up(run_id, f"the command ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.returncode
