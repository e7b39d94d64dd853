"""The processes of a desk on one machine, as one table of data, and the supervisor's configuration made from it.

`manage.py run` writes the configuration; the supervisor starts the programs in the order of `priority`, restarts what
dies (with back-off when it dies at once) and stops them in the reverse order.  Nothing here starts a process.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from desk.ops.embedded import redis_arguments, redis_binary

LOOP_WORKERS = ("feed", "inference", "risk", "execution")  # one normally holds each; sinks goes to any of them
WORKERS = 50  # priority of the Celery workers
# Who steps behind the order path when the cores are busy: pictures may be late, and a search takes what is left over.
NICE_WEB = 5
NICE_ALERTS = 5
NICE_BATCH = 8
LOG_BYTES_MAX = 10_000_000
LOG_COPIES = 5
SOCKET_PATH_MAX = 100  # bytes; the system's limit for a Unix socket's path is 108


class Program(NamedTuple):
    """One row: lower priorities start first and stop last."""

    name: str
    priority: int
    command: tuple[str, ...]
    stop_wait_s: int  # then SIGKILL, to the whole group
    orphan_signal: str = "SIGKILL"  # what the kernel sends when the supervisor itself dies
    nice: int = 0


class Layout(NamedTuple):
    """Where the desk stands: the project's folder, its runtime folder and its ports."""

    base: Path
    var: Path
    web_port: int
    guard_port: int
    redis_port: int
    external_redis: bool

    @property
    def logs(self) -> Path:
        return self.var / "logs"

    @property
    def supervisor_conf(self) -> Path:
        return self.var / "supervisord.conf"

    @property
    def supervisor_log(self) -> Path:
        return self.logs / "supervisord.log"


def programs(layout: Layout) -> list[Program]:
    """All programs of this desk.  Raises NoRedis when no server can be started and none is named."""
    manage = (sys.executable, str(layout.base / "manage.py"))
    celery = (sys.executable, "-m", "celery", "-A", "desk", "worker", "--without-gossip", "--without-mingle")
    quiet = ("--without-heartbeat", "-l", "INFO")
    # what a job leaves behind goes with its process
    forking = ("-P", "prefork", "-c", "1", "--max-tasks-per-child", "20")
    daphne = (sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(layout.web_port), "-v", "0")
    rows = [
        Program("venue", 20, (*manage, "venue"), 5),
        Program("guard", 30, (*manage, "guard"), 5),
        Program("web", 40, (*daphne, "desk.asgi:application"), 5, nice=NICE_WEB),
        Program("alerts", 45, (*manage, "alerts"), 8, nice=NICE_ALERTS),
        *(
            Program(
                f"loop{number}",
                WORKERS,
                (*celery, *quiet, "-Q", f"loops,loops.{name}", "-P", "threads", "-c", "8", "-n", f"loop{number}@%h"),
                6,
            )
            for number, name in enumerate(LOOP_WORKERS, start=1)
        ),
        Program(
            "batch",
            WORKERS,
            (*celery, *quiet, "-Q", "batch,default", *forking, "-n", "batch@%h"),
            6,
            nice=NICE_BATCH,
        ),
        Program(
            "hands",
            WORKERS,
            (*celery, *quiet, "-Q", settings.STUDY_QUEUE, *forking, "-n", "hands@%h"),
            6,
            nice=NICE_BATCH,
        ),
    ]
    if not layout.external_redis:
        server = tuple(redis_arguments(redis_binary(), layout.redis_port, layout.var / "redis"))
        rows.insert(0, Program("redis", 10, server, 5, orphan_signal="SIGTERM"))
    return rows


def child_environment(layout: Layout) -> dict[str, str]:
    """What every program gets beside the caller's own environment."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **inherited,
        "DJANGO_SETTINGS_MODULE": "desk.settings",
        "DESK_VAR": str(layout.var),
        "NUMBA_CACHE_DIR": os.environ["NUMBA_CACHE_DIR"],  # set by desk.jitcache before Django
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }


def escape(value: str | Path) -> str:
    """A percent sign starts an expansion in the supervisor's file, and a line's end ends the value."""
    assert "\n" not in str(value), f"a line break cannot stand in the supervisor's file: {value!r}"
    return str(value).replace("%", "%%")


def section(program: Program, layout: Layout) -> str:
    options = ("--signal", program.orphan_signal, "--nice", str(program.nice))
    wrapped = (sys.executable, "-m", "desk.ops.child", *options, "--", *program.command)
    return "\n".join(
        (
            f"[program:{program.name}]",
            f"command={escape(shlex.join(wrapped))}",
            f"directory={escape(layout.base)}",
            f"priority={program.priority}",
            "autostart=true",
            "autorestart=true",
            # a shorter life counts as a failed start: the next try waits one second longer each time
            "startsecs=6",
            "startretries=100",
            f"stopwaitsecs={program.stop_wait_s}",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={escape(layout.logs / program.name)}.log",
            f"stdout_logfile_maxbytes={LOG_BYTES_MAX}",
            f"stdout_logfile_backups={LOG_COPIES}",
            "",
        )
    )


def supervisor_configuration(layout: Layout, rows: list[Program]) -> str:
    """The text of supervisord.conf: the table above, and a control socket that only its owner can open."""
    head = "\n".join(
        (
            "[supervisord]",
            "nodaemon=true",
            "silent=true",
            f"directory={escape(layout.base)}",
            f"logfile={escape(layout.supervisor_log)}",
            f"logfile_maxbytes={LOG_BYTES_MAX}",
            "logfile_backups=2",
            f"pidfile={escape(layout.var / 'supervisord.pid')}",
            "umask=077",
            "",
            "[unix_http_server]",
            f"file={escape(layout.var / 'supervisor.sock')}",
            "chmod=0600",
            "",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "",
            "[supervisorctl]",
            f"serverurl=unix://{escape(layout.var / 'supervisor.sock')}",
            "",
            "",
        )
    )
    workers = [row for row in rows if row.priority == WORKERS]
    # one group: the workers stop side by side, not one after the other
    names = ",".join(row.name for row in workers)
    group = f"[group:workers]\nprograms={names}\npriority={WORKERS}\n" if workers else ""
    return head + "\n".join(section(row, layout) for row in rows) + "\n" + group
