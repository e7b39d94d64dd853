"""Starts real commands of a desk for the tests: own folder, own ports, output read line by line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.bootstrap import ROOT, free_ports

START_S = 120  # a loaded machine starts eleven Python processes slowly


def desk_environment(var: Path, **more: str) -> dict[str, str]:
    """The environment of a desk of its own in the folder `var`, with the embedded Redis and database."""
    web, guard, redis = free_ports(3)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("DESK_REDIS_URL", "DESK_DATABASE_URL")
    }
    ports = {"DESK_PORT": str(web), "DESK_GUARD_PORT": str(guard), "DESK_REDIS_PORT": str(redis)}
    # nothing is traded in these tests: interpreting beats compiling
    return {**environment, **ports, "DESK_VAR": str(var), "NUMBA_DISABLE_JIT": "1", **more}


def manage(environment: dict[str, str], *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )


class Desk:
    """`manage.py run` in a process group of its own, as a shell would start it."""

    def __init__(self, environment: dict[str, str], command: list[str] | None = None) -> None:
        self.environment = environment
        self.output = Path(environment["DESK_VAR"]) / "run.out"
        self.output.parent.mkdir(parents=True, exist_ok=True)
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                command or [sys.executable, str(ROOT / "manage.py"), "run"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, text: str, timeout_s: float = START_S) -> str:
        """All output once `text` is in it; fails with the output when it does not come."""
        deadline = time.monotonic() + timeout_s
        while text not in (said := self.said()):
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{said}"
            assert time.monotonic() < deadline, f"no {text!r} within {timeout_s} s:\n{said}"
            time.sleep(0.05)
        return said

    def interrupt(self) -> int:
        """Ctrl-C: SIGINT to the whole foreground group.  Returns the exit status."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(START_S)

    def end(self) -> None:
        """Last resort of a fixture; a desk that was stopped is left alone."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(START_S)


def processes_of(var: Path) -> dict[int, str]:
    """Living processes whose environment names this runtime folder: every process of that desk, wherever it hides."""
    wanted = f"DESK_VAR={var}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # ended while we looked, or somebody else's
            continue
    return {pid: command for pid, command in found.items() if pid != os.getpid()}


def wait_until_gone(var: Path, timeout_s: float) -> dict[int, str]:
    """What is left of a desk after at most `timeout_s` seconds: empty when all is well."""
    deadline = time.monotonic() + timeout_s
    while (left := processes_of(var)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
