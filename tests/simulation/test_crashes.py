"""The whole ring under seeded crashes: loops dropped where they stand, venue and Redis killed, Redis back empty.

At the end nothing is lost and nothing is doubled, by the venue's own word, and the journal replays bit for bit.
"""

import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.simulation.ring import ROOT, Ring, replayed, settled, venue_answers
from trading.core.records import ACK, CANCELLED, FILL, REJECT, START, SUBMIT
from trading.reports.parity import proof as parity
from trading.run.bodies.risk_loop import RiskLoop
from trading.run.journal.verify import verify_journal
from trading.run.spec import save_spec

SPEED = 8.0
MOVES = ("feed", "inference", "risk", "execution", "sinks", "venue", "redis", "redis empty", "risk", "execution")


def prove(ring: Ring, words: str) -> None:
    """No lost and no doubled order; ledger = Σ fills; replay exact (issue 2, "Must show")."""
    report = verify_journal(ring.folder)
    assert report.ok, f"{words}: {report}"
    said, held, working = venue_answers(ring)
    events = ring.events()
    ours = events[(events["kind"] >= ACK) & (events["kind"] <= CANCELLED) & (events["ref"] > 0)]
    assert set(ours["ref"].tolist()) == set(said["ref"].tolist()), f"{words}: an answer is missing in the journal"
    fills = said[said["kind"] == FILL]
    state = replayed(ring)
    account = state.account[0]
    assert account.fills == len(fills), f"{words}: fills booked {account.fills}, at the venue {len(fills)}"
    assert held == {}, words
    assert working == 0, f"{words}: something still works at the venue"
    assert not state.positions["qty"].any(), words
    cash = -int((fills["side"] * fills["qty"] * fills["price_tick"]).sum())
    value = dict(ring.spec.instruments[0].values)["tick_value_micros"]
    assert account.realised_micros == cash * value, words
    assert account.fees_micros == fills["fee_micros"].sum(), words
    assert account.balance_micros == ring.spec.capital_micros + cash * value - fills["fee_micros"].sum(), words
    sent = events["order_number"][events["kind"] == SUBMIT]
    assert len(sent) == len(set(sent.tolist())), f"{words}: an order was made twice"
    assert set(said["order_number"].tolist()) <= set(sent.tolist()), f"{words}: the venue has an order that is not ours"


def prove_parity(ring: Ring, words: str) -> None:
    """MES-BT-01: whatever was killed, the venue too, every answer that was compared comes out again."""
    save_spec(ring.folder, ring.spec)
    values = parity.prove(ring.folder).values
    parts = {part["name"]: part for part in values["parts"]}
    assert parts["decisions"]["state"] == "equal", f"{words}: {values}"
    assert parts["answers"]["state"] == "equal" and parts["answers"]["equal"] > 0, f"{words}: {values}"


def _risk(ring: Ring) -> RiskLoop:
    body = ring.bodies["risk"]
    assert isinstance(body, RiskLoop)
    return body


def end_flat(ring: Ring, words: str) -> None:
    """Everything up again, KILL, and flat by the venue's word."""

    def recovered() -> bool:
        account = _risk(ring).kernel.state.account[0]
        return bool(account.reconciled == 1 and account.stream_ok == 1)

    ring.until(recovered, f"{words}: recovery by itself")
    ring.kill(99)
    ring.until(lambda: settled(ring), f"{words}: flat at the venue, all arrived")
    ring.stop()


def _more_fills(ring: Ring, than: int) -> bool:
    return len(ring.events(FILL)) > than


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_crashes_at_any_moment_lose_and_double_nothing(tmp_path, seed):
    chance = random.Random(seed)
    ring = Ring(tmp_path, SPEED)
    done: list[str] = []
    try:
        ring.start()
        ring.until(ring.reconciled, "reconciled")
        ring.command(START, 1)
        ring.until(lambda: len(ring.events(FILL)) > 0, "trading")
        for _ in range(8):
            time.sleep(chance.uniform(0.1, 0.6))  # the ring runs on the real clock
            move = chance.choice(MOVES)
            done.append(move)
            if move == "venue":
                ring.venue.kill()
                time.sleep(chance.uniform(0, 0.3))
                ring.venue.start()
            elif move.startswith("redis"):
                ring.redis.kill()
                time.sleep(chance.uniform(0, 0.5))
                ring.redis.restart(empty=move.endswith("empty"))
            else:
                ring.abandon(move)
                ring.start(move)
        end_flat(ring, f"seed {seed}, {done}")
        prove(ring, f"seed {seed}, {done}")
        prove_parity(ring, f"seed {seed}, {done}")
        assert len(ring.events(REJECT)) < 50
    finally:
        ring.close()


CHILD = """
import sys, threading
from pathlib import Path
from tests.simulation.kit import make_context
from tests.simulation.ring import BODIES
from trading.run.spec import load_spec
folder, loop, fence = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
body = BODIES[loop]()
body.open(make_context(folder, load_spec(folder), loop, fence))
print("open", flush=True)
while True:
    body.step()
"""


def start_process(ring: Ring, loop: str, fence: int) -> "subprocess.Popen[str]":
    """One loop as a process of its own."""
    arguments = [sys.executable, "-c", CHILD, str(ring.folder), loop, str(fence)]
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_risk_and_execution_are_killed_as_processes(tmp_path: Path):
    """SIGKILL under load, by turns; the next owner starts from the files alone."""
    ring = Ring(tmp_path, SPEED)
    save_spec(ring.folder, ring.spec)
    processes: dict[str, subprocess.Popen[str]] = {}
    try:
        ring.start("feed", "inference", "sinks")
        for loop in ("risk", "execution"):
            processes[loop] = start_process(ring, loop, 1)
        ring.until(ring.reconciled, "reconciled")
        ring.command(START, 1)
        ring.until(lambda: len(ring.events(FILL)) > 0, "trading")
        for fence in (2, 3):
            for loop in ("risk", "execution"):
                fills = len(ring.events(FILL))
                processes[loop].kill()
                processes[loop].wait()
                processes[loop] = start_process(ring, loop, fence)
                ring.until(partial(_more_fills, ring, fills), f"{loop} trades again")
        ring.kill(99)
        ring.until(lambda: settled(ring), "flat at the venue, all arrived")
        for process in processes.values():
            process.kill()
            process.wait()
        ring.stop()
        prove(ring, "processes")
        prove_parity(ring, "processes")
        assert len(ring.events(FILL)) >= 5, "it traded between the kills"
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
        ring.close()
