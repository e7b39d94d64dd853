"""A study on real workers of a real queue: killed, stopped, beside a worker of an older version, without its folder, it
ends as the local one (MES-OPT-04).

The strategy itself waits for a file, so that kills and stops fall inside a trial.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.bootstrap import ROOT
from tests.redis_server import RedisServer
from tests.studies.kit import GRID, PROFILE, optimise, write_bars, write_strategy
from tests.studies.test_kill import results, until
from trading.run.search.registry import FILE as TRIALS

pytestmark = [pytest.mark.processes, pytest.mark.slow]
NAMES = ("one", "two")
ORDER = ("--method", "random", "--trials", "7", "--seed", "5")  # of the study that is stopped


class Shared:
    """A desk folder with its database and broker, two workers of studies, bars and a strategy."""

    def __init__(self, folder: Path, broker: RedisServer) -> None:
        self.folder, self.broker = folder, broker
        self.env = {
            **os.environ, "DESK_VAR": str(folder / "var"), "DESK_REDIS_URL": broker.url, "DESK_DATABASE_URL": "",
            "DESK_STUDY_LEASE_S": "6", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "migrate", "-v", "0", "--skip-checks"],
            env=self.env, cwd=ROOT, check=True, capture_output=True,
        )  # fmt: skip
        write_strategy(folder)
        self.data = write_bars(folder / "bars.parquet", days=17, bars=100)

    def start(self, name: str) -> None:
        """A worker of studies, in a process group of its own."""
        command = [sys.executable, "-m", "celery", "-A", "desk", "worker", "-P", "prefork", "-c", "1", "-l", "INFO"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat", "-Q", "hands", "-n", f"{name}@test"]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.workers[name] = subprocess.Popen(
                command, env=self.env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        """SIGKILL to a worker and all that it started, as a machine that loses its power."""
        worker = self.workers.pop(name)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def command(self, *more: str) -> "subprocess.Popen[str]":
        """The study of the kit on two workers of the queue."""
        params = [word for text in GRID for word in ("--param", text)]
        words = [
            sys.executable, str(ROOT / "manage.py"), "optimise", "--config", PROFILE, "--data", str(self.data),
            "--strategy", "own_study:follow", *params, "--min-trades", "5", "--random", "0", "--distributed",
            "--workers", "2", "--out", str(self.folder / "study"), *more,
        ]  # fmt: skip
        with (self.folder / "told").open("w") as told:
            return subprocess.Popen(
                words, env=self.env, cwd=self.folder, stdout=told, stderr=subprocess.PIPE, text=True
            )

    def told(self) -> str:
        """What the command has said by now."""
        return (self.folder / "told").read_text()

    def rows(self, words: str) -> list[tuple[object, ...]]:
        """What the shared database holds, read beside the workers."""
        with sqlite3.connect(self.folder / "var" / "desk.sqlite3", timeout=20) as database:
            found = database.execute(words).fetchall()
        database.close()
        return found

    def claimers(self) -> set[str]:
        """Workers that have claimed a trial now."""
        words = (
            "SELECT h.owner FROM studies_studyhand h JOIN studies_studytrial t ON t.run_id = h.run_id"
            " AND t.number = h.number AND t.fence = h.fence WHERE t.state = 'claimed'"
        )
        pids = {
            int(str(owner).rpartition("#")[2].partition(":")[0]) for (owner,) in self.rows(words) if ":" in str(owner)
        }
        return {
            name
            for name, worker in self.workers.items()
            if pids & {child.pid for child in psutil.Process(worker.pid).children(recursive=True)}
        }

    def finish(self, command: "subprocess.Popen[str]") -> str:
        """What a study printed that ended well."""
        _, faults = command.communicate(timeout=300)
        assert command.returncode == 0, faults[-3000:] + "".join(self.log(name)[-3000:] for name in NAMES)
        return self.told()

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def hold(self, lookback: int) -> None:
        """Trials with this lookback and longer ones wait.  Replaced whole: strategies read it all the time."""
        part = self.folder / "hold.part"
        part.write_text(str(lookback))
        os.replace(part, self.folder / "hold")

    def hand(self, root: Path = ROOT) -> "subprocess.Popen[str]":
        """What a worker starts for the one open study, from the desk in `root`.  Its input is its life line."""
        ((study,),) = self.rows("SELECT id FROM studies_studyrun WHERE state = 'open'")
        return subprocess.Popen(
            [sys.executable, str(root / "manage.py"), "studyhand", str(study), "--owner", f"here#{root.name}"],
            env={**self.env, "PYTHONPATH": str(root)}, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def older(self) -> Path:
        """Another version of the desk, in a folder of its own."""
        there = self.folder / "older"
        for name in ("desk", "marketdata", "risk", "trading"):
            shutil.copytree(ROOT / name, there / name, ignore=shutil.ignore_patterns("node_modules"))
        shutil.copy(ROOT / "manage.py", there)
        with (there / "trading" / "research" / "search" / "objective.py").open("a") as file:
            file.write("# what was best before\n")
        return there

    def go_on(self) -> None:
        self.hold(1_000)

    def close(self) -> None:
        self.go_on()
        for name in list(self.workers):
            self.kill(name)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("shared")
    (folder / "redis").mkdir()
    broker = RedisServer(folder / "redis").start()
    desk = None
    try:
        desk = Shared(folder, broker)
        for name in NAMES:
            desk.start(name)
        yield desk
    finally:
        if desk is not None:
            desk.close()
        broker.kill()


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same bars and strategy elsewhere, for the same study on this process alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_study", raising=False)
    write_strategy(tmp_path)
    return write_bars(tmp_path / "bars.parquet", days=17, bars=100)


def test_with_a_worker_killed_the_result_is_that_of_one_process(shared: Shared, local: Path) -> None:
    folder = shared.folder / "study"
    shared.hold(2)  # every trial waits, so each worker stands in its first
    study = shared.command()
    try:
        until("both workers are at a trial", lambda: len(shared.claimers()) == 2 or study.poll() is not None)
        assert study.poll() is None
        shared.kill("one")
        lost = "SELECT count(*) FROM studies_studytrial WHERE tries > 0"
        until("what it ran waits again", lambda: shared.rows(lost) == [(1,)])
        shared.go_on()
        shared.finish(study)
    finally:
        shared.go_on()
        if study.poll() is None:
            study.kill()
            study.wait()
    optimise(local, "study")
    assert results(folder) == results(local.parent / "study")
    assert shared.rows("SELECT state, count(*) FROM studies_studytrial GROUP BY state") == [("done", 12)]
    assert shared.rows("SELECT state FROM studies_studyrun") == [("closed",)]
    shutil.rmtree(folder)


def refuses_another_version(shared: Shared, study: "subprocess.Popen[str]") -> None:
    older = shared.older()
    with shared.hand(older) as process:
        assert process.stdout is not None
        told = process.stdout.read()
        assert process.wait() == 3 and "another version of this desk" in told
    words = f"has another version of this desk in {older}"
    until("the refusal is told", lambda: words in shared.told() or study.poll() is not None)
    assert study.poll() is None


def hands_back_in_order(shared: Shared) -> None:
    """SIGTERM, as when a desk is stopped: its trial waits again, and nobody suspects it."""
    mine = (
        "SELECT count(*) FROM studies_studyhand h JOIN studies_studytrial t ON t.run_id = h.run_id"
        f" AND t.number = h.number AND t.fence = h.fence WHERE t.state = 'claimed' AND h.owner = 'here#{ROOT.name}'"
    )
    with shared.hand() as process:
        until("it is at a trial", lambda: shared.rows(mine) == [(1,)] or process.poll() is not None)
        process.terminate()
        assert process.stdout is not None
        told = process.stdout.read()
        assert process.wait() == 0 and "it was stopped" in told
    assert shared.rows(mine) == [(0,)]
    open_run = "(SELECT id FROM studies_studyrun WHERE state = 'open')"
    assert shared.rows(f"SELECT sum(tries) FROM studies_studytrial WHERE run_id IN {open_run}") == [(0,)]


def test_stopped_by_ctrl_c_the_same_command_goes_on_without_its_folder_to_the_same_result(
    shared: Shared, local: Path
) -> None:
    folder = shared.folder / "study"
    (shared.folder / "var" / TRIALS).unlink(missing_ok=True)  # the local one has no study of the test before, either
    if "one" in shared.workers:
        shared.kill("one")  # one of two places stays free
    shared.hold(2)
    study = shared.command(*ORDER)
    try:
        until("a worker is at a trial", lambda: bool(shared.claimers()) or study.poll() is not None)
        assert study.poll() is None
        refuses_another_version(shared, study)
        hands_back_in_order(shared)
        study.send_signal(signal.SIGINT)
        _, faults = study.communicate(timeout=300)
    finally:
        shared.go_on()
        if study.poll() is None:
            study.kill()
            study.wait()
    assert study.returncode == 130 and "the same command goes on" in faults
    assert ("open",) not in shared.rows("SELECT state FROM studies_studyrun")
    waiting = "SELECT count(*) FROM studies_studytrial WHERE state = 'waiting'"
    assert shared.rows(waiting) == [(0,)], "what nobody had begun is not handed out"
    # and though its folder is lost: what the workers answered is not, and is not run again
    this_run = "WHERE run_id = (SELECT max(id) FROM studies_studyrun)"
    done = f"SELECT count(*) FROM studies_studytrial {this_run} AND state = 'done'"
    until("what was being run is answered", lambda: shared.rows(done) != [(0,)])
    shutil.rmtree(folder)
    told = shared.finish(shared.command(*ORDER))
    assert "trials that workers had answered before were added" in told
    assert shared.rows(f"SELECT sum(done) FROM studies_studyhand {this_run}") == shared.rows(done)
    optimise(local, "study", method="random", trials=7, seed=5)
    assert results(folder) == results(local.parent / "study")
