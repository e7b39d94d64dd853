"""The gate as a table: one row a case, the first refusing rule wins, nothing unknown passes (P-01 … P-24)."""

import numpy as np
import pytest

from marketdata.core.records import BUY, NO_TICK, NO_TIME, SELL, STATUS_HALTED
from marketdata.core.sessions import AFTER_HOURS, CLOSE_ONLY, NORMAL
from risk.core import codes, gate
from risk.core.asking import ASK, ASK_FIELDS
from risk.core.holds import BIT, ENTRY_MASK, HOLDS
from risk.core.records import LIMIT_FIELDS, LIMITS, MES, MOEX, UNKNOWN, UNSET
from tests.kernel.desk import LIMITS as DEMO
from tests.kernel.desk import T0, S

GOOD = dict(
    now_ns=T0,
    side=BUY,
    qty=1,
    order_type=1,
    price_tick=20_001,
    stop_ticks=8,
    score_ppm=500_000,
    confidence_ppm=700_000,
    trading=1,
    tradable=1,
    limits_known=1,
    latched=0,
    phase=NORMAL,
    holds=0,
    instrument_holds=0,
    feed_ts_ns=T0,
    quote_ts_ns=T0,
    score_ts_ns=T0,
    gap=0,
    book_ok=1,
    status=0,
    bid_tick=20_000,
    ask_tick=20_001,
    last_tick=20_000,
    last_ts_ns=T0,
    move_ticks=0,
    reconciled=1,
    recon_ts_ns=T0,
    unknown_orders=0,
    position=0,
    entries_working=0,
    working_buy=0,
    working_sell=0,
    orders_open=0,
    entry_fill_ns=NO_TIME,
    exit_fill_ns=NO_TIME,
    tick_value_micros=1_250_000,
    fee_per_unit_micros=420_000,
    margin_per_unit_micros=50_000_000,
    margin_elsewhere_micros=0,
    open_risk_micros=0,
    day_net_micros=0,
    equity_micros=10_000_000_000,
    reference_micros=10_000_000_000,
    same_order_ts_ns=NO_TIME,
    score_used=0,
    held_first=0,
    messages_1s=0,
    messages_60s=0,
    size_code=0,
    row_valid=1,
    reversing=0,
    hedging=0,
    capital_micros=10_000_000_000,
    gross_micros=0,
    instrument_micros=0,
    bucket_tokens=0,
    slices=1,
    entries_recent=0,
    opposite_tick=0,
    day_trades=0,
    opposite_qty=5,
    atr_sum=14,
)


def ask(record: np.record, **changes: int) -> int:
    """What the gate says to a good entry with these changes."""
    form = np.zeros(1, ASK)
    for name, value in (GOOD | changes).items():
        form[name] = value
    return int(gate.approve(form[0], form.view("<i8"), record))


def limits(**changes: int) -> np.record:
    record = np.zeros(1, LIMITS)
    for name, value in (DEMO | changes).items():
        record[name] = value
    return record[0]


# field = value | expected code; equality at a limit passes, one beyond refuses
TABLE = f"""
P-01   trading=0                            NOT_TRADING
P-25   tradable=0                           NOT_TRADING
K-05   latched=1                            LATCHED
P-06   side=2                               INPUT_INVALID:side
SIZE   qty=0                                SIZE_ZERO
SIZE   qty=0,size_code=31                   RISK_TIER
P-06   qty=-1                               INPUT_INVALID:qty
P-06   qty=1000001                          INPUT_INVALID:qty
P-06   tick_value_micros=0                  INPUT_INVALID:tick_value_micros
P-06   fee_per_unit_micros=-1               INPUT_INVALID:fee_per_unit_micros
P-06   margin_per_unit_micros=-1            INPUT_INVALID:margin_per_unit_micros
P-06   confidence_ppm=1000001               INPUT_INVALID:confidence_ppm
P-06   position=1000001                     INPUT_INVALID:position
P-07   limits_known=0                       LIMITS_UNKNOWN
P-05   reconciled=0                         NOT_RECONCILED
P-05   unknown_orders=1                     NOT_RECONCILED
P-05   recon_ts_ns={T0 - 24 * 3600 * S}     APPROVED
P-05   recon_ts_ns={T0 - 24 * 3600 * S - 1} NOT_RECONCILED
P-04   gap=1                                FEED_STALE
P-04   book_ok=0                            FEED_STALE
P-04   feed_ts_ns={T0 - 2 * S}              APPROVED
P-04   feed_ts_ns={T0 - 2 * S - 1}          FEED_STALE
P-04   quote_ts_ns={T0 - 2 * S}             APPROVED
P-04   quote_ts_ns={T0 - 2 * S - 1}         FEED_STALE
P-04   price_tick={NO_TICK}                 FEED_STALE
P-04   price_tick=0                         FEED_STALE
P-04   score_ts_ns={T0 - 2 * S}             APPROVED
P-04   score_ts_ns={T0 - 2 * S - 1}         SCORE_STALE
P-04   score_ts_ns={T0 + 1}                 SCORE_STALE
P-03   phase={AFTER_HOURS}                  AFTER_HOURS
P-03   phase={CLOSE_ONLY}                   EOD
P-23   row_valid=0                          FEATURES_COLD
P-26   exit_fill_ns={T0 - 5 * S + 1},reversing=1 APPROVED
P-03   status={STATUS_HALTED}               CLOSED
R-20   side=0                               NO_SIGNAL
R-20   score_ppm=99999                      NO_SIGNAL
R-20   score_ppm=100000                     APPROVED
R-20   side={SELL}                          NO_SIGNAL
R-20   confidence_ppm=549999                LOW_CONFIDENCE
R-20   confidence_ppm=550000                APPROVED
R-20   position=1                           IN_POSITION
R-20   entries_working=1                    ENTRY_WORKING
P-26   entry_fill_ns={T0 - 5 * S}           APPROVED
P-26   entry_fill_ns={T0 - 5 * S + 1}       COOLDOWN
P-26   exit_fill_ns={T0 - 5 * S + 1}        COOLDOWN
P-21   stop_ticks={UNKNOWN}                 BAD_STOP
P-21   stop_ticks=3                         BAD_STOP
P-21   stop_ticks=4                         APPROVED
P-21   stop_ticks=17                        BAD_STOP
P-08   qty=6                                QTY_LIMIT
P-24   bid_tick=19996,ask_tick=20001        SPREAD
P-24   bid_tick=19997,ask_tick=20001        APPROVED
P-10   price_tick=20020                     APPROVED
P-10   price_tick=20021                     COLLAR
P-11   move_ticks={UNKNOWN}                 PRICE_MOVE
P-11   move_ticks=60                        APPROVED
P-11   move_ticks=61                        PRICE_MOVE
P-12   working_buy=2                        APPROVED
P-12   working_buy=3                        POSITION_LIMIT
P-12   qty=4                                POSITION_LIMIT
P-13   margin_per_unit_micros=5000000001    MARGIN
P-13   equity_micros=49999999               MARGIN
P-13   margin_elsewhere_micros=4950000000   APPROVED
P-13   margin_elsewhere_micros=4950000001   MARGIN
P-06   margin_elsewhere_micros=-1           INPUT_INVALID:margin_elsewhere_micros
P-14   stop_ticks=16                        APPROVED
P-14   fee_per_unit_micros=20000000         RISK_PER_TRADE
P-14   open_risk_micros={UNKNOWN}           LIMITS_UNKNOWN
P-14   open_risk_micros=-1                  LIMITS_UNKNOWN
P-14   open_risk_micros=487910000           APPROVED
P-14   open_risk_micros=487910001           RISK_DAILY
P-15   day_net_micros=-487910000            APPROVED
P-15   day_net_micros=-487910001            RISK_DAILY
P-15   equity_micros=9000000000             RISK_DAILY
P-16   same_order_ts_ns={T0 - S}            DUPLICATE
P-16   same_order_ts_ns={T0 - S - 1}        APPROVED
P-16   score_used=1                         DUPLICATE
P-17   messages_1s=17                       APPROVED
P-17   messages_1s=18                       MESSAGE_RATE
P-17   messages_60s=167                     APPROVED
P-17   messages_60s=168                     MESSAGE_RATE
P-19   opposite_tick=20002                  APPROVED
P-19   opposite_tick=20001                  SELF_MATCH
P-19   opposite_tick=1                      SELF_MATCH
P-20   orders_open=17                       APPROVED
P-20   orders_open=18                       OPEN_ORDERS
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize(("control", "change", "expected"), ROWS, ids=[f"{r[0]} {r[1]}" for r in ROWS])
def test_first_refusing_rule(control: str, change: str, expected: str) -> None:
    changes = {k: int(v) for k, v in (part.split("=") for part in change.split(","))}
    code = ask(limits(), **changes)
    assert gate.code_name(MES, code) == expected, control


def test_a_good_entry_passes() -> None:
    assert ask(limits()) == codes.APPROVED


def test_value_limit_p09() -> None:
    value = 20_001 * 1_250_000
    assert ask(limits(value_micros_max=value)) == codes.APPROVED
    assert ask(limits(value_micros_max=value - 1)) == codes.VALUE_LIMIT


def test_relative_collar_p10() -> None:
    # half a tick from the mid is 25 ppm of 20 000
    assert ask(limits(collar_ppm_max=25)) == codes.APPROVED
    assert ask(limits(collar_ppm_max=24)) == codes.COLLAR


def test_a_share_of_the_shown_quantity_p24() -> None:
    half = {"depth_ppm_max": 500_000}
    assert ask(limits(**half), opposite_qty=2) == codes.APPROVED
    assert ask(limits(**half), opposite_qty=1) == codes.DEPTH
    assert ask(limits(**half, bar_mode=1), opposite_qty=0) == codes.APPROVED, "bars show none"
    assert ask(limits(), opposite_qty=0) == codes.APPROVED, "0 is off"


def test_entries_and_trades_are_counted_p18_p26() -> None:
    assert ask(limits(entries_max=3), entries_recent=2) == codes.APPROVED
    assert ask(limits(entries_max=3), entries_recent=3) == codes.REPEATED
    assert ask(limits(trades_day_max=3), day_trades=2) == codes.APPROVED
    assert ask(limits(trades_day_max=3), day_trades=3) == codes.TRADES_DAY
    assert ask(limits(), entries_recent=32, day_trades=10_000) == codes.APPROVED, "0 is off"


def test_a_wide_spread_falls_back_to_a_recent_trade_or_refuses_p10() -> None:
    bars = limits(bar_mode=1)
    assert ask(bars) == codes.APPROVED
    assert ask(bars, last_tick=NO_TICK) == codes.COLLAR


LATER = (
    "NOT_RECONCILED",
    "FEED_STALE",
    "EOD",
    "CLOSE_ONLY",
    "AFTER_HOURS",
    "MODEL_BLOCKED",
    "FEATURES_COLD",
)  # rules of their own, sharper reasons


@pytest.mark.parametrize("hold", HOLDS[MES], ids=lambda h: h.code)
def test_every_entry_hold_refuses_with_its_code_mes_risk_20(hold) -> None:
    code = ask(limits(), holds=1 << hold.bit)
    own_rule = hold.code in LATER and hold.code not in ("MODEL_BLOCKED", "FEATURES_COLD")  # rule 7 reads these two
    refuses = bool(int(ENTRY_MASK[MES]) >> hold.bit & 1) and not own_rule
    assert gate.code_name(MES, code) == (hold.code if refuses else "APPROVED")


@pytest.mark.parametrize("hold", HOLDS[MOEX], ids=lambda h: h.code)
def test_every_entry_hold_refuses_with_its_code_moex_risk_08(hold) -> None:
    code = ask(limits(rules=MOEX), holds=1 << hold.bit)
    refuses = bool(int(ENTRY_MASK[MOEX]) >> hold.bit & 1) or hold.code == "ML_FALLBACK"  # row 3 names it
    assert gate.code_name(MOEX, code) == (hold.code if refuses else "APPROVED")


def test_the_strongest_hold_names_the_reason_mes_risk_16() -> None:
    """Strongest label first, table order inside a label."""
    rows = sorted(HOLDS[MES], key=lambda h: h.label)
    entry = [h for h in rows if int(ENTRY_MASK[MES]) >> h.bit & 1 and h.code not in LATER]
    for i, strong in enumerate(entry[:-1]):
        for weak in entry[i + 1 :]:
            assert ask(limits(), holds=1 << strong.bit | 1 << weak.bit) == codes.HOLD_BASE + strong.bit


def test_instrument_holds_refuse_too_p02() -> None:
    assert ask(limits(), instrument_holds=1 << BIT["MISMATCH"]) == codes.HOLD_BASE + BIT["MISMATCH"]


@pytest.mark.parametrize("name", LIMIT_FIELDS)
def test_a_missing_limit_is_seen_p07(name: str) -> None:
    values = np.array([DEMO[f] for f in LIMIT_FIELDS], np.int64)
    assert gate.all_known(values)
    values[LIMIT_FIELDS.index(name)] = UNSET
    assert not gate.all_known(values)


# absence is an answer for these: "never" for times of the past, and what the collar's own tests cover
MAY_BE_ABSENT = {"entry_fill_ns", "exit_fill_ns", "same_order_ts_ns", "order_type", "last_tick", "last_ts_ns"}


@pytest.mark.parametrize("name", [name for name in ASK_FIELDS if name not in MAY_BE_ABSENT])
def test_no_unknown_input_ever_approves_p06(name: str) -> None:
    """UNKNOWN in any one field refuses."""
    assert ask(limits(), **{name: UNKNOWN}) != codes.APPROVED


def test_a_tighter_limit_never_approves_more() -> None:
    """P-08: over a grid of quantities, tightening any cap only ever removes approvals."""
    for qty in range(1, 7):
        for cap in range(1, 7):
            wide = ask(limits(qty_max=cap + 1), qty=qty)
            tight = ask(limits(qty_max=cap), qty=qty)
            assert not (tight == codes.APPROVED and wide != codes.APPROVED)
