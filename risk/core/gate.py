"""The gate: every entry passes here, whoever asks.  The answer starts refused and has to be earned.

RULES is the whole gate, one row a rule; the function stands in `risk.core.rules`.  A rulebook asks the rules that its
document numbers in that order, then the others by the number of their control (MES-RISK-20, MOEX-RISK-08, then P-…);
the first refusing rule gives the reason.  Exits, cancels and flatten never come here.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit

from marketdata.core.compiled import compact, inner
from marketdata.core.units import NANOS
from risk.core import codes as c
from risk.core import rules as r
from risk.core.asking import ASK_FIELDS, first_bad
from risk.core.codes import APPROVED, FIELD_BASE, HOLD_BASE, REFUSED
from risk.core.holds import BIT, HOLDS
from risk.core.records import MES, MOEX, RULEBOOKS, UNSET


class Rule(NamedTuple):
    """One rule.  `codes`: the reasons it can give.  `mes`, `moex`: its row in that document's gate table, 0 = none.

    `hedges`: a hedge must pass it, too (MOEX-HEDGE-05).  `override`: two persons may let it pass once (P-27).
    """

    function: Callable[..., int]
    codes: tuple[int, ...]
    control: str
    text: str
    mes: int = 0
    moex: int = 0
    hedges: bool = False
    override: bool = False


_PHASE = (HOLD_BASE + BIT["AFTER_HOURS"], HOLD_BASE + BIT["EOD"])
_MODEL = (HOLD_BASE + BIT["MODEL_BLOCKED"], HOLD_BASE + BIT["FEATURES_COLD"])
_HELD = tuple(sorted({HOLD_BASE + hold.bit for rows in HOLDS.values() for hold in rows}))
_FIELDS = tuple(FIELD_BASE + i for i in range(len(ASK_FIELDS)))
_SIZES = (c.BALANCE_TIER, c.RISK_TIER, c.SIZE_HALF_SKIPPED, c.VENUE_LIMIT, c.SIZE_ZERO, c.RISK_PER_TRADE, c.RISK_DAILY)
_CAPS = (c.CAP_INSTRUMENT, c.CAP_STOP, c.CAP_EXPOSURE, c.CAP_POSITION, c.CAP_DEPTH, c.CAP_BROKER)

# `override` (P-27) marks the rules that two persons may let pass, once, within a minute: those alone that say "not in
# this market, not so soon, not so often" of an entry that every other rule would send.  None else is marked, and why:
# - authority, kill, phases, holds, freshness, reconciliation, the network, what may be traded (P-01 … P-05, P-23,
#   P-25): a person, the venue or the desk's own state said no, and each has its own way back;
# - limits and fields (P-06, P-07): what is not known is refused;
# - size, value, price, position, margin, loss, exposure, short sales (P-08 … P-15, the documents' money): a larger
#   limit is a version with an author, and a price that has run away is no price;
# - duplicates, messages, repeats, open orders (P-16 … P-18, P-20): they stop a desk that has gone wrong;
# - self-matches (P-19) are forbidden; stop and origin (P-21, P-22) must be there;
# - a score without a side or not sure enough: there is no trade to let pass.
RULES = (
    Rule(r.trading, (c.NOT_TRADING,), "P-01 P-02", "session started", mes=1, moex=2, hedges=True),
    Rule(r.latched, (c.LATCHED,), "K-05", "the kill latch is open", mes=1, moex=2, hedges=True),
    Rule(
        r.limits_exist,
        (c.LIMITS_UNKNOWN,),
        "P-07",
        "every limit is set by an active version",
        mes=2,
        moex=1,
        hedges=True,
    ),
    Rule(r.fields_valid, _FIELDS, "P-06", "every input is known and representable", mes=2, moex=1, hedges=True),
    Rule(r.open_risk_known, (c.LIMITS_UNKNOWN,), "P-14 MES-RISK-06", "open risk is known", mes=2),
    Rule(r.active, (HOLD_BASE + BIT["NOT_ACTIVE"],), "P-25 MOEX-DATA-05", "the instrument is an active one", moex=4),
    Rule(r.tradable, (c.NOT_TRADING,), "P-25", "the instrument may be traded", mes=1, moex=4, hedges=True),
    Rule(r.reconciled, (c.NOT_RECONCILED,), "P-05", "desk and broker agree, no unknown outcome", mes=3, hedges=True),
    Rule(r.held, _HELD, "P-02", "no hold with NO_ENTRY or FLATTEN stands or is due", mes=4, moex=3, hedges=True),
    Rule(r.fresh, (c.FEED_STALE,), "P-04", "feed and quote are fresh, the book is usable", mes=5, moex=5, hedges=True),
    Rule(r.score_fresh, (c.SCORE_STALE,), "P-04 P-23", "the score is fresh", mes=5, moex=5),
    Rule(r.phase_admits, _PHASE, "P-03 MES-EOD", "the phase admits entries", mes=6),
    Rule(r.model_ready, _MODEL, "P-23", "an approved network, a valid row of features", mes=7),
    Rule(r.signal, (c.NO_SIGNAL,), "MES-RISK-20", "the score asks for a side", mes=8, moex=8),
    Rule(r.filtered, (c.FILTERED,), "MES-RISK-20", "optional filters of the market's range", mes=8, override=True),
    Rule(r.confidence, (c.LOW_CONFIDENCE,), "MES-RISK-20", "confidence reaches its minimum", mes=9, moex=8),
    Rule(r.flat, (c.IN_POSITION, c.ENTRY_WORKING), "MES-RISK-20", "flat, no order works", mes=10, moex=9),
    Rule(r.cooled_down, (c.COOLDOWN,), "P-26", "cool-downs after entry and exit are over", mes=10, override=True),
    Rule(r.short_allowed, (c.SHORT_NOT_ALLOWED,), "MOEX-RISK-08", "short sales are permitted", moex=10),
    Rule(r.stop_planned, (c.BAD_STOP,), "P-21", "a stop on the right side, within its bounds", mes=11, moex=11),
    Rule(r.sized, _SIZES + _CAPS + (c.MARGIN,), "MES-SIZE MOEX-SIZE-01", "size is at least 1", mes=12, moex=12),
    Rule(r.status_open, (c.CLOSED,), "P-03 P-25", "the venue trades the instrument", moex=4, hedges=True),
    Rule(r.qty_limit, (c.QTY_LIMIT,), "P-08", "order quantity"),
    Rule(r.value_limit, (c.VALUE_LIMIT,), "P-09", "order value"),
    Rule(r.collar, (c.COLLAR,), "P-10", "price collar around mid or a recent trade", moex=14, hedges=True),
    Rule(r.moved, (c.PRICE_MOVE,), "P-11", "price has not run away in the window", hedges=True),
    Rule(r.gross_limit, (c.LIMIT_EXPOSURE, c.LIMIT_INSTRUMENT), "P-13 MOEX-RISK-04", "exposure", moex=13, hedges=True),
    Rule(r.position_limit, (c.POSITION_LIMIT,), "P-12", "position with working orders", moex=13),
    Rule(r.margin, (c.MARGIN,), "P-13", "margin of all positions and working orders", hedges=True),
    Rule(r.trade_risk, (c.RISK_PER_TRADE,), "P-14", "loss to the stop of this order"),
    Rule(r.day_risk, (c.RISK_DAILY,), "P-14 P-15", "loss budget of the day and in all"),
    Rule(r.not_duplicate, (c.DUPLICATE,), "P-16", "not the same order again"),
    Rule(r.message_rate, (c.MESSAGE_RATE,), "P-17", "message budget, reserve untouched", moex=16, hedges=True),
    Rule(r.bucket, (c.RATE,), "P-17 MOEX-RISK-10", "the bucket of entry slices", moex=15, hedges=True),
    Rule(r.repeated, (c.REPEATED,), "P-18", "not too many entries in a window"),
    Rule(r.crosses_nothing, (c.SELF_MATCH,), "P-19", "not against an own working order", hedges=True),
    Rule(r.open_orders, (c.OPEN_ORDERS,), "P-20", "open orders", hedges=True),
    Rule(r.spread, (c.SPREAD,), "P-24", "spread", moex=7, hedges=True, override=True),
    Rule(r.depth, (c.DEPTH,), "P-24", "a share of the quantity that the book shows", override=True),
    Rule(r.trades_left, (c.TRADES_DAY,), "P-26", "trades of the day", override=True),
    Rule(
        r.hedge_fits, (c.FEED_STALE, c.HEDGE_COST), "MOEX-HEDGE-03", "a hedge is tight and cheap", moex=7, hedges=True
    ),
)

# reason → its rule, of the rules that two persons may let pass (P-27); each of these reasons is one rule's alone
OVERRIDABLE = {code: rule for rule in RULES if rule.override for code in rule.codes}
_MAY_PASS = np.array([rule.override for rule in RULES])
_MAY_OVERRIDE = np.array([code in OVERRIDABLE for code in range(HOLD_BASE)])
OVERRIDE_NS_MAX = 60 * NANOS  # how long it may be open

_OWN = {number: name for name, number in vars(c).items() if isinstance(number, int) and number < HOLD_BASE}


def order_of(rules: int) -> tuple[Rule, ...]:
    """The rules as this rulebook asks them: by its document's rows, then the rest by their controls' numbers.

    Of one row or one control, as they stand in RULES.
    """
    column = RULEBOOKS[rules]

    def place(rule: Rule) -> tuple[int, int]:
        row = getattr(rule, column)
        controls = [int(word[2:]) for word in rule.control.split() if word.startswith("P-")]
        return (row, 0) if row else (len(RULES), min(controls, default=0))

    return tuple(sorted(RULES, key=place))


def code_names(rules: int) -> dict[int, str]:
    """Reason → name, every reason that a decision can carry under this rulebook: the gate's, and the policy's own."""
    names = {APPROVED: "APPROVED", REFUSED: "REFUSED", c.REVERSAL_LIMIT: "REVERSAL_LIMIT"}  # the last: MES-REV-03
    holds = {hold.bit: hold.code for hold in HOLDS[rules]}
    held = set(_HELD) - {*_PHASE, *_MODEL}  # a rule of its own gives these last ones, hold or not
    for code in (code for rule in RULES for code in rule.codes):
        if code >= FIELD_BASE:
            names[code] = f"INPUT_INVALID:{ASK_FIELDS[code - FIELD_BASE]}"
        elif code < HOLD_BASE:
            names[code] = _OWN[code]
        elif code - HOLD_BASE in holds:
            names[code] = holds[code - HOLD_BASE]
        elif code not in held:
            names[code] = next(name for name, bit in BIT.items() if bit == code - HOLD_BASE)
    return names


CODE_NAMES = {rules: code_names(rules) for rules in (MES, MOEX)}


def code_name(rules: int, code: int) -> str:
    """A reason as its session's rulebook calls it; a number that the rulebook does not have stays a number."""
    return CODE_NAMES[rules].get(code, str(code))


@njit(cache=True)
def all_known(values: np.ndarray) -> bool:
    """True when no limit of the vector is UNSET (P-07)."""
    unset = False
    for value in values:  # a comparison of the whole would be a new array, an early end one value at a time
        unset |= value == UNSET
    return not unset


def _dispatch(functions: tuple[Callable[..., int], ...], first: int = 0) -> Callable[..., int]:
    """One compiled function `ask(number, x, limits)` that asks the rule of that number, counted from `first` on."""
    if len(functions) == 1:
        (function,) = functions

        @compact
        def ask_one(number, x, limits):
            return function(x, limits)

        return ask_one
    half = len(functions) // 2
    middle = first + half
    lower, upper = _dispatch(functions[:half], first), _dispatch(functions[half:], middle)

    @compact
    def ask(number, x, limits):
        if number < middle:
            return lower(number, x, limits)
        return upper(number, x, limits)

    return ask


_ask = _dispatch(tuple(rule.function for rule in RULES))
_BOTH = [[RULES.index(rule) for rule in order_of(rules)] for rules in (MES, MOEX)]
_OF_HEDGES = [number for number in _BOTH[MOEX] if RULES[number].hedges]
HEDGES = len(_BOTH)  # the row of ORDER behind the rulebooks: what a hedge of shares is asked (MOEX-HEDGE-05), then −1
ORDER = np.array([*_BOTH, _OF_HEDGES + [-1] * (len(RULES) - len(_OF_HEDGES))], np.int64)


@njit(cache=True)
def ask_alone(number: int, x: np.record, values: np.ndarray, limits: np.record) -> int:
    """What the rule RULES[number] says by itself, whatever stands before it: to explain a decision, never to make one.

    Arguments as of `approve`.  Only for a form whose fields, as far as the rule reads them, are within their bounds.
    """
    x.bad_field = first_bad(values)
    return _ask(number, x, limits)


@inner
def may_override(reason: int) -> bool:
    """Whether a reason, any number, is one that two persons may let pass (P-27)."""
    return 0 < reason < HOLD_BASE and _MAY_OVERRIDE[reason]


@njit(cache=True)
def approve(x: np.record, values: np.ndarray, limits: np.record) -> int:
    """APPROVED, or the reason of the first refusing rule.  `x`: one ASK record and `values` its memory as int64,
    `limits`: one LIMITS record.

    Without a configuration MES's order tells what is missing; a rulebook that does not exist is refused.  The first
    refusal is let pass where it is the reason `x.override` of a rule that may be overridden; `x.passed` then names it,
    and the rules behind it are asked like ever (P-27).
    """
    x.passed = APPROVED
    rules = MES if limits.rules == UNSET else limits.rules
    if rules != MES and rules != MOEX:
        return REFUSED
    x.bad_field = first_bad(values)
    row = HEDGES if x.hedging == 1 and rules == MOEX else rules
    code = REFUSED
    for at in range(ORDER.shape[1]):
        if ORDER[row, at] < 0:
            break
        code = _ask(ORDER[row, at], x, limits)
        if code != APPROVED:
            if code != x.override or x.passed != APPROVED or not _MAY_PASS[ORDER[row, at]]:
                return code
            x.passed = code
            code = APPROVED
    return code
