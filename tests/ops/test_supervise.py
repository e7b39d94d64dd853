"""The supervisor over small tables of programs: deaths from above, stubborn programs, orders of start and stop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from desk.ops.launch import LaunchError, take_lock
from desk.ops.programs import Layout, Program, programs, supervisor_configuration
from desk.ops.supervise import Supervisor, session_members
from tests.bootstrap import ROOT, free_ports
from tests.ops.desks import Desk, desk_environment, processes_of, wait_until_gone

SLEEPER = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEPER!r}])"
TABLE = {"sleeper": SLEEPER, "stubborn": STUBBORN, "parent": PARENT}
HOST = """
import sys
from pathlib import Path
from desk.ops.launch import make_folders, take_lock
from tests.ops.test_supervise import layout_of, table
from desk.ops.supervise import Supervisor
place = layout_of(Path(sys.argv[1]))
make_folders(place)
host = Supervisor(place, table(), take_lock(place), lambda text: print(text, flush=True))
print("up", flush=True)
status = host.wait()
host.stop()
print("down", flush=True)
"""

pytestmark = pytest.mark.processes
PATIENCE_S = 120  # a loaded machine is slow, not wrong


def layout_of(var: Path) -> Layout:
    web, guard, redis = free_ports(3)
    return Layout(ROOT, var, web, guard, redis, external_redis=False)


def table() -> list[Program]:
    return [Program(name, 10, (sys.executable, "-c", code), 1) for name, code in TABLE.items()]


def start_host(var: Path) -> Desk:
    """A process that supervises the table, as `manage.py run` does; returns when all four programs live."""
    host = Desk(desk_environment(var, PYTHONPATH=str(ROOT)), [sys.executable, "-c", HOST, str(var)])
    host.wait_for("up")
    deadline = time.monotonic() + PATIENCE_S
    while sum("time.sleep" in command or "subprocess" in command for command in processes_of(var).values()) < 4:
        assert time.monotonic() < deadline, processes_of(var)
        time.sleep(0.05)
    return host


def is_free(var: Path) -> bool:
    try:
        os.close(take_lock(layout_of(var)))
    except LaunchError:
        return False
    return True


def supervisor_pid(var: Path) -> int:
    return int((var / "supervisord.pid").read_text())


def test_ctrl_c_ends_even_a_program_that_ignores_sigterm(tmp_path: Path) -> None:
    host = start_host(tmp_path)
    session = os.getsid(supervisor_pid(tmp_path))
    assert len(session_members(session)) >= 5
    host.interrupt()
    assert "down" in host.said()
    assert session_members(session) == []
    assert processes_of(tmp_path) == {}


def test_sigkill_of_the_supervisor_takes_its_programs_along(tmp_path: Path) -> None:
    host = start_host(tmp_path)
    os.kill(supervisor_pid(tmp_path), signal.SIGKILL)
    host.process.wait(PATIENCE_S)
    assert "the supervisor ended by itself" in host.said()
    assert wait_until_gone(tmp_path, PATIENCE_S) == {}


def test_sigkill_of_the_command_lets_the_supervisor_stop_everything(tmp_path: Path) -> None:
    host = start_host(tmp_path)
    host.process.kill()
    host.process.wait(PATIENCE_S)
    left = wait_until_gone(tmp_path, PATIENCE_S)
    assert {
        pid: command for pid, command in left.items() if "subprocess" not in command and SLEEPER not in command
    } == {}
    # nobody could sweep up the grandchild here, but its whole group was told: stopasgroup
    assert left == {}


def test_the_lock_outlives_the_command(tmp_path: Path) -> None:
    """A killed `run` frees the folder only when its supervisor has stopped everything."""
    host = start_host(tmp_path)
    supervisor = supervisor_pid(tmp_path)
    host.process.kill()
    host.process.wait(PATIENCE_S)
    with pytest.raises(LaunchError, match="a desk already runs on the folder"):
        take_lock(layout_of(tmp_path))
    assert Path(f"/proc/{supervisor}").exists()
    assert wait_until_gone(tmp_path, PATIENCE_S) == {}
    deadline = time.monotonic() + PATIENCE_S  # a process loses its memory a moment before its files
    while not is_free(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_program_that_cannot_start_is_retried_and_shown(tmp_path: Path) -> None:
    place = layout_of(tmp_path)
    place.logs.mkdir()
    said: list[str] = []
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    rows = [Program("broken", 10, ("/nonexistent/program",), 1)]
    host = Supervisor(place, rows, lock, said.append)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not any("broken" in text for text in said) and time.monotonic() < deadline:
            host.report()
            time.sleep(0.05)
    finally:
        host.stop()
        os.close(lock)
    assert any(text.startswith("broken ended and is started again (exit status 1)") for text in said), said
    assert "cannot start program" in (place.logs / "broken.log").read_text()


def test_table_starts_redis_first_and_stops_it_last(tmp_path: Path) -> None:
    rows = programs(layout_of(tmp_path))
    order = [row.name for row in sorted(rows, key=lambda row: row.priority)]
    assert order[:4] == ["redis", "venue", "guard", "web"]
    assert sum(row.name.startswith("loop") for row in rows) == 4
    assert len({row.name for row in rows}) == len(rows)


def test_pages_and_batch_work_alone_step_behind_the_order_path(tmp_path: Path) -> None:
    rows = programs(layout_of(tmp_path))
    behind = {row.name: row.nice for row in rows if row.nice}
    assert set(behind) == {"web", "alerts", "batch", "hands"} and behind["hands"] == behind["batch"], behind
    assert behind["batch"] > behind["web"] == behind["alerts"] > 0, behind
    text = supervisor_configuration(layout_of(tmp_path), rows)
    assert text.count(f"--nice {behind['web']} ") == 2 and text.count(f"--nice {behind['batch']} ") == 2


def test_a_process_steps_behind(tmp_path: Path) -> None:
    code = "import os, sys; print(os.nice(0), os.sched_getscheduler(0) if sys.platform == 'linux' else 'none')"
    command = [sys.executable, "-m", "desk.ops.child", "--nice", "2", "--", sys.executable, "-c", code]
    niceness, policy = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert int(niceness) == min(19, os.nice(0) + 2)
    assert policy == (str(os.SCHED_BATCH) if sys.platform == "linux" else "none")


def test_an_external_redis_is_not_started(tmp_path: Path) -> None:
    rows = programs(layout_of(tmp_path)._replace(external_redis=True))
    assert "redis" not in [row.name for row in rows]


def test_configuration_survives_spaces_and_percent_signs(tmp_path: Path) -> None:
    var = tmp_path / "100% mine"
    text = supervisor_configuration(layout_of(var), [Program("one", 10, ("echo", "a b", "%h"), 1)])
    assert "'a b' %%h" in text
    assert "100%% mine" in text
