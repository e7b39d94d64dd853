"""The oracle by itself: its tables are the kernel's tables, it knows right from wrong, and its faults are found."""

from contextlib import nullcontext

import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE
from risk.core import holds as kernel_holds
from risk.core.records import LIMIT_DIRECTION, LIMIT_FIELDS, LIMIT_OFF, MES, MOEX
from tests.oracle.around import setup
from tests.oracle.compare import Batch
from tests.oracle.invariants import Broken, Watch
from tests.oracle.play import Life, again, draw_crashes, fault, live, shrink
from tests.oracle.rules import commands, holds
from tests.oracle.rules.desk import Desk
from tests.oracle.rules.facts import EXIT, MARKET, NOTHING, QUERYING, WORKING, Event, Order, S
from tests.oracle.rules.holds import MES_BOOK
from tests.oracle.shares import setup as shares_setup
from tests.oracle.shares.holds import MOEX_BOOK
from trading.core import records as r


@pytest.fixture(scope="module")
def batch() -> Batch:
    return Batch(1024)


@pytest.mark.parametrize("book", [MES_BOOK, MOEX_BOOK], ids=["mes", "moex"])
def test_both_tables_of_holds_say_the_same_mes_risk_16_moex_risk_05(book: holds.Rulebook) -> None:
    """Typed twice, from the same text: effect, clearing rule and label."""
    theirs = {
        h.code: (kernel_holds.EFFECTS[h.effect], kernel_holds.CLEARINGS[h.clearing], kernel_holds.LABELS[h.label])
        for h in kernel_holds.HOLDS[book.rules]
    }
    assert theirs == book.table
    assert kernel_holds.LABELS == holds.LABELS
    assert {MES: MES_BOOK, MOEX: MOEX_BOOK}[book.rules] is book


def test_a_tie_of_labels_goes_to_the_earlier_row_mes_risk_16() -> None:
    theirs: dict[str, list[str]] = {}
    for h in kernel_holds.MES_HOLDS:
        theirs.setdefault(kernel_holds.LABELS[h.label], []).append(h.code)
    assert theirs == {label: [c for c, row in holds.TABLE.items() if row[2] == label] for label in theirs}


@pytest.mark.parametrize("name", LIMIT_FIELDS)
def test_both_know_which_way_a_limit_loosens(name: str) -> None:
    off = bool(LIMIT_OFF[LIMIT_FIELDS.index(name)])
    direction = int(LIMIT_DIRECTION[LIMIT_FIELDS.index(name)])
    assert commands.loosens(name, 2, 1) == (direction > 0)
    assert commands.loosens(name, 1, 2) == (direction < 0)
    assert commands.loosens(name, 0, 1) == (off or direction < 0), "0 switches some limits off"
    assert commands.loosens(name, 1, 0) == (not off and direction > 0)


def test_every_limit_is_drawn() -> None:
    assert set(setup.LIMITS) == set(LIMIT_FIELDS) == set(shares_setup.LIMITS)


def test_a_life_is_a_function_of_its_seed() -> None:
    one, two, other = live(5, 60), live(5, 60), live(6, 60)
    assert one.rows == two.rows and one.said == two.said
    assert one.rows != other.rows


def test_the_story_of_one_trade() -> None:
    """By hand: one MES contract, in at 20 001, bracket 8/16, out at the target: 16 ticks less two commissions."""
    desk = Desk()
    limits = {name: usual for name, (usual, _) in setup.LIMITS.items()}
    now = setup.T0
    for e in setup.staged(now, limits):
        desk.apply(e)
    for field, value in enumerate((1_250_000, 420_000, 0, 50_000_000, 250_000_000, 1, 1)):
        desk.apply(Event(r.CONFIG, now, instrument=0, code=field, value=value))
    desk.apply(Event(r.CONFIG_COMMIT, now, instrument=ACCOUNT_SCOPE, ref=1))
    window = {"code": 1, "value": now - S, "until": now + 3600 * S, "ref": 20260304}
    desk.apply(Event(r.WINDOW_SET, now, instrument=ACCOUNT_SCOPE, **window))
    for link in (r.LINK_EXECUTION, r.LINK_DATABASE, r.LINK_STREAM):
        desk.apply(Event(r.LINK, now, instrument=ACCOUNT_SCOPE, code=link, value=1))
    desk.apply(Event(r.RECON, now, instrument=ACCOUNT_SCOPE, code=r.RECON_BEGIN))
    desk.apply(Event(r.RECON, now, instrument=ACCOUNT_SCOPE, code=r.RECON_END))
    desk.apply(Event(r.COMMAND, now, instrument=ACCOUNT_SCOPE, code=r.START))
    desk.apply(Event(m.QUOTE, now, bid=20_000, ask=20_001))
    desk.apply(Event(r.TIMER, now))
    assert desk.holds == {}
    said = desk.apply(Event(r.SCORE, now + 1, side=1, score=500_000, confidence=700_000))
    assert [(o[0], o[3]) for o in said] == [(r.DECISION, "APPROVED"), (r.SUBMIT, 0)]
    said = desk.apply(Event(r.FILL, now + 2, number=1, ref=1, side=1, qty=1, price=20_001, fee=420_000))
    assert [(o[5], o[8]) for o in said if o[0] == r.SUBMIT] == [(2, 19_993), (3, 20_017)]
    said = desk.apply(Event(r.FILL, now + 3, number=3, ref=2, side=-1, qty=1, price=20_017, fee=420_000))
    assert [o[10] for o in said if o[0] == r.TRADE_CLOSED] == [16 * 1_250_000 - 840_000]
    assert [o[6] for o in said if o[0] == r.CANCEL] == [2]
    assert desk.balance == 10_000_000_000 + 19_160_000 and desk.equity() == desk.balance


def test_a_wrong_rule_is_found_and_made_small(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness against itself: one rule of the oracle is wrong by one, and a short sequence shows it."""
    monkeypatch.setattr("tests.oracle.rules.gate.PPM", 999_999)
    faults = (live(seed, 200) for seed in range(1, 60))
    wrong = next(life for life in faults if fault(life, batch))
    small, text = shrink(wrong, batch, seconds=60.0)
    assert "difference" in text
    assert len(small) - wrong.prologue <= 20
    assert fault(again(small), batch) == text


def test_a_lost_hold_is_found(batch: Batch) -> None:
    life = live(3, 200)
    assert fault(life, batch) == ""
    row = next(k for k, row in enumerate(life.rows) if row[0] != 0)
    life.rows[row] = (0, *life.rows[row][1:])
    assert "holds" in fault(life, batch)


@pytest.mark.parametrize("request_", [NOTHING, QUERYING], ids=["works", "unanswered"])
def test_an_exit_of_the_position_before_excuses_none_only_while_it_is_unanswered_mes_eod_06(request_: int) -> None:
    """The new position must leave and has sent no exit: one that works for a minute is no reason to wait."""
    desk = Desk()
    desk.limits.naked_ns_max, desk.limits.bar_mode, desk.now = 3 * S, 0, 60 * S
    exit_ = Order(1, 0, -1, MARKET, EXIT, 1, None, None, 0)
    exit_.status, exit_.request = WORKING, request_
    desk.orders.append(exit_)
    desk.instruments[0].qty, desk.instruments[0].closing = 1, True
    with pytest.raises(Broken, match="no exit was ever sent") if request_ == NOTHING else nullcontext():
        Watch(desk)._leaving(0)


@pytest.mark.parametrize("tightened", [True, False], ids=["tightened", "from the start"])
def test_the_next_exit_waits_by_the_limits_under_which_the_last_one_ended_mes_eod_06(tightened: bool) -> None:
    """Sent under attempts of 2 s, looked at 1.5 s later under attempts of 0.7 s: late only if those stood then."""
    desk = Desk()
    desk.limits.naked_ns_max, desk.limits.bar_mode, desk.now = 3 * S if tightened else S, 0, 60 * S
    desk.instruments[0].qty, desk.instruments[0].closing = 1, True
    watch = Watch(desk)
    watch.before()
    watch.after(Event(r.TIMER, desk.now), [(r.SUBMIT, 0, -1, 0, MARKET, EXIT, 1, 1, 0, 0, 0)])
    desk.limits.naked_ns_max, desk.now = S, 61 * S + S // 2
    watch.before()
    watch.after(Event(r.COMMAND, desk.now), [])
    with nullcontext() if tightened else pytest.raises(Broken, match="the next attempt is late"):
        watch._leaving(0)


def test_crashes_are_drawn_in_order() -> None:
    import random

    for seed in range(50):
        at = [cut for pair in draw_crashes(random.Random(seed), 100) for cut in pair]
        assert at == sorted(at) and all(0 <= cut <= 100 for cut in at)
    assert isinstance(live(1, 5), Life)
