"""The environment of one test process, set before Django's settings are read (loaded by `-p tests.bootstrap`).

Every process has a runtime folder, ports and a Redis address of its own, so that several suites can run side by side
and none can touch a desk that is in use.  Compiled kernels are shared between runs.  It starts nothing by itself.
"""

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OWNER = "DESK_TEST_OWNER"  # pid of the process that made the folder: children inherit it and must not remove it


def _handed_out_from() -> int:
    """The first port that the kernel may give to any connection."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32768


# Browsers refuse 10080.  Of two suites that run side by side each has every second one (desk/ops/test.sh).
_LANE = int(os.environ.get("DESK_TEST_LANE", "0"))
_PORTS = range(10_100 + _LANE, max(11_000, _handed_out_from()), 2)
_places = itertools.count(random.randrange(len(_PORTS)))  # another place in every process


def free_ports(count: int) -> list[int]:
    """`count` TCP ports of 127.0.0.1 that nobody uses now, all different, and not given out here before.

    They lie below those that connections get: between the choice and the start of a server nobody is given one.
    """
    found: list[int] = []
    while len(found) < count:
        port = _PORTS[next(_places) % len(_PORTS)]
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            found.append(port)
    return found


def set_environment() -> None:
    # a suite that was started in the background inherits an ignored SIGINT, and would hand it on to every child
    signal.signal(signal.SIGINT, signal.default_int_handler)
    var = tempfile.mkdtemp(prefix="desk-test-")
    web, guard, redis = free_ports(3)
    os.environ["DESK_VAR"] = var
    os.environ[OWNER] = str(os.getpid())
    os.environ["DESK_PORT"] = str(web)
    os.environ["DESK_GUARD_PORT"] = str(guard)
    os.environ["DESK_REDIS_PORT"] = str(redis)
    os.environ["DESK_REDIS_URL"] = f"redis://127.0.0.1:{redis}/0"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "NUMBA_CACHE_DIR" not in os.environ:
        from desk.jitcache import code_hash

        os.environ["NUMBA_CACHE_DIR"] = str(ROOT / "var" / "jit" / code_hash())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Leave `passed failed skipped` for desk/ops/test.sh, which adds up several runs."""
    if path := os.environ.get("DESK_TEST_COUNTS"):
        count = {name: len(terminalreporter.stats.get(name, ())) for name in ("passed", "failed", "error", "skipped")}
        Path(path).write_text(f"{count['passed']} {count['failed'] + count['error']} {count['skipped']}\n")


def pytest_unconfigure() -> None:
    if os.environ.get(OWNER) == str(os.getpid()):
        shutil.rmtree(os.environ["DESK_VAR"], ignore_errors=True)


set_environment()
