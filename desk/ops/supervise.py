"""Runs the supervisor in the foreground until a person stops it, and leaves no process behind.

The supervisor is the caller's child in a session of its own: Ctrl-C reaches only the caller, which then stops the desk
in order; what is left of that session is killed at the end.  When the caller is killed, the supervisor is told by the
kernel (`desk.ops.child`).  Called by `manage.py run`; the tests call it with small tables of programs.
"""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from desk.ops.launch import LaunchError
from desk.ops.programs import Layout, Program, child_environment, supervisor_configuration

POLL_S = 0.1
STOP_S = 40  # the sum of all stop waits, and some more
SPOKEN_ENDS = (1, 2, 5)  # and every tenth
WEB_ENDS_MAX = 3  # while it starts
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """One run of supervisord over a table of programs; it keeps `lock`, the descriptor of the folder's lock, open."""

    def __init__(self, layout: Layout, rows: list[Program], lock: int, say: Callable[[str], None]) -> None:
        self.layout = layout
        self.say = say
        self.ends: Counter[str] = Counter()  # unexpected ends by program
        self.stops = 0  # how often the person asked for the end
        layout.supervisor_conf.write_text(supervisor_configuration(layout, rows))
        layout.supervisor_conf.chmod(0o600)
        log = layout.supervisor_log
        self.log_position = log.stat().st_size if log.exists() else 0
        supervisord = [sys.executable, "-m", "supervisor.supervisord", "-c", str(layout.supervisor_conf)]
        wrapper = [sys.executable, "-m", "desk.ops.child", "--signal", "SIGTERM", "--keep", str(lock), "--"]
        self.previous = {number: signal.signal(number, self.on_signal) for number in SIGNALS if not ignored(number)}
        with open(layout.logs / "supervisord.out", "ab") as output:
            self.process = subprocess.Popen(
                [*wrapper, *supervisord],
                cwd=layout.base,
                env={**child_environment(layout), "DESK_PARENT_PID": str(os.getpid()), "PYTHONWARNINGS": "ignore"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(lock,),
            )

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1

    def wait_until_answering(self, timeout_s: float) -> bool:
        """True when the web answers, False when the person stopped first.  Raises LaunchError."""
        deadline = time.monotonic() + timeout_s
        while self.stops == 0:
            if self.process.poll() is not None:
                raise LaunchError(f"the supervisor ended at once: {last_line(self.layout.logs / 'supervisord.out')}")
            if answers(self.layout.web_port):
                return True
            if time.monotonic() > deadline or self.ends["web"] >= WEB_ENDS_MAX:
                log = self.layout.logs / "web.log"
                raise LaunchError(f"the web does not answer; the last line of {log} is: {last_line(log)}")
            self.report()
            time.sleep(POLL_S)
        return False

    def wait(self) -> int:
        """Run until a signal or the supervisor's own end.  Returns the exit status for the caller."""
        while self.stops == 0 and self.process.poll() is None:
            self.report()
            time.sleep(POLL_S)
        if self.stops:
            return 0
        self.say(f"the supervisor ended by itself (status {self.process.returncode}): see {self.layout.supervisor_log}")
        return 1

    def stop(self) -> None:
        """Stop everything in order; a second Ctrl-C, or too long a wait, kills what is left."""
        asked = self.stops
        if self.process.poll() is None:
            self.process.terminate()
            deadline = time.monotonic() + STOP_S
            while self.process.poll() is None and self.stops <= max(asked, 1) and time.monotonic() < deadline:
                time.sleep(POLL_S)
            if self.process.poll() is None:
                self.say("killing what does not stop")
                self.process.kill()
        self.process.wait()
        kill_session(self.process.pid)
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def report(self) -> None:
        """Say what the supervisor had to restart or gave up, from its log."""
        log = self.layout.supervisor_log
        if not log.exists() or log.stat().st_size <= self.log_position:
            return
        with open(log, "rb") as file:
            file.seek(self.log_position)
            text = file.read()
        complete = text[: text.rfind(b"\n") + 1]
        self.log_position += len(complete)
        for line in complete.decode(errors="replace").splitlines():
            if "gave up: " in line:
                name = line.split("gave up: ")[1].split(" ")[0]
                self.say(f"{name} does not start and was given up: see {self.layout.logs}/{name}.log")
            elif "not expected" in line and "exited: " in line:
                name, _, how = line.split("exited: ")[1].partition(" ")
                self.ends[name] += 1
                if self.ends[name] in SPOKEN_ENDS or self.ends[name] % 10 == 0:
                    count = f", {self.ends[name]} times now" if self.ends[name] > 1 else ""
                    log_file = self.layout.logs / name
                    self.say(f"{name} ended and is started again {how.split(';')[0]}){count}: see {log_file}.log")


def ignored(number: int) -> bool:
    """A signal that the caller's parent chose to ignore (nohup) stays ignored."""
    return signal.getsignal(number) == signal.SIG_IGN


def answers(port: int) -> bool:
    """Whether the web serves the sign-in page without an error of its own."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        link.request("GET", "/sign-in/")
        return link.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()


def last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "(the log is empty)")


def session_members(session: int) -> list[int]:
    """Process ids of a session's living members (Linux; elsewhere the supervisor's own stop must do)."""
    members = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            members.append(int(entry.parent.name))
    return members


def kill_session(session: int) -> None:
    """SIGKILL to whatever is left of the supervisor's session, which holds only processes of this desk."""
    deadline = time.monotonic() + 5
    while (members := session_members(session)) and time.monotonic() < deadline:
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
