"""/sessions/N/risk/: limits, holds with what ends them, hedges with what they did to exposure, liquidity
(MOEX-HEDGE-01, -03, -05, MOEX-LIQ-01)."""

import csv
import html
import io
from typing import Any

import msgspec
import pytest
from django.test import Client

from desk.accounts.roles import OPERATOR
from desk.audit import services as audit
from desk.audit.models import AuditRecord
from desk.dashboard.pages import hedges, risk
from risk.core.records import MES, MOEX
from tests.shell.account.test_shares import make_shares
from tests.shell.frames import make_session
from tests.shell.test_reset_page import raise_hold, signed_in
from trading import configs
from trading.models import Fill, LoopLease, Session, Trade
from trading.preflight import hedging
from trading.run.clock import boot_id, boot_ns
from trading.run.streams import Board

RUB = 1_000_000
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]


@pytest.mark.parametrize(
    ("symbols", "verdict", "words"),
    [(["SBER"], "warn", "is cut by selling shares"), (["SBER", "MXI"], "pass", "MXI evens out net exposure")],
)
def test_a_session_of_shares_without_a_future_is_warned_of_moex_hedge_03(
    symbols: list[str], verdict: str, words: str
) -> None:
    profile = configs.load_file(configs.FOLDER / "moex-tinvest.yaml")
    found = hedging.row(profile, symbols)
    assert found is not None and found.verdict == verdict and words in found.value and "50,000 RUB" in found.value
    assert (found.advice == "Add MXI") == (verdict == "warn")


def test_a_profile_that_hedges_nothing_has_no_such_row_moex_hedge_03() -> None:
    for name in ("mes-topstep", "demo-moex"):
        profile = configs.load_file(configs.FOLDER / f"{name}.yaml")
        assert hedging.row(profile, profile.market.instruments) is None and hedging.futures(profile) == []


def adjust(session: Session, seq: int, action: str, side: int, qty: int, net: int, **other: Any) -> None:
    told = {"seq": seq, "session_ns": seq * 10**9, "side": side, "qty": qty, "task_ns": 0, "reason": "exposure"}
    told |= {"size_micros": net * RUB, "of_micros": 200_000 * RUB, **other}
    symbol = told.pop("symbol", "MXI")
    audit.append(category="order", action=action, actor="desk", object=f"{session.key} {symbol}", detail=told)


def fill(session: Session, seq: int, side: int, qty: int, tick: int = 60_000) -> None:
    Fill.objects.create(
        session=session, seq=seq, venue_ref=seq, order_number=seq, instrument=1, symbol="MXI", side=side, qty=qty,
        price_tick=tick, fee_micros=4 * RUB * qty, ts_ns=seq,
    )  # fmt: skip


@pytest.fixture
def hedged(redis_server: str) -> Session:
    """A hedge of 3, one of 1 that the gate refused, a reduction instead, 2 of the hedge taken back; a lot is 30,000
    RUB.  A session whose key begins alike has rows of its own."""
    session = make_shares(redis_server)
    (item,) = session.spec["instruments"]
    session.spec |= {"currency": "RUB", "instruments": [item | {"symbol": "SBER"}, item | {"symbol": "MXI"}]}
    session.save()
    adjust(session, 10, "hedge", -1, 3, 100_000)
    fill(session, 12, -1, 2)
    fill(session, 13, -1, 1)
    adjust(session, 20, "hedge", -1, 1, 130_000, refused="SPREAD")
    adjust(session, 21, "reduce", -1, 5, 130_000, symbol="SBER")
    adjust(session, 30, "unhedge", 1, 2, 40_000)
    fill(session, 33, 1, 2)
    other = Session.objects.create(
        key=f"{session.key}0", account=session.account, version=session.version, mode="paper", status="running",
        created_by="alice", created_at=session.created_at, spec=session.spec,
    )  # fmt: skip
    adjust(other, 40, "hedge", -1, 9, 900_000)
    return session


def test_the_record_of_hedges_says_what_each_did_moex_hedge_05(hedged: Session) -> None:
    rows = hedges.adjustments(hedged.id, hedged.key).rows
    told = [(r["action"], r["filled"], r["before"], r["after"], r["fee_micros"]) for r in rows]
    assert told == [
        ("unhedge", 2, -3, -1, 8 * RUB), ("reduce", None, None, None, None), ("hedge", 0, -3, -3, 0),
        ("hedge", 3, 0, -3, 12 * RUB),
    ]  # fmt: skip
    assert [(r["with_before"], r["with_after"]) for r in rows] == [
        (-50_000 * RUB, 10_000 * RUB), (None, None), (40_000 * RUB, 40_000 * RUB), (100_000 * RUB, 10_000 * RUB),
    ]  # fmt: skip
    assert rows[2]["refused"] == "SPREAD" and rows[1]["symbol"] == "SBER"
    first = hedges.adjustments(hedged.id, hedged.key, limit=2)
    assert first.next_before is not None
    rest = hedges.adjustments(hedged.id, hedged.key, first.next_before)
    assert [*first.rows, *rest.rows] == rows, "a page further on knows what came behind it"


def test_a_page_that_asks_again_walks_only_what_is_new(
    hedged: Session, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adjustments are few among the log's orders; a log that is another one is read anew."""
    rows = hedges.adjustments(hedged.id, hedged.key).rows
    with django_assert_num_queries(4) as told:
        assert hedges.adjustments(hedged.id, hedged.key).rows == rows
    assert not any("ORDER BY" in query["sql"] and "category" in query["sql"] for query in told.captured_queries)
    adjust(hedged, 50, "hedge", -1, 1, 130_000, refused="SPREAD")
    audit.append(category="session", action="x", actor="desk", object="elsewhere", detail={})
    newer = hedges.adjustments(hedged.id, hedged.key).rows
    assert [row["seq"] for row in newer] == [50, *(row["seq"] for row in rows)]
    monkeypatch.setattr(hedges, "PAGE", 1)
    (page,) = hedges.adjustments(hedged.id, hedged.key, limit=1).rows
    assert (page["before"], page["with_before"]) == (-1, 100_000 * RUB), "what was filled before the page counts"
    AuditRecord.objects.filter(action="x").update(hash="another")
    assert hedges.adjustments(hedged.id, hedged.key, limit=1).rows == [page]


def published(session: Session, client: Any, **values: Any) -> None:
    """A picture as the sinks loop leaves it, and the beat of that loop."""
    Board(client, session.key).publish({name: msgspec.json.encode(value) for name, value in values.items()}, 1)
    LoopLease.objects.update_or_create(
        session=session, loop="sinks",
        defaults={"desired": True, "owner": "me", "boot_id": boot_id(), "beat_boot_ns": boot_ns(), "state": "running"},
    )  # fmt: skip


GAUGES = [
    {"id": "loss_day", "used": 9_000 * RUB, "max": 10_000 * RUB, "left": 1_000 * RUB, "unit": "micros", "rule": "P-15",
     "pct": 90.0},
    {"id": "index", "used": 2_850, "max": 4_000, "left": 1_150, "unit": "hundredths", "rule": "MOEX-RISK-05",
     "pct": 71.2},
]  # fmt: skip
EXPOSURE = {
    "net_micros": 40_000 * RUB, "gross_micros": 80_000 * RUB, "hedge_micros": -30_000 * RUB, "hedge_lots": -1,
    "capital_micros": 500_000 * RUB, "hedging": True, "net_on_micros": 50_000 * RUB, "ratio_on_ppm": 100_000,
    "every_us": 300_000_000, "beta_ppm": 1_000_000,
}  # fmt: skip
INSTRUMENTS = {"0": {"symbol": "SBER"}, "1": {"symbol": "GAZP"}, "2": {"symbol": "MXI"}}


def test_limits_holds_hedges_and_liquidity_stand_on_one_page(
    client: Client, hedged: Session, redis_server: str, redis_client: Any, settings: Any
) -> None:
    """MOEX-LIQ-01: per instrument and mean, the hedge is no part; what is not known is a dash with its reason."""
    settings.REDIS_URL = redis_server
    raise_hold(hedged, 1, "OPERATOR_PAUSE")
    raise_hold(hedged, 2, "RISK_ERROR")
    Trade.objects.create(
        session=hedged, seq=34, number=1, instrument=1, symbol="MXI", side=-1, qty=3, entry_tick=60_000,
        exit_tick=60_010, reason=11, gross_micros=-10, fee_micros=5, net_micros=-15, opened_ns=12, closed_ns=33,
    )  # fmt: skip
    quotes = {"quote:0": {"liquidity_ppm": 820_000, "ok": True}, "quote:1": {"liquidity_ppm": None, "ok": False}}
    published(
        hedged, redis_client, risk=GAUGES, exposure=EXPOSURE, instruments=INSTRUMENTS,
        account={"liquidity_ppm": 820_000}, clock={"now_us": 10**15}, **quotes,
    )  # fmt: skip
    olga = signed_in(client, "olga", OPERATOR)
    page = html.unescape(olga.get(f"/sessions/{hedged.id}/risk/").content.decode())
    for words in (
        "9,000.00 ₽", "of 10,000.00 ₽", "90 %", "near", "daily loss refuses entries", "28.50", "of 40.00",
        "being evened out", "S1 MXI", "−30,000.00 ₽", "mean 0.82, deep", "no valid book of the last second",
        "the gate said spread, so positions are reduced", "lift it by name", 'href="#resume"', "hedge</td>",
    ):  # fmt: skip
        assert words in page, words
    assert "stale" not in page and page.count("bar-cell") == 2, "MXI is no part of the forecast"
    rows = list(csv.DictReader(io.StringIO(olga.get(f"/sessions/{hedged.id}/risk/hedges.csv").content.decode())))
    assert [row["action"] for row in rows] == ["unhedge", "reduce", "hedge", "hedge"]
    assert (rows[3]["net_before"], rows[3]["net_after"]) == ("100000.000000", "10000.000000")
    assert olga.get("/risk/").headers["location"].endswith("/risk/")
    LoopLease.objects.update(beat_boot_ns=boot_ns() - 9 * 10**9)
    assert "stale: 9." in olga.get(f"/sessions/{hedged.id}/risk/").content.decode()


def test_without_redis_or_a_session_the_page_says_so(client: Client, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    olga = signed_in(client, "olga", OPERATOR)
    assert "Here every limit of a session will stand" in olga.get("/risk/").content.decode()
    session = make_session()
    page = olga.get(f"/sessions/{session.id}/risk/").content.decode()
    assert "Exits and protection go on without it." in page and "LIQUIDITY" not in page
    assert olga.get("/sessions/77/risk/").status_code == 404


def test_a_gauge_says_what_happens_at_its_limit_by_the_rulebook() -> None:
    """One table of holds: the day's loss closes futures and stops shares; what no hold watches the gate refuses."""
    row = {"id": "loss_day", "used": 1, "max": 2, "left": 1, "unit": "micros", "rule": "P-15", "pct": 50.0}
    unset = {"id": "position", "used": 0, "max": None, "left": None, "unit": "contracts", "rule": "P-12", "pct": None}
    mes, moex = (risk.gauges([row, unset], rules) for rules in (MES, MOEX))
    assert [item["id"] for item in mes] == ["position", "loss_day"], "what nobody set comes first"
    assert "closes" in mes[1]["does"] and mes[0]["hold"] is None and mes[0]["tone"] == "bad"
    assert moex[1]["hold"] == "DAILY_LOSS" and "closes" not in moex[1]["does"]
