"""The gate's order and reasons: of two faults the earlier rule is named, every field and every reason has its own."""

import pytest

from marketdata.core.records import SELL, STATUS_HALTED
from marketdata.core.sessions import CLOSE_ONLY
from risk.core import codes, gate
from risk.core.asking import ASK_FIELDS, BOUNDS
from risk.core.holds import BIT, ENTRY_MASK, HOLDS
from risk.core.records import MES, MOEX, SIZE_CAPS, UNKNOWN
from tests.core.test_gate_table import LATER, ROWS, ask, limits
from tests.kernel.desk import T0

EARLIER = {"trading", "latched", "tradable", "limits_known"}  # their own rules come first and refuse anything but yes


@pytest.mark.parametrize(("rules", "column"), [(MES, "mes"), (MOEX, "moex")])
@pytest.mark.parametrize("index", range(len(ASK_FIELDS)), ids=ASK_FIELDS)
def test_every_field_out_of_its_bounds_is_refused_with_its_own_reason_p06(rules: int, column: str, index: int) -> None:
    name, (low, high) = BOUNDS[index]
    for value in (low - 1, high + 1, -(2**63), 2**63 - 1):
        if low <= value <= high or not -(2**63) <= value < 2**63:
            continue
        code = ask(limits(rules=rules), **{name: value})
        if name in EARLIER and code < codes.FIELD_BASE:
            assert code in (codes.NOT_TRADING, codes.LATCHED, codes.LIMITS_UNKNOWN)
        else:
            assert gate.code_name(rules, code) == f"INPUT_INVALID:{name}", (column, value)


def test_a_rulebook_that_does_not_exist_refuses() -> None:
    assert ask(limits(rules=2)) == codes.REFUSED
    assert ask(limits(rules=-1)) == codes.REFUSED


EXPOSED = {"gross_ppm_max": 500_000, "instrument_ppm_max": 50_000, "bucket_capacity": 20, "allow_short": 0}
EXPOSED |= {"entries_max": 3, "trades_day_max": 3, "depth_ppm_max": 10**6, "atr_ppm_min": 10**6}
ROOM = {"bucket_tokens": 20}
SHORT = {"side": SELL, "score_ppm": -500_000, "price_tick": 20_000}
REST = 100  # the controls that a document's table lacks come after it, by the number of P-01 … P-27
# (place, fault, reason), typed from the documents' tables; a place with a part is a row's own order
FAULTS: dict[int, list[tuple[float, dict[str, int], int]]] = {
    MES: [
        (1, {"trading": 0}, codes.NOT_TRADING),
        (1, {"tradable": 0}, codes.NOT_TRADING),
        (2, {"limits_known": 0}, codes.LIMITS_UNKNOWN),
        (2, {"open_risk_micros": UNKNOWN}, codes.LIMITS_UNKNOWN),
        (3, {"reconciled": 0}, codes.NOT_RECONCILED),
        (4, {"holds": 1 << BIT["MISMATCH"]}, codes.HOLD_BASE + BIT["MISMATCH"]),
        (5, {"gap": 1}, codes.FEED_STALE),
        (5, {"score_ts_ns": T0 + 1}, codes.SCORE_STALE),
        (6, {"phase": CLOSE_ONLY}, codes.HOLD_BASE + BIT["EOD"]),
        (7, {"row_valid": 0}, codes.HOLD_BASE + BIT["FEATURES_COLD"]),
        (8, {"side": 0}, codes.NO_SIGNAL),
        (8.1, {"atr_sum": 13}, codes.FILTERED),
        (9, {"confidence_ppm": 1}, codes.LOW_CONFIDENCE),
        (10, {"position": 1}, codes.IN_POSITION),
        (10, {"entries_working": 1}, codes.ENTRY_WORKING),
        (10, {"exit_fill_ns": T0}, codes.COOLDOWN),
        (11, {"stop_ticks": 3}, codes.BAD_STOP),
        (12, {"size_code": codes.RISK_TIER, "qty": 0}, codes.RISK_TIER),
        (REST, SHORT, codes.SHORT_NOT_ALLOWED),
        (REST + 3, {"status": STATUS_HALTED}, codes.CLOSED),
        (REST + 8, {"qty": 6}, codes.QTY_LIMIT),
        (REST + 9, {"tick_value_micros": 10**9}, codes.VALUE_LIMIT),
        (REST + 10, {"price_tick": 20_021}, codes.COLLAR),
        (REST + 11, {"move_ticks": 61}, codes.PRICE_MOVE),
        (REST + 12, {"working_buy": 3}, codes.POSITION_LIMIT),
        (REST + 13, {"margin_per_unit_micros": 6_000_000_000}, codes.MARGIN),
        (REST + 14, {"fee_per_unit_micros": 30_000_000}, codes.RISK_PER_TRADE),
        (REST + 14.1, {"day_net_micros": -495_000_000}, codes.RISK_DAILY),
        (REST + 16, {"same_order_ts_ns": T0}, codes.DUPLICATE),
        (REST + 17, {"messages_60s": 200}, codes.MESSAGE_RATE),
        (REST + 18, {"entries_recent": 3}, codes.REPEATED),
        (REST + 19, {"opposite_tick": 1}, codes.SELF_MATCH),
        (REST + 20, {"orders_open": 99}, codes.OPEN_ORDERS),
        (REST + 24, {"bid_tick": 19_996, "ask_tick": 20_001}, codes.SPREAD),
        (REST + 24.1, {"opposite_qty": 0}, codes.DEPTH),
        (REST + 26, {"day_trades": 3}, codes.TRADES_DAY),
    ],
    MOEX: [
        (1, {"limits_known": 0}, codes.LIMITS_UNKNOWN),
        (2, {"trading": 0}, codes.NOT_TRADING),
        (2, {"latched": 1}, codes.LATCHED),
        (3, {"holds": 1 << BIT["RECON_MISMATCH"]}, codes.HOLD_BASE + BIT["RECON_MISMATCH"]),
        (4, {"instrument_holds": 1 << BIT["NOT_ACTIVE"]}, codes.HOLD_BASE + BIT["NOT_ACTIVE"]),
        (4, {"tradable": 0}, codes.NOT_TRADING),
        (4, {"status": STATUS_HALTED}, codes.CLOSED),
        (5, {"gap": 1}, codes.FEED_STALE),
        (5, {"score_ts_ns": T0 + 1}, codes.SCORE_STALE),
        (7, {"bid_tick": 19_996, "ask_tick": 20_001}, codes.SPREAD),
        (8, {"side": 0}, codes.NO_SIGNAL),
        (8, {"confidence_ppm": 1}, codes.LOW_CONFIDENCE),
        (9, {"position": 1}, codes.IN_POSITION),
        (9, {"entries_working": 1}, codes.ENTRY_WORKING),
        (10, SHORT, codes.SHORT_NOT_ALLOWED),
        (11, {"stop_ticks": 3}, codes.BAD_STOP),
        (12, {"size_code": codes.CAP_DEPTH, "qty": 0}, codes.CAP_DEPTH),
        (13.1, {"gross_micros": 6_000_000_000}, codes.LIMIT_EXPOSURE),
        (13.2, {"instrument_micros": 600_000_000}, codes.LIMIT_INSTRUMENT),
        (13.3, {"working_buy": 3}, codes.POSITION_LIMIT),
        (14, {"price_tick": 20_021}, codes.COLLAR),
        (15, {"bucket_tokens": 0}, codes.RATE),
        (16, {"messages_60s": 200}, codes.MESSAGE_RATE),
        (REST + 3, {"phase": CLOSE_ONLY}, codes.HOLD_BASE + BIT["EOD"]),
        (REST + 5, {"reconciled": 0}, codes.NOT_RECONCILED),
        (REST + 9, {"tick_value_micros": 10**9}, codes.VALUE_LIMIT),
        (REST + 11, {"move_ticks": 61}, codes.PRICE_MOVE),
        (REST + 13, {"margin_per_unit_micros": 6_000_000_000}, codes.MARGIN),
        (REST + 14, {"open_risk_micros": UNKNOWN}, codes.LIMITS_UNKNOWN),
        (REST + 14.1, {"fee_per_unit_micros": 30_000_000}, codes.RISK_PER_TRADE),
        (REST + 14.2, {"day_net_micros": -495_000_000}, codes.RISK_DAILY),
        (REST + 16, {"same_order_ts_ns": T0}, codes.DUPLICATE),
        (REST, {"atr_sum": 13}, codes.FILTERED),
        (REST + 18, {"entries_recent": 3}, codes.REPEATED),
        (REST + 19, {"opposite_tick": 1}, codes.SELF_MATCH),
        (REST + 20, {"orders_open": 99}, codes.OPEN_ORDERS),
        (REST + 24, {"opposite_qty": 0}, codes.DEPTH),
        (REST + 26, {"day_trades": 3}, codes.TRADES_DAY),
        (REST + 23, {"row_valid": 0}, codes.HOLD_BASE + BIT["FEATURES_COLD"]),
        (REST + 26, {"exit_fill_ns": T0}, codes.COOLDOWN),
    ],
}


@pytest.mark.parametrize("rules", [MES, MOEX])
def test_of_two_refusing_rules_the_earlier_one_is_named_mes_risk_20_moex_risk_08_moex_acc_116(rules: int) -> None:
    """Every pair of faults: the code is that of the row that the document puts first; within one row either."""
    pairs = 0
    for first_place, first, first_code in FAULTS[rules]:
        for second_place, second, second_code in FAULTS[rules]:
            if first_place > second_place or (set(first) & set(second) and first != second):
                continue
            code = ask(limits(rules=rules, **EXPOSED), **(ROOM | first | second))
            named = (first_code,) if first_place < second_place else (first_code, second_code)
            assert code in named, (first, second, gate.code_name(rules, code))
            pairs += 1
    assert pairs > 400


@pytest.mark.parametrize("rules", [MES, MOEX])
def test_every_fault_alone_is_named(rules: int) -> None:
    for _, fault, code in FAULTS[rules]:
        record = limits(rules=rules, **EXPOSED)
        assert ask(record, **(ROOM | fault)) == code, fault
    assert ask(limits(rules=rules, **EXPOSED), **ROOM) == codes.APPROVED


def test_short_sales_need_their_permission_moex_risk_08() -> None:
    short = {"side": SELL, "score_ppm": -500_000, "price_tick": 20_000}
    assert ask(limits(rules=MOEX, allow_short=0), **short) == codes.SHORT_NOT_ALLOWED
    assert ask(limits(rules=MOEX, allow_short=1), **short) == codes.APPROVED


def test_a_relative_spread_limit_moex_risk_08() -> None:
    # 1 tick of 20 000.5 is 49.99 ppm
    assert ask(limits(spread_ppm_max=50)) == codes.APPROVED
    assert ask(limits(spread_ppm_max=49)) == codes.SPREAD


def test_a_computed_size_has_its_limits_inside_mes_size_03() -> None:
    """One limit is one function: the tiers' own caps replace P-14, which would also count slippage and fees."""
    assert ask(limits(sizing=0), stop_ticks=16, qty=3) == codes.RISK_PER_TRADE
    assert ask(limits(sizing=1), stop_ticks=16, qty=3) == codes.APPROVED


def test_lots_by_caps_keep_within_the_budget_of_the_day_p14() -> None:
    """MOEX-SIZE-01 has no cap of the day: the rule is the gate's; its budget is the smaller of amount and share."""
    shares = {"rules": MOEX, "sizing": SIZE_CAPS}
    one = 8 * 1_250_000 + 1_250_000 + 2 * 420_000  # stop, slippage, both fees
    assert ask(limits(**shares), day_net_micros=-(500_000_000 - one)) == codes.APPROVED
    assert ask(limits(**shares), day_net_micros=-(500_000_000 - one + 1)) == codes.RISK_DAILY
    assert ask(limits(**shares), open_risk_micros=500_000_000 - one + 1) == codes.RISK_DAILY
    fraction = limits(**shares, loss_day_share_ppm_max=2_000)  # 0.2 % of 10 000: 20 dollars
    assert ask(fraction, day_net_micros=-(20_000_000 - one)) == codes.APPROVED
    assert ask(fraction, day_net_micros=-(20_000_000 - one + 1)) == codes.RISK_DAILY
    assert ask(limits(**shares), reference_micros=11_000_000_000 - one + 1) == codes.RISK_DAILY


@pytest.mark.parametrize("rules", [MES, MOEX])
def test_every_reason_is_reachable(rules: int) -> None:
    names = gate.code_names(rules)
    named = {row[2] for row in ROWS} | {names[c] for _, _, c in FAULTS[rules]}
    named |= {
        "VALUE_LIMIT",
        "COLLAR",
        "REFUSED",
        "REVERSAL_LIMIT",  # the policy's own: tests/kernel/test_clock.py
        "SPREAD",
        "SHORT_NOT_ALLOWED",
        "LIMIT_EXPOSURE",
        "LIMIT_INSTRUMENT",
        "RATE",
        "HEDGE_COST",
    }  # the tests of this file
    for code, name in names.items():
        if code >= codes.FIELD_BASE or code in _SIZE_CODES or name in named:
            continue
        hold = next((h for h in HOLDS[rules] if h.code == name), None)
        assert hold is not None, f"nothing reaches {name}"
        if int(ENTRY_MASK[rules]) >> hold.bit & 1 and hold.code not in LATER:
            assert ask(limits(rules=rules), holds=1 << hold.bit) == code
    for code in _SIZE_CODES:
        assert ask(limits(rules=rules), qty=0, size_code=code) == code


_SIZE_CODES = [code for rule in gate.RULES if rule.text == "size is at least 1" for code in rule.codes]


@pytest.mark.parametrize("rules", [MES, MOEX])
def test_features_that_are_not_valid_have_a_name_under_both_rulebooks(rules: int) -> None:
    """The shares' table has no such hold, yet the gate's own rule gives the reason."""
    assert gate.code_name(rules, ask(limits(rules=rules), row_valid=0)) == "FEATURES_COLD"


@pytest.mark.parametrize("rules", [MES, MOEX])
def test_every_number_that_a_decision_can_carry_has_a_name(rules: int) -> None:
    own = {code for name, code in vars(codes).items() if isinstance(code, int) and name.isupper()}
    unnamed = own - set(gate.CODE_NAMES[rules]) - set(codes.RETIRED) - {codes.HOLD_BASE, codes.FIELD_BASE}
    assert unnamed == set()


def test_a_reason_is_named_by_its_own_rulebook() -> None:
    """One bit is one mechanism with two names: a session's pages show the one of its own rulebook."""
    away = codes.HOLD_BASE + BIT["DATABASE_AWAY"]
    assert BIT["DATABASE_AWAY"] == BIT["RECORD_DOWN"]
    assert gate.code_name(MES, away) == "DATABASE_AWAY" and gate.code_name(MOEX, away) == "RECORD_DOWN"
    only_moex = codes.HOLD_BASE + BIT["RVI_HIGH"]
    assert gate.code_name(MOEX, only_moex) == "RVI_HIGH" and gate.code_name(MES, only_moex) == str(only_moex)


def test_a_hedge_is_asked_the_rules_for_hedges_alone_in_the_documents_order_moex_hedge_05() -> None:
    """Rules 1–5 without the score's, 7, 13 without the instrument's cap, 14–16, and what no order escapes."""
    rules = limits(rules=MOEX, gross_ppm_max=500_000, bucket_capacity=20, hedge_max_cost_ppm=800, spread_ppm_max=500)
    hedge = {"hedging": 1, "bucket_tokens": 20, "slices": 1, "fee_per_unit_micros": 0}
    assert ask(rules, **hedge) == codes.APPROVED
    none_of_its = {"side": SELL, "score_ppm": 0, "confidence_ppm": 0, "score_ts_ns": T0 - 60 * 10**9, "stop_ticks": 0}
    none_of_its |= {"position": -3, "qty": 90, "price_tick": 20_000, "score_used": 1, "size_code": 0}
    assert ask(rules, **hedge | none_of_its) == codes.APPROVED, "no score, no stop, no size, no lots cap"
    wide = {"bid_tick": 19_995}
    assert ask(rules, **wide) == codes.SPREAD
    assert ask(rules, **hedge | wide) == codes.APPROVED, "of a hedge 0.05 % (MOEX-HEDGE-03)"
    faults = [
        ({"limits_known": 0}, codes.LIMITS_UNKNOWN),
        ({"trading": 0}, codes.NOT_TRADING),
        ({"holds": 1 << BIT["RECON_MISMATCH"]}, codes.HOLD_BASE + BIT["RECON_MISMATCH"]),
        ({"instrument_holds": 1 << BIT["OUTCOME_UNKNOWN"]}, codes.HOLD_BASE + BIT["OUTCOME_UNKNOWN"]),
        ({"tradable": 0}, codes.NOT_TRADING),
        ({"status": STATUS_HALTED}, codes.CLOSED),
        ({"book_ok": 0}, codes.FEED_STALE),
        ({"bid_tick": 19_990}, codes.SPREAD),
        ({"fee_per_unit_micros": 10_000_000}, codes.HEDGE_COST),
        ({"gross_micros": 9_000_000_000}, codes.LIMIT_EXPOSURE),
        ({"price_tick": 20_050}, codes.COLLAR),
        ({"bucket_tokens": 0}, codes.RATE),
        ({"messages_60s": 200}, codes.MESSAGE_RATE),
    ]
    for k, (fault, code) in enumerate(faults):
        assert ask(rules, **hedge | fault) == code
        for other, _ in faults[k + 1 :]:
            assert ask(rules, **hedge | other | fault) == code, (fault, other)
    assert ask(limits(rules=MES), hedging=1, confidence_ppm=1) == codes.LOW_CONFIDENCE, "futures are never hedged"
