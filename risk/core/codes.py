"""The reasons that the gate can give, as numbers.  Part of the journal's format: append, never renumber.

1 .. 99 are the rules' own reasons.  HOLD_BASE + bit is a refusal by that hold, FIELD_BASE + index one by that field of
the form: so every hold and every field has a reason of its own.  `risk.core.gate` names them all.
"""

APPROVED = 0
REFUSED = 1  # what an entry is before the gate was asked
NOT_TRADING, LATCHED, INPUT_INVALID, NO_LIMIT, NOT_RECONCILED, HOLD, FEED_STALE, SCORE_STALE, CLOSED = range(2, 11)
NO_SIGNAL, LOW_CONFIDENCE, IN_POSITION, ENTRY_WORKING, COOLDOWN, BAD_STOP = range(11, 17)
QTY_LIMIT, VALUE_LIMIT, SPREAD, COLLAR, PRICE_MOVE, POSITION_LIMIT, MARGIN = range(17, 24)
RISK_PER_TRADE, RISK_DAILY, DUPLICATE, MESSAGE_RATE, OPEN_ORDERS, LIMITS_UNKNOWN = range(24, 30)
# sizes that are zero (MES-SIZE-02, MOEX-SIZE-01)
BALANCE_TIER, RISK_TIER, SIZE_HALF_SKIPPED, VENUE_LIMIT, SIZE_ZERO = range(30, 35)
CAP_INSTRUMENT, CAP_STOP, CAP_EXPOSURE, CAP_POSITION, CAP_DEPTH, CAP_BROKER = range(35, 41)
# MOEX-RISK-08
LIMIT_EXPOSURE, LIMIT_INSTRUMENT, SHORT_NOT_ALLOWED, RATE, REVERSAL_LIMIT = range(41, 46)
HEDGE_COST = 46  # MOEX-HEDGE-03: a hedge would cost too much
FILTERED = 47  # MES-RISK-20, row 8: an optional entry filter
REPEATED, SELF_MATCH, DEPTH, TRADES_DAY = range(48, 52)  # P-18, P-19, P-24, P-26
HOLD_BASE, FIELD_BASE = 100, 200
RETIRED = (INPUT_INVALID, NO_LIMIT, HOLD)  # of journals before the rulebook: a field's or hold's own reason now
