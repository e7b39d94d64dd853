"""Acceptance of the shares' risk sections by name: MOEX-ACC-114 and -115, of what the desk has."""

import hashlib
import os
import time

import msgspec
import numpy as np
import pytest

from marketdata.core.records import ACCOUNT_SCOPE, NO_TIME
from risk.core.holds import BIT, HOLDS
from risk.core.records import MOEX
from tests.kernel.desk import Desk, S, standing
from tests.kernel.shares.test_limits import SHARES
from tests.kernel.test_limits import USD, lose
from trading.core import records as r
from trading.run.journal.closing import Closing, closing_of, past_of
from trading.run.replica import MAGIC, Kernel, SnapshotRefused
from trading.run.spec import PastSpec

DECISIONS, P95_MS = 10_000, 8.0


def eventful() -> Desk:
    """A desk of the shares' rulebook in the middle of things: lost, paused, slow, drifting, in a position."""
    ms = 1_000_000
    watched = {"probe_slow_ns": 50 * ms, "probe_good_ns": 40 * ms, "probe_lost_ns": 100 * ms, "rvi_max": 4000}
    free = {"cooldown_entry_ns": 0, "cooldown_exit_ns": 0, "move_ticks_max": 10_000, "rvi_age_ns_max": 60 * S}
    desk = Desk(SHARES | watched | free | {"rvi_clear_max": 3800})
    desk.event(r.INDEX, instrument=ACCOUNT_SCOPE, value=2500)
    lose(desk, 4)
    desk.enter()
    desk.event(r.DRIFT, instrument=ACCOUNT_SCOPE, code=r.DRIFT_WARN, value=3)
    desk.event(r.DRIFT, instrument=ACCOUNT_SCOPE, code=r.DRIFT_CRITICAL, value=9)
    for _ in range(3):
        desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=51 * ms)
    desk.command(r.PAUSE)
    assert standing(desk) >= {"DRIFT_WARN", "DRIFT_CRITICAL", "NET_SLOW", "OPERATOR_PAUSE"}
    return desk


def test_snapshot_and_restore_are_the_identity_moex_acc_114() -> None:
    """Every field of every record, drift holds included; and both go on alike, output for output."""
    desk = eventful()
    other = Kernel.restore(desk.kernel.snapshot())
    for ours, theirs in zip(desk.kernel.state, other.state, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert other.snapshot() == desk.kernel.snapshot()
    tail = [desk.given[-1].copy() for _ in range(3)]
    for k, row in enumerate(tail):
        row["kind"], row["ts_ns"] = r.TIMER, desk.now_ns + (k + 1) * S
        assert desk.kernel.apply(row).tobytes() == other.apply(row).tobytes()


@pytest.mark.parametrize("spoil", ["flip", "short", "other"])
def test_a_bad_snapshot_is_rejected_whole_moex_acc_114(spoil: str) -> None:
    """Nothing of it is believed: the journal is replayed instead (recovery), and a journal that differs stops it."""
    data = bytearray(eventful().kernel.snapshot())
    if spoil == "flip":
        data[len(MAGIC) + 40] ^= 1
    elif spoil == "short":
        body = bytes(data[len(MAGIC) + 32 : -8])
        data = bytearray(MAGIC + hashlib.sha256(body).digest() + body)
    else:
        data[0] ^= 1
    with pytest.raises(SnapshotRefused):
        Kernel.restore(bytes(data))


def test_what_a_session_leaves_is_the_same_as_json_moex_acc_114() -> None:
    """Figures and holds with every field through JSON and back; unknown keys are ignored, bad values refused."""
    desk = eventful()
    closing = closing_of(desk.kernel, 41, bytes(32))
    text = msgspec.json.encode(closing)
    assert msgspec.json.decode(text, type=Closing) == closing
    held = {h.code: (h.since_ns, h.until_ns, h.value, h.limit) for h in closing.holds}
    for hold in HOLDS[MOEX]:
        if hold.code in held:
            up = desk.kernel.state.holds[BIT[hold.code]]
            assert held[hold.code] == (up.since_ns, up.until_ns, up.value, up.limit), hold.code
    assert {"DRIFT_WARN", "DRIFT_CRITICAL", "OPERATOR_PAUSE"} <= set(held), "a reload, a reload, a person"
    assert "NET_SLOW" not in held, "a condition is asked anew"
    more = msgspec.json.decode(text) | {"colour": "green"}
    assert msgspec.json.decode(msgspec.json.encode(more), type=Closing) == closing
    for name, bad in (("figures", {"balance_micros": "much"}), ("seq", "last"), ("holds", [{"code": 3}])):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(msgspec.json.encode(more | {name: bad}), type=Closing)
    past = past_of(closing, MOEX, int(desk.account.now_ns))
    assert msgspec.json.decode(msgspec.json.encode(past), type=PastSpec) == past
    assert all(h.until_ns == NO_TIME for h in past.holds if h.code != "LOSS_STREAK")


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="a figure of the compiled kernel")
def test_a_warm_risk_decision_takes_less_than_8_ms_at_the_95th_percentile_moex_acc_115() -> None:
    """10,000 scores, each decided by the whole gate, called from Python; some 50 µs, so a busy machine is no excuse."""
    desk = Desk(SHARES | {"cooldown_entry_ns": 0, "cooldown_exit_ns": 0, "loss_day_micros_max": 900 * USD})
    desk.enter()
    kernel, rows = desk.kernel, []
    for k in range(DECISIONS):
        row = desk.given[-1].copy()
        row["kind"], row["side"], row["score_ppm"], row["confidence_ppm"] = r.SCORE, 1, 500_000, 700_000
        row["order_number"], row["ref"] = 0, 0
        row["ts_ns"] = row["ts_venue_ns"] = desk.now_ns + k * 1000
        rows.append(row)
    took = np.empty(DECISIONS)
    decided = 0
    for k, row in enumerate(rows):
        began = time.perf_counter_ns()
        made = kernel.apply(row)
        took[k] = time.perf_counter_ns() - began
        decided += int((made["kind"] == r.DECISION).sum())
    assert decided == DECISIONS
    p95_ms = float(np.quantile(took, 0.95)) / 1e6
    print(f"MOEX-ACC-115: p95 {p95_ms * 1000:.0f} µs of {DECISIONS} decisions")
    assert p95_ms < P95_MS
