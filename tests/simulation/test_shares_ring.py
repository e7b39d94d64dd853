"""The shares' own profile on the simulated market: a whole ring under `moex-tinvest` that really enters (issue 4).

Its rules are those of the file, its feed and its scorer those of the desk, its live data engine runs beside the feed
and its market is recorded.  Only the time that a loaded machine may leave a fill uncovered is longer.  The tests are
one story, in order, of one session.
"""

from collections.abc import Iterator

import msgspec
import pytest

from marketdata.core.records import ACCOUNT_SCOPE, BAR, BOOK, BUY, FEED, METRIC, QUOTE, STATUS, TRADE
from marketdata.core.units import NANOS
from marketdata.core.universe.records import ACTIVE
from marketdata.engine.telling import METRIC_INSTRUMENT, states_of
from marketdata.feeds.books.recorded import Joined, frames
from marketdata.feeds.tapes import join_blocks
from risk.core import codes
from risk.core.holds import BIT
from risk.core.records import MOEX
from tests.simulation.ring import Ring, replayed
from trading import configs
from trading.core.records import (
    CONDITION,
    DECISION,
    ENTRY,
    FILL,
    HOLD_CLEARED,
    HOLD_RAISED,
    INDEX,
    PROBE,
    SCORE,
    START,
    SUBMIT,
)
from trading.models import Account, ConfigVersion
from trading.preflight.planning import plan_session
from trading.reports.parity.proof import prove
from trading.run.clock import load_clock
from trading.run.feeding.recorder import recording_files
from trading.run.journal.verify import verify_journal
from trading.run.spec import FeedSpec, ScorerSpec, restrictions, save_spec
from trading.run.streams import INBOX, Board, Stream

pytestmark = [pytest.mark.processes, pytest.mark.slow]
SHARES = ["SBER", "GAZP"]
SPEED = 4.0  # a score is stale after 500 ms of session time: 125 ms here
WAIT_S = 300.0  # for a signal that is sure enough; a usual machine needs a small part of it


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ring]:
    """The session that pre-flight would plan for this profile, without a database."""
    profile = configs.load_file(configs.FOLDER / "moex-tinvest.yaml")
    account = Account(name="paper", venue="moex", currency="RUB", balance_micros=profile.limits()["capital_micros"])
    version = ConfigVersion(id=3, profile=profile.profile, number=1, hash="ab" * 32)
    feed = FeedSpec("simulated", SHARES, seed=1, speed=SPEED, record=True)
    plan = plan_session(account=account, version=version, profile=profile, feed=feed, scorer=ScorerSpec("baseline"))
    names = ["profile", "currency", "capital_micros", "instruments", "feed", "venue", "scorer", "windows"]
    names += ["created_ns", "universe"]
    changes = {name: getattr(plan, name) for name in names}
    changes["watch"] = {
        "book": 10 * NANOS
    }  # how quick this machine is beside other tests is none of these tests' matter
    ring = Ring(tmp_path_factory.mktemp("shares"), limits=plan.limits | {"naked_ns_max": 1_000 * NANOS}, **changes)
    yield ring
    ring.close()


def test_a_session_of_the_shares_profile_enters_on_the_simulated_market_moex_risk_05_moex_risk_08(ring: Ring) -> None:
    """RVI_STALE stands until the index comes, then every rule of the gate approves, and the venue fills.

    After it, in the same ring: a restriction, a feed that ends, a venue that dies.
    """
    assert ring.spec.limits["rules"] == MOEX and ring.spec.limits["rvi_max"] == 4000
    ring.start()
    ring.until(ring.reconciled, "a reconciliation")
    ring.command(START, 1)
    ring.until(lambda: len(ring.events(INDEX)) > 0, "a value of the index")

    def filled() -> bool:
        entries = {int(e["order_number"]) for e in ring.events(SUBMIT) if e["role"] == ENTRY}
        return any(int(e["order_number"]) in entries for e in ring.events(FILL))

    try:
        ring.until(filled, "an entry and its fill", WAIT_S)
    except AssertionError as error:
        refused: dict[int, int] = {}
        for code in ring.events(DECISION)["code"].tolist():
            refused[code] = refused.get(code, 0) + 1
        raise AssertionError(f"refusals by code: {refused}; {error}") from None
    entry = next(e for e in ring.events(SUBMIT) if e["role"] == ENTRY)
    assert int(entry["side"]) == BUY, "the profile sells nothing short"
    stale = BIT["RVI_STALE"]
    cleared = [int(e["seq"]) for e in ring.events(HOLD_CLEARED) if e["code"] == stale]
    raised = [int(e["seq"]) for e in ring.events(HOLD_RAISED) if e["code"] == stale]
    before = int(entry["seq"])
    assert sum(seq < before for seq in raised) == sum(seq < before for seq in cleared), "it did not stand at the entry"
    _is_its_own_backtest(ring)
    _restricted(ring)
    _without_books(ring)
    _without_venue(ring)
    assert replayed(ring).account["holds"][0] >> BIT["NET_FAILOVER"] & 1, "by the journal alone"


def _is_its_own_backtest(ring: Ring) -> None:
    """MES-BT-01: who is scored, and what the market is, comes from the live data engine, as the journal has it."""
    save_spec(ring.folder, ring.spec)
    parts = {part["name"]: part for part in prove(ring.folder).values["parts"]}
    scores = parts["scores"]
    assert parts["decisions"]["state"] == parts["answers"]["state"] == "equal" and not parts["answers"]["why"], parts
    assert scores["state"] == "equal" and scores["equal"] + scores["shifted"] == scores["recorded"] > 0, scores


def _raised(ring: Ring, code: str, kind: int = HOLD_RAISED) -> list[int]:
    """Instruments of the rows about this hold."""
    return [int(e["instrument"]) for e in ring.events(kind) if e["code"] == BIT[code]]


def _restricted(ring: Ring) -> None:
    """P-25: a list that grows reaches a running session; its instrument is left and not entered."""
    events = restrictions(ring.spec, ["SBER"], load_clock(ring.folder).now())
    Stream(ring.redis.client(), ring.spec.key, INBOX).append(events, fence=0, loop="desk")
    ring.until(lambda: _raised(ring, "RESTRICTED") == [0], "the restriction")
    refused = codes.HOLD_BASE + BIT["RESTRICTED"]
    ring.until(lambda: refused in ring.events(DECISION)["code"], "a decision that it refuses", WAIT_S)


def _without_books(ring: Ring) -> None:
    """MOEX-MON-05: the risk loop says so, for the feed loop is away; books end it."""
    ring.stop("feed")
    ring.until(lambda: len(_raised(ring, "HEARTBEAT")) == 1, "15 s without a book")
    ring.start("feed")
    ring.until(lambda: len(_raised(ring, "HEARTBEAT", HOLD_CLEARED)) == 1, "books again")


def _without_venue(ring: Ring) -> None:
    """MOEX-RISK-05: good probes all along, then a lost one."""
    assert (ring.events(PROBE)["code"] == 0).any()
    before = len(_raised(ring, "NET_FAILOVER"))
    if before == len(_raised(ring, "NET_FAILOVER", HOLD_CLEARED)):  # a loaded machine may have lost one already
        ring.venue.kill()
        ring.until(lambda: len(_raised(ring, "NET_FAILOVER")) > before, "a lost connection")


def integrity(ring: Ring) -> list[int]:
    """What the engine told of INTEGRITY, in order, repeats left out."""
    told = [int(e["value"]) for e in ring.events(CONDITION) if e["code"] == BIT["INTEGRITY"]]
    return [value for at, value in enumerate(told) if at == 0 or told[at - 1] != value]


def engine(ring: Ring) -> dict:
    """The engine's own picture, as the Operations page reads it."""
    raw = Board(ring.redis.client(), ring.spec.key).one("engine")
    return {} if raw is None else msgspec.json.decode(raw)


def test_no_score_and_no_entry_before_the_books_passed_the_gate_moex_data_05_moex_data_14(ring: Ring) -> None:
    assert integrity(ring)[:2] == [1, 0]
    told = [e for e in ring.events(CONDITION) if e["code"] == BIT["INTEGRITY"]]
    passed = next(int(e["seq"]) for e in told if e["value"] == 0)
    entry = next(int(e["seq"]) for e in ring.events(SUBMIT) if e["role"] == ENTRY)
    assert passed < entry
    active = [e for e in ring.events(METRIC) if e["code"] == METRIC_INSTRUMENT and e["role"] == ACTIVE]
    assert {int(e["instrument"]) for e in active} == {0, 1}
    scores = ring.events(SCORE)
    scored = scores[(scores["flags"] == 0)]
    for which in range(len(SHARES)):
        first = min(int(e["ts_venue_ns"]) for e in active if e["instrument"] == which)
        mine = scored[scored["instrument"] == which]
        assert (mine["ts_ns"] >= first).all()


def test_the_operations_page_has_the_engines_picture_moex_data_17(ring: Ring) -> None:
    ring.until(lambda: engine(ring).get("active") == len(SHARES), "both shares are active in the picture")
    seen = engine(ring)
    assert seen["subscriptions"] == {"wanted": 6, "confirmed": 6}
    assert {row["symbol"] for row in seen["instruments"]} == set(SHARES)
    assert all(row["spread"] is not None and row["age_ns"] is not None for row in seen["instruments"])
    ring.until(lambda: engine(ring)["journal"]["seq"] > 0, "the engine follows the journal")
    assert not engine(ring)["journal"]["fault"]


def test_a_feed_that_dies_leaves_its_active_set_to_the_next_moex_risk_12(ring: Ring) -> None:
    ring.until(lambda: engine(ring)["kept"]["count"] > 0, "the engine's memory is on disk")
    before, old = len(integrity(ring)), ring.bodies["feed"]
    ring.abandon("feed")
    ring.start("feed")
    old.close()  # it comes to itself when it has long been fenced: nothing of the new holder is touched
    ring.until(lambda: len(integrity(ring)) >= before + 2, "held and passed again")
    assert integrity(ring)[before:][:2] == [1, 0]
    ring.until(lambda: engine(ring).get("active") == len(SHARES), "the same set is active")
    assert states_of(ring.events(METRIC)[-2:]) == [(0, ACTIVE), (1, ACTIVE)]


def test_the_session_replays_to_the_same_orders(ring: Ring) -> None:
    """All that the engine said is in the journal: a fresh kernel makes every output of it again, bit for bit."""
    ring.stop("inference", "feed")
    report = verify_journal(ring.folder)
    assert report.ok and len(ring.events(METRIC)) > 0, report
    assert int(replayed(ring).account[0].submits) == len(ring.events(SUBMIT)) > 0


def test_the_recording_holds_the_market_of_the_journal_byte_for_byte(ring: Ring) -> None:
    """Several holders wrote it; what the second sent again counts once.  The journal has no depths."""
    files = recording_files(ring.folder)
    assert len(files) >= 2
    joined = Joined()
    blocks = [block for file in files for frame, _ in frames(file) if (block := joined.block(frame)) is not None]
    recorded = join_blocks(blocks)
    market = ring.events(BAR, QUOTE, TRADE, BOOK, STATUS)
    market = market[market["flags"] & 2 == 0]
    assert joined.holes == 0 and len(market) > 100
    own = recorded.events[recorded.events["kind"] != FEED][: len(market)].copy()
    own["seq"] = market["seq"]
    again = own["ts_ns"] != market["ts_ns"]  # sent twice around the takeover: the first receipt is the recording's
    assert again.mean() < 0.5
    own["ts_ns"] = market["ts_ns"]
    assert own.tobytes() == market.tobytes()
    books = recorded.depth_of[recorded.events["kind"] == BOOK]
    assert (books >= 0).all() and (recorded.depths["bid_qty"][books, -1] > 0).any(), "20 levels deep"
    assert ACCOUNT_SCOPE not in market["instrument"]
