"""The oracle of shares by itself: the document's own vectors, one trade by hand, and that its faults are found."""

from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE
from risk.core import holds as kernel_holds
from risk.core.records import MOEX, SPEC_INDEX
from tests.oracle.around.setup import T0, staged
from tests.oracle.campaign import SHARES, Result, Slice, append, batch_for, read
from tests.oracle.play import again, fault, live, shrink
from tests.oracle.rules.facts import FILL_AND_KILL, PASSIVE, Event, S
from tests.oracle.shares import setup
from tests.oracle.shares.desk import SharesDesk
from tests.oracle.shares.holds import MOEX_BOOK
from tests.oracle.shares.plan import gap, reaching, slices
from tests.oracle.shares.stops import stop_tick
from trading.core import records as r

RUB, CENT = setup.RUB, 10_000_000


@pytest.mark.parametrize(
    ("entry", "atr", "spread", "side", "nanos", "tick"),
    [
        ("100", "0.02", "0", 1, CENT, 9_947),
        ("200", "0.03", "0.02", -1, CENT, 20_105),
        ("250.5", "0.8", "0.05", 1, CENT, 24_781),
        ("250.5", "0.8", "0.05", -1, CENT, 25_319),
        ("0.0245", "0.0001", "0.00001", 1, 5_000, 4_840),
        ("7000", "45", "1", 1, 500_000_000, 13_768),
        ("100", "1", "3", 1, CENT, 9_670),
        ("100", "0", None, 1, CENT, 9_950),
        ("100", "0.02", "-1", -1, CENT, 10_053),
    ],
)
def test_the_documents_stops_moex_stop_01_moex_stop_02(
    entry: str, atr: str, spread: str | None, side: int, nanos: int, tick: int
) -> None:
    """12.1; what is missing or negative counts as nothing."""
    step = Fraction(nanos, 10**9)
    wide = None if spread is None else max(0, int(Fraction(spread) / step))
    assert stop_tick(side, int(Fraction(entry) / step), Fraction(atr) / step, wide, nanos, 10_000) == tick


def test_the_documents_routes_moex_route_01() -> None:
    """12.2."""
    table = {0: (), 1: (1,), 5: (5,), 6: (5, 1), 7: (6, 1), 8: (6, 2), 9: (7, 2), 10: (8, 2), 13: (10, 3), 25: (20, 5)}
    assert {lots: slices(lots, simplified=False) for lots in table} == table
    assert slices(100, simplified=False) == (80, 20) and slices(100, simplified=True) == (100,)
    assert (gap(10, 0), gap(10, 600), gap(1, 6_000)) == (5 * S, S, S // 5)
    assert (reaching(1, 10_002, 5), reaching(-1, 10_000, 10)) == (10_007, 9_990), "12.6: the collar of 100.02"


def desk(**limits: int) -> SharesDesk:
    """A desk that may trade; the first share stands at 99.98 / 100.00, five candles of 0.05 behind it."""
    d, now = SharesDesk(), T0
    usual = {name: value for name, (value, _) in setup.LIMITS.items()} | {"rvi_max": 0} | limits
    for e in staged(now, usual):
        d.apply(e)
    for index, (spec, _) in enumerate(setup.SHARES):
        for name, value in (setup.USUAL | spec | {"tradable": 1}).items():
            d.apply(Event(r.CONFIG, now, instrument=index, code=SPEC_INDEX[name], value=value))
    d.apply(Event(r.CONFIG_COMMIT, now, instrument=ACCOUNT_SCOPE, ref=1))
    window = {"code": 1, "value": now - S, "until": now + 3600 * S, "ref": 20260304}
    d.apply(Event(r.WINDOW_SET, now, instrument=ACCOUNT_SCOPE, **window))
    for link in (r.LINK_EXECUTION, r.LINK_DATABASE, r.LINK_STREAM):
        d.apply(Event(r.LINK, now, instrument=ACCOUNT_SCOPE, code=link, value=1))
    for code in (r.RECON_BEGIN, r.RECON_END):
        d.apply(Event(r.RECON, now, instrument=ACCOUNT_SCOPE, code=code))
    d.apply(Event(r.COMMAND, now, instrument=ACCOUNT_SCOPE, code=r.START))
    for k in range(5):
        end = now + (k - 9) * 60 * S
        row = {"high": 10_002, "low": 9_997, "close": 9_999, "value": 60 * S, "venue_ts": end}
        d.apply(Event(m.BAR, now, flags=m.FLAG_BACKFILL, **row))
    d.apply(Event(m.BOOK, now, bid=9_998, ask=10_000, bid_qty=1_000, ask_qty=1_000))
    return d


def test_the_story_of_one_trade_moex_stop_03_moex_stop_04_moex_route_04() -> None:
    """24 lots at full confidence: 19 at once and 5 kept; out 10 bps below the bid once the mid is at the stop."""
    d, now = desk(), T0
    assert d.holds == {}
    said = d.apply(Event(r.SCORE, now + 1, side=1, score=500_000, confidence=1_000_000))
    assert [(o[3], o[7], o[8]) for o in said if o[0] == r.DECISION] == [("APPROVED", 24, 59)]
    sent = [(o[4], o[7], o[8]) for o in said if o[0] == r.SUBMIT]
    assert sent == [(FILL_AND_KILL, 19, 10_005), (PASSIVE, 5, 10_005)], "24 lots at the limit of 100.05"
    assert said[-1][10] == now + 1 + 5 * S, "nothing was traded in the last minute"
    said = d.apply(Event(r.FILL, now + 2, number=1, ref=1, side=1, qty=19, price=10_000, fee=9_500_000))
    assert d.instruments[0].stop == 9_941, "1.8 x 5 + 0.5 % of 10 000 = 59 ticks below the fill"
    assert [(o[5], o[8]) for o in said if o[0] == r.SUBMIT] == [(2, 9_911)], "the venue's stop half as far behind"
    said = d.apply(Event(m.BOOK, now + 3, bid=9_940, ask=9_942, bid_qty=1_000, ask_qty=1_000))
    assert [o[6] for o in said if o[0] == r.CANCEL] == [2], "the child that is kept goes"
    assert [(o[4], o[7], o[8]) for o in said if o[0] == r.SUBMIT] == [(FILL_AND_KILL, 19, 9_931)]


@pytest.mark.parametrize(
    ("change", "lots"), [({}, 24), ({"participation_ppm_max": 12_000}, 12), ({"capital_micros": 100_000 * RUB}, 4)]
)
def test_the_least_cap_is_the_size_moex_size_01(change: dict[str, int], lots: int) -> None:
    said = desk(**change).apply(Event(r.SCORE, T0 + 1, side=1, score=500_000, confidence=1_000_000))
    assert [o[7] for o in said if o[0] == r.DECISION] == [lots]


def test_of_equal_rows_the_table_is_the_kernels_moex_term_04() -> None:
    """What the document leaves open, two holds of one moment, both tables answer alike."""
    assert [hold.code for hold in kernel_holds.MOEX_HOLDS] == list(MOEX_BOOK.table)
    assert kernel_holds.HOLDS[MOEX] is kernel_holds.MOEX_HOLDS


def test_a_wrong_rule_of_shares_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness against itself: one more lot goes as one child than the document says."""
    monkeypatch.setattr("tests.oracle.shares.plan.IOC_MOST", 6)
    batch = batch_for("moex", 120)
    wrong = next(life for life in (live(seed, 120, profile=SHARES) for seed in range(1, 80)) if fault(life, batch))
    small, text = shrink(wrong, batch, seconds=30.0)
    assert "difference" in text and len(small) - wrong.prologue <= 20
    assert fault(again(small, SHARES), batch) == text


def test_a_ledger_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    """A line that was cut off is no slice; what a slice gave comes back as it was."""
    first = Result(Slice("moex", 1, 2, 60, "code"), 2, 400, Counter({"heirs": 1}), {"heirs": 1}, [], 0.5)
    second = first._replace(slice=Slice("mes", 1, 2, 60, "code"), faults=["seed 1: x"])
    ledger = tmp_path / "ledger.jsonl"
    assert read(ledger) == []
    append(ledger, first)
    append(ledger, second)
    ledger.write_text(ledger.read_text() + '{"slice": {"rules": "mo')
    assert read(ledger) == [first, second]
    append(ledger, second._replace(faults=[]))
    assert [result.faults for result in read(ledger)] == [[], []], "lived again, it counts as it is now"
