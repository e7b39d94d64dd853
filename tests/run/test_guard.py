"""The second road to flat: K-02 sequence, K-04 independence, K-05 latch, K-06 evidence, the panic page."""

import errno
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from marketdata.core.records import STATUS, STATUS_HALTED, STATUS_OPEN, new_depths, new_events
from tests.bootstrap import ROOT, free_ports
from tests.brokers.conftest import ASKS, BIDS
from tests.brokers.desk import Order, PaperBench, VenueProcess, answers, send
from trading.core.records import LIMIT, STOP, STOP_LOSS
from trading.run.guard import (
    Guard,
    Target,
    UnlockRefused,
    ask_guard,
    evidence_is_whole,
    guard_kill,
    look,
    run_kill,
    unlock,
    write_settings,
)
from trading.run.latch import LATCH_FILE, clear_latch, latch_age_s, read_latch, write_latch
from trading.run.panic.page import TOKEN_S, check_token, make_token
from trading.run.panic.server import second_look

pytestmark = pytest.mark.processes
_SCRIPT = (
    "import sys, pathlib; from trading.run.panic.server import run_guard; "
    "run_guard(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
)


class Desk:
    """A runtime folder with a venue process, and benches that hold positions there."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.venue = VenueProcess(var / "venue")
        self.venue.start()
        self.benches: list[PaperBench] = []
        self.guard: subprocess.Popen[bytes] | None = None
        self.port = free_ports(1)[0]

    def hold(self, latency_ns: int = 0) -> PaperBench:
        """A new account, long two with a stop and a target working."""
        bench = PaperBench(self.venue, f"s{len(self.benches) + 1}", latency_ns)
        self.benches.append(bench)
        bench.book(BIDS, ASKS)
        send(bench, Order(1, +1, 2))
        send(bench, Order(2, -1, 2, STOP, 90, STOP_LOSS))
        send(bench, Order(3, -1, 2, LIMIT, 120, 3))
        answers(bench, 4)
        self.write_settings()
        return bench

    def write_settings(self) -> None:
        rows = [Target(i + 1, b.account, b.account, str(self.venue.socket)) for i, b in enumerate(self.benches)]
        write_settings(self.var, rows)

    def start_guard(self) -> None:
        self.guard = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(self.var), str(self.port)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert self.guard.stdout is not None
        assert self.guard.stdout.readline() == b"guard: ready\n"

    def stop_guard(self) -> None:
        if self.guard is not None:
            self.guard.kill()
            self.guard.wait()
            assert self.guard.stdout is not None
            self.guard.stdout.close()
            self.guard = None

    def close(self) -> None:
        self.stop_guard()
        for bench in self.benches:
            bench.close()
        self.venue.kill()

    def http(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        body = urlencode(form or {})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request(method, path, body, {**kind, **{k.replace("_", "-"): v for k, v in headers.items()}})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text


@pytest.fixture
def desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="gd-") as folder:
        made = Desk(Path(folder))
        yield made
        made.close()


def flat(bench: PaperBench) -> bool:
    truth = bench.broker.snapshot()
    return truth.positions == {} and len(truth.orders) == 0 and truth.pending == 0


def age_latch(var: Path, seconds: float) -> None:
    """Make the latch older without waiting."""
    path = var / "guard" / LATCH_FILE
    latch = json.loads(path.read_text())
    latch["boot_ns"] -= round(seconds * 1e9)
    path.write_text(json.dumps(latch))


def test_kill_runs_the_sequence_and_proves_flat(desk: Desk) -> None:
    """K-02 and K-06: latch, block, cancel, flatten, verify; every step timed; the report says what was done."""
    benches = [desk.hold(), desk.hold(latency_ns=1_000_000)]
    report = run_kill(desk.var, "test", "drill", flat_within_s=60)
    assert [step["step"] for step in report["steps"]] == ["latch", "block", "cancel", "flatten", "verify"]
    assert (report["flat"], report["cancelled"], report["closed"], report["residual"]) == (True, 4, 2, {})
    assert all(flat(bench) for bench in benches)
    assert report["ms"] >= sum(step["ms"] for step in report["steps"]) - 5


def test_killed_account_admits_no_new_order(desk: Desk) -> None:
    """K-02, step 2: a late sender meets the block at the venue itself."""
    bench = desk.hold()
    run_kill(desk.var, "test", "drill")
    answers(bench, bench.broker.snapshot().last_ref - 4)
    send(bench, Order(9))
    assert answers(bench, 1)[0][::3] == ("REJECT", 3)


def test_kill_through_the_guard_process(desk: Desk) -> None:
    """K-04: its own process and venue session; the caller needs neither Redis nor database."""
    bench = desk.hold()
    desk.start_guard()
    report = guard_kill(desk.var, "test", "drill")
    assert (report["road"], report["flat"]) == ("guard", True)
    assert flat(bench)
    status = ask_guard(desk.var, {"verb": "status"}, 5.0)
    assert status["latch"]["by"] == "test"


def test_kill_with_a_dead_guard_acts_in_its_own_process(desk: Desk) -> None:
    bench = desk.hold()
    desk.start_guard()
    desk.stop_guard()
    report = guard_kill(desk.var, "test", "drill")
    assert (report["road"], report["flat"]) == ("own", True)
    assert flat(bench)
    assert read_latch(desk.var) is not None


def test_kill_with_a_dead_feed_and_dead_sessions(desk: Desk) -> None:
    """The last known book stays usable; nobody but the venue is needed."""
    bench = desk.hold()
    bench.feed.close()
    bench.broker.close()
    assert run_kill(desk.var, "test", "drill", flat_within_s=60)["flat"] is True
    assert look(desk.var) == {}


def test_latch_is_durable_before_anything_is_done_and_venue_away_is_not_flat(desk: Desk) -> None:
    """K-02, step 1; missing knowledge is never "flat"."""
    desk.hold()
    desk.venue.kill()
    report = run_kill(desk.var, "test", "drill", flat_within_s=0.3)
    assert report["flat"] is False
    assert "unknown" in report["residual"]["s1"]
    latch = read_latch(desk.var)
    assert latch is not None
    assert latch["reason"] == "drill"


def test_restarted_guard_finishes_what_a_latch_demands(desk: Desk) -> None:
    """K-05: the latch survives restarts; the guard verifies at its start and goes on until flat."""
    bench = desk.hold()
    desk.venue.kill()
    run_kill(desk.var, "test", "drill", flat_within_s=0.1)
    desk.venue.start()
    desk.start_guard()
    deadline = time.monotonic() + 60
    bench.broker.connect(2, 4)
    while not flat(bench) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert flat(bench)
    assert evidence_is_whole(desk.var)


def test_halted_market_is_tried_again_until_it_opens(desk: Desk) -> None:
    """K-02, steps 5 and 6: the protective stop stays; flat comes with the re-opening."""
    bench = desk.hold()
    halt = new_events(1)
    halt["kind"], halt["code"] = STATUS, STATUS_HALTED
    bench._play(halt, new_depths(0), -1)
    guard = Guard(desk.var)
    report = run_kill(desk.var, "test", "drill", flat_within_s=0.2)
    assert report["flat"] is False
    assert report["residual"]["s1"] == {"positions": {0: 2}, "orders": 1, "pending": 0}
    halt["code"] = STATUS_OPEN
    bench._play(halt, new_depths(0), -1)
    stop = threading.Event()
    thread = threading.Thread(target=second_look, args=(guard, stop, 0.01))
    thread.start()
    deadline = time.monotonic() + 60
    while guard.unfinished() and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join()
    assert flat(bench)


def test_unlock_conditions(desk: Desk) -> None:
    """K-05: not before 60 s, not without proof of flat, not without a written reason; journaled before it goes."""
    bench = desk.hold()
    told: list[tuple[str, str]] = []

    def journal(by: str, reason: str) -> None:
        assert read_latch(desk.var) is not None
        told.append((by, reason))

    def tried(reason: str = "drill is over, all good") -> str:
        try:
            unlock(desk.var, "me", reason, journal)
        except UnlockRefused as refusal:
            return str(refusal)
        return ""

    assert "no latch" in tried()
    write_latch(desk.var, "test", "drill")
    assert "60 s" in tried()
    age_latch(desk.var, 61)
    assert "10 characters" in tried("short")
    assert "flat is not proved" in tried()
    desk.venue.kill()
    assert "flat is not proved" in tried()
    desk.venue.start()
    run_kill(desk.var, "test", "drill")
    age_latch(desk.var, 61)
    assert told == []
    assert tried() == ""
    assert told == [("me", "drill is over, all good")]
    assert read_latch(desk.var) is None
    bench.broker.connect(2, 0)
    answers(bench, bench.broker.snapshot().last_ref)
    send(bench, Order(9, +1, 1, LIMIT, 50))
    assert answers(bench, 1)[0][0] == "ACK"


def test_latch_that_cannot_be_read_stands(tmp_path: Path) -> None:
    assert read_latch(tmp_path) is None
    write_latch(tmp_path, "me", "drill")
    (tmp_path / "guard" / LATCH_FILE).write_bytes(b'{"at_ns": 12')
    latch = read_latch(tmp_path)
    assert latch is not None
    assert latch_age_s(latch) > 60
    clear_latch(tmp_path)
    assert read_latch(tmp_path) is None


def test_a_full_disk_does_not_stop_a_kill(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """K-02, K-04: no block is left for latch or evidence; everything is cancelled and closed all the same."""
    bench = desk.hold()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("trading.run.latch.write_atomic", full)
    monkeypatch.setattr("trading.run.guard._append_evidence", full)
    report = run_kill(desk.var, "test", "the disk is full", flat_within_s=60)
    assert report["flat"] and flat(bench)
    assert "No space left" in report["steps"][0]["fault"] and "evidence" in report["fault"]
    assert read_latch(desk.var) is not None, "an empty file stands as a latch"


def test_a_second_latch_is_finished_too(desk: Desk) -> None:
    """A latch whose writer died before it acted, after an earlier kill that was proved."""
    bench = desk.hold()
    guard = Guard(desk.var)
    assert guard.kill("test", "first")["flat"] and not guard.unfinished()
    clear_latch(desk.var)
    write_latch(desk.var, "test", "second, and its writer died here")
    assert guard.unfinished()
    guard.go_on()
    assert not guard.unfinished() and flat(bench)


def test_evidence_is_chained(desk: Desk) -> None:
    """K-06."""
    for _ in range(3):
        run_kill(desk.var, "test", "drill")
    path = desk.var / "guard" / "kill.log"
    assert evidence_is_whole(desk.var)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    assert not evidence_is_whole(desk.var)


def test_account_that_was_never_opened_is_flat(desk: Desk) -> None:
    write_settings(desk.var, [Target(9, "s9", "s9", str(desk.venue.socket))])
    assert run_kill(desk.var, "test", "drill", flat_within_s=60)["flat"] is True


def test_token() -> None:
    """Reduce-only, 12 hours, bound to who it was made for."""
    with tempfile.TemporaryDirectory() as folder:
        var = Path(folder)
        token = make_token(var, "ann", now_s=1000)
        assert check_token(var, token, now_s=1000 + TOKEN_S - 1) == "ann"
        assert check_token(var, token, now_s=1000 + TOKEN_S) == ""
        assert check_token(var, token.replace("ann", "bob"), now_s=1000) == ""
        until, rest = token.split(".", 1)
        assert check_token(var, f"{int(until) + 1}.{rest}", now_s=1000) == ""
        for nonsense in ("", ".", "..", "a.b.c", f"{until}..ann", "²." + rest):
            assert check_token(var, nonsense, now_s=1000) == ""
        assert oct((var / "guard" / "secret").stat().st_mode & 0o777) == "0o600"
        assert oct((var / "guard").stat().st_mode & 0o777) == "0o700"


def test_panic_page(desk: Desk) -> None:
    """A page without JavaScript: state, form, kill with a token, and refusals."""
    bench = desk.hold()
    desk.start_guard()
    token = make_token(desk.var, "ann")
    status, page = desk.http("GET", f"/panic/?token={token}")
    assert status == 200
    assert "<form" in page
    assert "<script" not in page
    assert token in page
    assert desk.http("GET", "/status", Host="evil.example")[0] == 400
    assert desk.http("POST", "/kill", {"token": "x"})[0] == 403
    assert desk.http("GET", "/kill")[0] == 404
    assert not flat(bench)
    status, text = desk.http("POST", "/kill", {"token": token, "reason": "page"})
    assert (status, json.loads(text)["flat"]) == (200, True)
    assert flat(bench)
    report: dict[str, Any] = json.loads(desk.http("GET", "/status")[1])
    assert (report["flat"], report["latch"]["by"]) == (True, "panic:ann")
    status, _ = desk.http("POST", "/kill", {"reason": "again"}, X_Guard_Token=token, Accept="text/html")
    assert status == 303


def test_guard_refuses_a_taken_port(desk: Desk) -> None:
    desk.start_guard()
    second = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(desk.var), str(desk.port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode != 0
    assert second.stderr.startswith(f"guard: port {desk.port}")
    assert second.stderr.count("\n") == 1


def test_guard_needs_no_django_redis_or_database() -> None:
    """K-04: the modules that the guard's process loads."""
    code = (
        "import sys, trading.run.panic.server, trading.run.guard\n"
        "banned = ('django', 'redis', 'celery', 'sqlite3', 'psycopg', 'channels', 'torch')\n"
        "print([name for name in banned if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_manage_kill(desk: Desk) -> None:
    """`manage.py kill` from a shell: one line, exit code 0 when flat."""
    bench = desk.hold()
    done = subprocess.run(
        [sys.executable, "manage.py", "kill", "--reason", "drill", "--json"],
        cwd=ROOT,
        env={**os.environ, "DESK_VAR": str(desk.var)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["flat"] is True
    assert flat(bench)
