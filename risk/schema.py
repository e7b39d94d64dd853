"""The risk section of a profile: every field of LIMITS with its name, unit, bounds and help, as one table of data.

Profiles write values with their unit ("2 s", "50 USD", "0.5 %"); the kernel reads int64 in ns, micros and ppm.  The
unit is part of the value, so a wrong one is refused instead of meaning something else.  `trading.configs` composes the
section with the others; nothing here reads files or a database.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, create_model
from pydantic_core import PydanticCustomError

from marketdata.core.units import MICROS, PPM, QTY_MAX
from risk.core.records import ENTRIES_KEPT, LIMIT_FIELDS, RULEBOOKS

MONEY, TIME, SHARE, TICKS, COUNT, SWITCH = "money", "time", "share", "ticks", "count", "switch"
RATIO, CHOICE = "ratio", "choice"
TIME_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000, "h": 3_600_000_000_000}
SHARE_UNITS = {"ppm": 1, "bp": 100, "%": 10_000}
CURRENCIES = ("USD", "RUB")
HOUR = TIME_UNITS["h"]
SECOND = TIME_UNITS["s"]
MONEY_MAX = 1_000_000_000 * MICROS
EXAMPLES = {
    MONEY: "50 USD",
    TIME: "500 ms or 2 s",
    SHARE: "0.5 %, 25 bp or 100 ppm",
    TICKS: "8",
    COUNT: "3",
    SWITCH: "true or false",
    RATIO: "1.5",
    CHOICE: "one of the names",
}
CHOICES = {
    "rules": RULEBOOKS,
    "sizing": ("fixed", "tiers", "caps"),
    "stop_method": ("fixed", "atr", "structure", "shares"),
    "bracket_anchor": ("fill", "signal"),
    "trail_anchor": ("entry", "best"),
}  # a value's place in its row is its number in LIMITS
_AMOUNT = re.compile(r"^\s*([-+]?\d+(?:[ _]\d{3})*(?:\.\d+)?)\s*([A-Za-zµ%]*)\s*$")


class Limit(NamedTuple):
    """One row.  `key` is the name in a profile, `name` the field of LIMITS; bounds in LIMITS' own unit."""

    name: str
    key: str
    kind: str
    low: int
    high: int
    help: str


def _row(name: str, kind: str, low: int, high: int, text: str) -> Limit:
    key = name
    for unit in ("_ns", "_micros", "_ppm"):
        key = key.replace(unit, "")
    return Limit(name, key, kind, low, high, text)


FIELDS = (
    _row("capital_micros", MONEY, MICROS, MONEY_MAX, "risk balance that the session starts with (MES-RISK-01)"),
    _row(
        "bar_mode",
        SWITCH,
        0,
        1,
        "decide on bars without quotes: the grid clock is the feed, the spread counts as 1 tick (MES-BT-04)",
    ),
    _row("quote_age_ns_max", TIME, 1_000_000, HOUR, "oldest quote and feed message an entry may rest on (P-04)"),
    _row("score_age_ns_max", TIME, 1_000_000, HOUR, "oldest score an entry may rest on (P-04, P-23)"),
    _row("last_age_ns_max", TIME, 1_000_000, HOUR, "oldest trade that may stand in for the mid in the collar (P-10)"),
    _row("recon_age_ns_max", TIME, SECOND, 24 * HOUR, "oldest reconciliation with the broker (P-05)"),
    _row("qty_max", COUNT, 1, QTY_MAX, "largest order, contracts or lots (P-08)"),
    _row("value_micros_max", MONEY, MICROS, MONEY_MAX, "largest value of one order (P-09)"),
    _row(
        "collar_ppm_max", SHARE, 1, PPM, "largest distance of an order's price from the reference, share of it (P-10)"
    ),
    _row("collar_ticks_max", TICKS, 1, 100_000, "the same distance in ticks (P-10)"),
    _row("spread_ticks_max", TICKS, 1, 100_000, "widest spread an entry accepts (P-24, MES-BREAK-03)"),
    _row("stop_ticks_min", TICKS, 1, 100_000, "nearest protective stop (P-21)"),
    _row("stop_ticks_max", TICKS, 1, 100_000, "farthest protective stop (P-21)"),
    _row("move_ticks_max", TICKS, 1, 1_000_000, "largest move of the mark within move_window (P-11)"),
    _row("move_window_ns", TIME, SECOND, HOUR, "window of move_ticks_max (P-11)"),
    _row("move_hold_ns", TIME, SECOND, 24 * HOUR, "how long entries wait after such a move (P-11)"),
    _row("position_max", COUNT, 1, QTY_MAX, "largest position with working orders (P-12)"),
    _row("margin_micros_max", MONEY, 0, MONEY_MAX, "margin that positions and orders may use (P-13)"),
    _row(
        "loss_trade_micros_max",
        MONEY,
        MICROS,
        MONEY_MAX,
        "loss to the stop of one trade, slippage and fees included (P-14)",
    ),
    _row("loss_day_micros_max", MONEY, MICROS, MONEY_MAX, "loss of a trading day at which the desk goes flat (P-15)"),
    _row("loss_total_micros_max", MONEY, MICROS, MONEY_MAX, "loss from the reference balance at which the desk halts"),
    _row("slip_ticks_assumed", TICKS, 0, 1_000, "slippage assumed at a stop when risk is computed (P-14)"),
    _row("duplicate_ns", TIME, 0, HOUR, "the same order again within this time is a duplicate (P-16)"),
    _row("messages_1s_max", COUNT, 3, 10_000, "messages to the venue in a second (P-17)"),
    _row("messages_60s_max", COUNT, 3, 100_000, "messages to the venue in 60 seconds (P-17)"),
    _row("messages_reserved", COUNT, 0, 100_000, "of these, kept for cancels and flatten (P-17, N3)"),
    _row(
        "orders_open_max",
        COUNT,
        3,
        200,
        "orders that may work at once; an entry needs three, of two orders four (P-20)",
    ),
    _row("score_ppm_min", SHARE, 0, PPM, "weakest score that asks for a side"),
    _row("confidence_ppm_min", SHARE, 0, PPM, "least confidence (MES-RISK-20, check 9)"),
    _row("qty_entry", COUNT, 1, QTY_MAX, "size of an entry, contracts or lots"),
    _row("stop_ticks", TICKS, 1, 100_000, "distance of the protective stop from the entry fill (MES-STOP-01)"),
    _row("target_ticks", TICKS, 0, 100_000, "distance of the target from the entry fill; 0 = no target (MES-STOP-03)"),
    _row("hold_ns_max", TIME, 0, 24 * HOUR, "longest time in a position; 0 = no limit (MES-STOP-06)"),
    _row("entry_ttl_ns", TIME, 1_000_000, HOUR, "an entry that has not filled by then is cancelled (W-06)"),
    _row("cooldown_entry_ns", TIME, 0, HOUR, "wait after an entry fill (MES-RISK-20, check 10)"),
    _row("cooldown_exit_ns", TIME, 0, HOUR, "wait after an exit fill (MES-RISK-20, check 10)"),
    _row("ack_timeout_ns", TIME, 1_000_000, HOUR, "an order without an answer for so long is asked for (W-01)"),
    _row("naked_ns_max", TIME, 1_000_000, HOUR, "a position without a working stop for so long is closed (N1, W-03)"),
    _row("rules", CHOICE, 0, 1, "whose rulebook holds: holds, gate order, sizes"),
    _row("sizing", CHOICE, 0, 2, "fixed = qty_entry, tiers = MES-SIZE, caps = MOEX-SIZE-01"),
    _row("half_keep_one", SWITCH, 0, 1, "half a contract is kept as one; false: the entry is refused (MES-SIZE-02)"),
    _row("tier_ppm_max", SHARE, 0, PPM, "lowers the tier's share of the balance; 0 % = the tier's own (MES-SIZE-01)"),
    _row(
        "stop_method",
        CHOICE,
        0,
        3,
        "the stop's distance: fixed, atr or structure (MES-STOP-01), shares (MOEX-STOP-01)",
    ),
    _row("stop_atr_ppm", RATIO, 1, 100 * PPM, "stop of method atr, in ATR (MES-STOP-01)"),
    _row("stop_reduced_ppm", SHARE, 1, PPM, "what phase REDUCED leaves of a stop's distance (MES-STOP-02)"),
    _row(
        "target_ratio_ppm", RATIO, 0, 100 * PPM, "target in stops when target_ticks is 0; 0 = no target (MES-STOP-03)"
    ),
    _row("bracket_anchor", CHOICE, 0, 1, "what the bracket is measured from: fill or signal (MES-STOP-04)"),
    _row("trail_ticks", TICKS, 0, 100_000, "profit from which the stop trails a bar's close; 0 = off (MES-STOP-05)"),
    _row("exit_confidence_ppm_min", SHARE, 0, PPM, "an opposite score this sure closes the position (MES-REV-01)"),
    _row("reverse_confidence_ppm_min", SHARE, 0, PPM, "one surer than this reverses it; 0 % = never (MES-REV-01)"),
    _row("reverse_wait_ns", TIME, 0, HOUR, "wait after a reversal's exit before the next (MES-REV-03)"),
    _row("reversals_max", COUNT, 0, 100, "reversals in one chain (MES-REV-03)"),
    _row("balance_micros_min", MONEY, 0, MONEY_MAX, "least risk balance that trades (MES-HOLD-MIN_BALANCE)"),
    _row(
        "drawdown_day_micros_max", MONEY, MICROS, MONEY_MAX, "fall from today's equity peak (MES-HOLD-DAILY_DRAWDOWN)"
    ),
    _row("drawdown_micros_max", MONEY, MICROS, MONEY_MAX, "fall from the peak balance (MES-HOLD-ACCOUNT_DRAWDOWN)"),
    _row(
        "day_loss_open", SWITCH, 0, 1, "the daily loss counts open profit and loss (MOEX-RISK-05; MES-RISK-05: false)"
    ),
    _row("streak_soft", COUNT, 0, 1_000, "losing trades in a row that pause; 0 = never (LOSS_STREAK)"),
    _row("streak_soft_pause_ns", TIME, 0, 24 * HOUR, "for so long"),
    _row("streak_hard", COUNT, 0, 1_000, "losing trades in a row that pause longer; 0 = never"),
    _row("streak_hard_pause_ns", TIME, 0, 24 * HOUR, "for so long"),
    _row("streak_restarts", SWITCH, 0, 1, "the streak starts anew once it has paused (MOEX-RISK-06)"),
    _row("spread_hold_ns", TIME, 0, HOUR, "entries wait so long after a wide spread; 0 = no hold (MES-HOLD-SPREAD)"),
    _row("presence_ns_max", TIME, 0, 24 * HOUR, "attended operation: longest time without activity; 0 = not demanded"),
    _row("errors_60s_max", COUNT, 0, 32, "errors in 60 s that stop the account; 0 = never (T-10)"),
    _row("gross_ppm_max", SHARE, 0, 100 * PPM, "gross exposure, share of the capital; 0 % = no limit (MOEX-RISK-04)"),
    _row("instrument_ppm_max", SHARE, 0, 100 * PPM, "exposure of one instrument; 0 % = no limit (MOEX-RISK-04)"),
    _row("loss_stop_ppm_max", SHARE, 0, PPM, "loss at the stop of one instrument (MOEX-RISK-04)"),
    _row("participation_ppm_max", SHARE, 0, PPM, "share of the opposite quantity shown (MOEX-SIZE-01, DEPTH)"),
    _row("bucket_capacity", COUNT, 0, 10_000, "entry slices at once; 0 = no bucket (MOEX-RISK-10)"),
    _row("bucket_refill_ns", TIME, 0, HOUR, "one slice comes back in this time (MOEX-RISK-10)"),
    _row("spread_ppm_max", SHARE, 0, PPM, "widest spread as a share of the price; 0 % = ticks alone (MOEX-RISK-08)"),
    _row("allow_short", SWITCH, 0, 1, "short entries are permitted (MOEX-RISK-08, rule 10)"),
    _row(
        "loss_day_share_ppm_max",
        SHARE,
        0,
        PPM,
        "daily loss as a share of the capital; the smaller counts, 0 % = the amount",
    ),
    _row(
        "rvi_max", COUNT, 0, 100_000, "volatility index that closes all, in 0.01 points; 0 = not watched (MOEX-RISK-05)"
    ),
    _row("rvi_clear_max", COUNT, 0, 100_000, "highest index at which RVI_HIGH may be cleared"),
    _row("rvi_age_ns_max", TIME, 0, HOUR, "oldest value of the index (RVI_STALE)"),
    _row("probe_slow_ns", TIME, 0, HOUR, "round trip that is slow; 0 = not watched (NET_SLOW)"),
    _row("probe_good_ns", TIME, 0, HOUR, "round trip that is good again"),
    _row("probe_lost_ns", TIME, 0, HOUR, "round trip that counts as lost (NET_FAILOVER)"),
    _row("hedge_every_ns", TIME, 0, 24 * HOUR, "period of the hedging task; 0 = no hedging (MOEX-HEDGE-01)"),
    _row(
        "hedge_min_net_ppm",
        SHARE,
        0,
        100 * PPM,
        "net exposure above it is hedged, share of the capital (MOEX-HEDGE-01)",
    ),
    _row("hedge_max_cost_ppm", SHARE, 0, PPM, "dearest round trip of a hedge, share of its price (MOEX-HEDGE-03)"),
    _row("hedge_beta_ppm", RATIO, 0, 10 * PPM, "how much of the net exposure is hedged; 1 = all of it (MOEX-HEDGE-02)"),
    _row(
        "loss_day_soft_ppm_max",
        SHARE,
        0,
        PPM,
        "share of the daily loss limit from which nothing is entered; 0 % = the limit alone (P-15)",
    ),
    _row("entries_max", COUNT, 0, ENTRIES_KEPT, "entries within entries_window, then a person decides; 0 = off (P-18)"),
    _row("entries_window_ns", TIME, 0, 24 * HOUR, "window of entries_max (P-18)"),
    _row("trades_day_max", COUNT, 0, 10_000, "round trips of a trading day; 0 = no limit (P-26)"),
    _row(
        "depth_ppm_max", SHARE, 0, 100 * PPM, "largest order as a share of the quantity at the touch; 0 % = off (P-24)"
    ),
    _row(
        "atr_ppm_min",
        RATIO,
        0,
        1_000 * PPM,
        "least ATR of 14 rows that is entered, ticks; 0 = any (MES-RISK-20, row 8)",
    ),
    _row("atr_ppm_max", RATIO, 0, 1_000 * PPM, "largest such ATR, ticks; 0 = any (MES-RISK-20, row 8)"),
    _row("costs_ppm", SHARE, 0, PPM // 10, "commission of a side that a size of shares reckons with (MOEX-SIZE-01)"),
    _row("spread_floor_ppm", SHARE, 0, PPM // 2, "least spread that a stop assumes, share of the price (MOEX-STOP-01)"),
    _row("net_widen_ppm", SHARE, 0, 10 * PPM, "how much wider than ours the venue's stop is (MOEX-STOP-06)"),
    _row("trail_anchor", CHOICE, 0, 1, "what a stop of shares trails: its entry, or the best mid since (MOEX-STOP-03)"),
    _row("take_profit_ppm", SHARE, 0, PPM, "gain on the average fill that closes shares; 0 % = off (MOEX-STOP-05)"),
)
assert tuple(row.name for row in FIELDS) == LIMIT_FIELDS, "FIELDS follows LIMIT_FIELDS, name by name"
BY_KEY = {row.key: row for row in FIELDS}
assert len(BY_KEY) == len(FIELDS)


def _fault(text: str) -> PydanticCustomError:
    return PydanticCustomError("desk", "{text}", {"text": text})


def _exact(value: object, amount: Decimal, scale: int, unit: str) -> int:
    scaled = amount * scale
    if scaled != scaled.to_integral_value():
        raise _fault(f"{value!r} is finer than the desk counts; the smallest {unit}")
    return int(scaled)


def parse(row: Limit, value: object, currency: str) -> int:
    """A profile's value → LIMITS' integer.  Raises PydanticCustomError with one sentence."""
    if row.kind == SWITCH:
        if not isinstance(value, bool):
            raise _fault(f"{value!r} is not {EXAMPLES[SWITCH]}")
        return int(value)
    if row.kind == CHOICE:
        names = CHOICES[row.name]
        if value not in names:
            raise _fault(f"{value!r} is unknown; known: {', '.join(names)}")
        return names.index(str(value))
    plain = isinstance(value, str | int | float) if row.kind == RATIO else isinstance(value, str | int)
    match = _AMOUNT.match(str(value)) if plain and not isinstance(value, bool) else None
    if match is None:
        raise _fault(f"{value!r} is not an amount with its unit, like {EXAMPLES[row.kind]}")
    amount, unit = Decimal(match.group(1).replace(" ", "").replace("_", "")), match.group(2)
    if row.kind == MONEY:
        if unit != currency:
            named = f"{unit} is not" if unit else "a bare number is not"
            raise _fault(f"{value!r}: {named} the profile's currency; write it as {amount} {currency}")
        return _exact(value, amount, MICROS, "amount is a millionth")
    if row.kind in (TIME, SHARE):
        units = TIME_UNITS if row.kind == TIME else SHARE_UNITS
        if unit not in units:
            what = "time" if row.kind == TIME else "share"
            raise _fault(
                f"{value!r} is not a {what}: give it with a unit ({', '.join(units)}), like {EXAMPLES[row.kind]}"
            )
        return _exact(value, amount, units[unit], "time is 1 ns" if row.kind == TIME else "share is 1 ppm")
    if row.kind == RATIO:
        if unit:
            raise _fault(f"{value!r} is not a plain ratio, like {EXAMPLES[RATIO]}")
        return _exact(value, amount, PPM, "ratio is a millionth")
    allowed = ("", "tick", "ticks") if row.kind == TICKS else ("",)
    if unit not in allowed:
        raise _fault(
            f"{value!r} is not a whole number{' of ticks' if row.kind == TICKS else ''}, like {EXAMPLES[row.kind]}"
        )
    return _exact(value, amount, 1, "step is 1")


def text(row: Limit, value: int, currency: str) -> str | int | bool:
    """LIMITS' integer → the profile's value, in the largest unit that is exact."""
    if row.kind == SWITCH:
        return bool(value)
    if row.kind == CHOICE:
        return CHOICES[row.name][value] if 0 <= value < len(CHOICES[row.name]) else str(value)
    if row.kind == RATIO:
        return _plain(Decimal(value) / PPM)
    if row.kind == MONEY:
        return f"{_plain(Decimal(value) / MICROS)} {currency}"
    if row.kind == TIME:
        unit = next((u for u in reversed(TIME_UNITS) if value % TIME_UNITS[u] == 0), "ns") if value else "s"
        return f"{value // TIME_UNITS[unit]} {unit}"
    if row.kind == SHARE:
        return f"{_plain(Decimal(value) / SHARE_UNITS['%'])} %"
    return value


def _plain(amount: Decimal) -> str:
    whole = amount.normalize()
    return f"{whole:f}"


def _check(row: Limit) -> Any:
    def check(value: object, info: Any) -> int:
        currency = str((info.context or {}).get("currency", ""))
        number = parse(row, value, currency)
        if not row.low <= number <= row.high:
            low, high = text(row, row.low, currency), text(row, row.high, currency)
            raise _fault(f"{value!r} is outside {low} … {high}")
        return number

    return check


def _write(row: Limit) -> Any:
    def write(value: int, info: Any) -> str | int | bool:
        return text(row, value, str((info.context or {}).get("currency", "")))

    return write


class RiskBase(BaseModel):
    """Shared behaviour: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def limits(self) -> dict[str, int]:
        """Every field of LIMITS: names = LIMIT_FIELDS, int64 in ns, micros, ppm, ticks."""
        return {row.name: int(getattr(self, row.key)) for row in FIELDS}


RiskSection: type[RiskBase] = create_model(
    "RiskSection",
    __base__=RiskBase,
    __doc__="The risk section: one field per row of FIELDS, held as LIMITS' integer.",
    **{
        row.key: (
            Annotated[int, BeforeValidator(_check(row)), PlainSerializer(_write(row))],
            Field(description=row.help),
        )
        for row in FIELDS
    },
)  # type: ignore[call-overload]
