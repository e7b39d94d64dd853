"""A session recorded by the real loops gives the same state, bit for bit, compiled and in the plain interpreter."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.bootstrap import ROOT
from tests.simulation.ring import Ring, settled
from trading.core.records import DECISION, FILL, RECON, RECON_POSITION, START, SUBMIT, TRADE_CLOSED
from trading.reports.impact.preview import impact
from trading.reports.impact.replay import Version
from trading.reports.parity.proof import prove
from trading.reports.parity.tell import DECISIONS_ONLY, DIFFERS, IDENTICAL, fills_csv
from trading.reports.why.answer import why
from trading.run.conduct.money import MoneyWatch
from trading.run.journal.daily import daily_summaries
from trading.run.journal.verify import VerifyReport, verify_journal
from trading.run.spec import SPEC_FILE, VenueSpec, save_spec

pytestmark = [pytest.mark.processes, pytest.mark.slow]
SPEED = 8.0
PLAIN = """
import json, sys
from pathlib import Path
from numba import config
from trading.run.journal.verify import verify_journal
report = verify_journal(Path(sys.argv[1]))
print(json.dumps([bool(config.DISABLE_JIT), report.ok, report.frames, report.state_sha256]))
"""


def check_every_decision_is_explained(ring: Ring) -> None:
    """N6 and N8 on what the real loops recorded: each reason is the rules' own, and nothing differs from itself."""
    decisions = ring.events(DECISION)
    for seq in decisions["seq"][:60]:
        found = why(ring.folder, seq=int(seq)).decided
        assert found is not None and found.same and found.proven, int(seq)
    row = impact(ring.folder, Version(ring.spec.limits, 9, ring.spec.version_hash))
    assert row.ran == row.would and (row.blocked, row.added) == (0, 0)
    assert row.recorded_orders >= 1 and row.ran.orders >= 1  # the simulated fills may differ from the venue's


def check_it_is_a_backtest(ring: Ring, verified: VerifyReport) -> None:
    """MES-BT-01: orders, answers and scores come out again; with the session's own money, to the micro."""
    found = prove(ring.folder)
    values = found.values
    assert values["verdict"] == IDENTICAL, values
    assert (values["frames"], values["state_sha256"]) == (verified.frames, verified.state_sha256)
    assert values["fills"] == len(ring.events(FILL)) >= 2 and values["orders"] == len(ring.events(SUBMIT)) >= 3
    session, backtest = values["sides"]["session"], values["sides"]["backtest"]
    assert session == backtest and session["open_qty"] == 0
    assert session["net_micros"] == int(ring.events(TRADE_CLOSED)["value"].sum())
    parts = {part["name"]: part for part in values["parts"]}
    assert all(part["equal"] + part.get("shifted", 0) == part["recorded"] > 0 for part in parts.values()), parts
    assert values["beside"]["command kill"] == values["beside"]["command start"] == 1
    rows = list(csv.DictReader(io.StringIO(fills_csv(found.spec, found.fills))))
    assert {row["same"] for row in rows} == {"yes"} and len(rows) == values["fills"]


def check_a_difference_is_found(ring: Ring) -> None:
    """Another venue fills otherwise: the first fill that differs is told; another tape is no tape of this session."""
    spec, other = ring.spec, ring.folder.with_name("other")
    shutil.copytree(ring.folder, other)
    changed = msgspec.structs.replace(spec, venue=VenueSpec("print", slip_ticks=3))
    (other / SPEC_FILE).write_bytes(msgspec.json.encode(changed))
    values = prove(other).values
    assert values["verdict"] == DIFFERS and values["first"]["part"] == "answers"
    first = ring.events(FILL)[0]
    assert values["first"]["order"] == int(first["order_number"]) and values["first"]["fields"]
    elsewhere = msgspec.structs.replace(spec, feed=msgspec.structs.replace(spec.feed, seed=spec.feed.seed + 1))
    (other / SPEC_FILE).write_bytes(msgspec.json.encode(elsewhere))
    values = prove(other).values
    assert values["verdict"] == DECISIONS_ONLY and "backtest" not in values["sides"]
    assert "the feed does not give" in values["parts"][1]["why"]


def check_the_money_is_the_venues(ring: Ring) -> None:
    """T-02: every truth that tells of money agrees with our own fills; one fill booked a tick off does not."""
    events = ring.events().copy()
    told = events[(events["kind"] == RECON) & (events["code"] == RECON_POSITION) & (events["volume"] == 1)]
    tick_values = [item.values["tick_value_micros"] for item in ring.spec.instruments]
    assert len(told) > 0 and MoneyWatch(tick_values).note(events) == []
    events["price_tick"][np.flatnonzero(events["kind"] == FILL)[0]] += 1
    assert len(MoneyWatch(tick_values).note(events)) == 1


def test_replay_without_the_compiler_gives_the_same_hash(tmp_path: Path) -> None:
    ring = Ring(tmp_path, SPEED)
    try:
        save_spec(ring.folder, ring.spec)
        ring.start()
        ring.until(ring.reconciled, "reconciled")
        ring.command(START, 1)
        ring.until(lambda: len(ring.events(FILL)) >= 2, "it traded")
        ring.kill(2)
        ring.until(lambda: settled(ring), "flat")
        ring.until(lambda: bool((ring.events(RECON)["volume"] == 1).any()), "a truth of its money")
        ring.stop()
    finally:
        ring.close()
    compiled = verify_journal(ring.folder)
    assert compiled.ok, compiled
    (day,) = daily_summaries(ring.folder)
    fills = ring.events(FILL)
    assert day.fee_micros == sum(int(fill["fee_micros"]) for fill in fills) > 0, "MES-BREAK-04: of the same fills"
    assert day.trades >= 1 and day.net_micros == day.gross_micros - day.fee_micros
    check_every_decision_is_explained(ring)
    check_it_is_a_backtest(ring, compiled)
    check_a_difference_is_found(ring)
    check_the_money_is_the_venues(ring)
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(ring.folder)],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [True, True, compiled.frames, compiled.state_sha256]
