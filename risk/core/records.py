"""The limits of a session and the specification of an instrument: int64 records, set field by field.

LIMITS is one record of int64 per session; a CONFIG event sets one field by its index, so the order of the fields is
part of the journal's format: append, never reorder.  A limit that nobody has set is UNSET, and the gate refuses (P-07).
What an entry asks of the gate stands in `risk.core.asking`.
"""

import numpy as np
from numba import njit

UNSET = np.iinfo(np.int64).min  # a limit or input that nobody has provided
UNKNOWN = UNSET  # the same sentinel, read as "not known" for inputs

# whose rules hold: the field `rules` of LIMITS, and the first index of every table that differs by venue
MES, MOEX = 0, 1
RULEBOOKS = ("mes", "moex")

ENTRIES_KEPT = 32  # the most entries that P-18 can count

# values of the fields that choose a method
SIZE_FIXED, SIZE_TIERS, SIZE_CAPS = 0, 1, 2  # qty_entry, MES-SIZE, MOEX-SIZE-01
STOP_FIXED, STOP_ATR, STOP_STRUCTURE, STOP_SHARES = 0, 1, 2, 3  # MES-STOP-01, the last MOEX-STOP-01
ANCHOR_FILL, ANCHOR_SIGNAL = 0, 1  # MES-STOP-04

LIMIT_FIELDS = (
    # what the session is
    "capital_micros",  # starting risk balance
    "bar_mode",  # 1: bars without quotes; the grid clock is the feed (MES-BT-04), spread counts as 1 tick
    # freshness and reconciliation (P-04, P-05)
    "quote_age_ns_max",
    "score_age_ns_max",
    "last_age_ns_max",
    "recon_age_ns_max",
    # one order (P-08 .. P-10, P-21, P-24)
    "qty_max",
    "value_micros_max",
    "collar_ppm_max",
    "collar_ticks_max",
    "spread_ticks_max",
    "stop_ticks_min",
    "stop_ticks_max",
    # price over time (P-11)
    "move_ticks_max",
    "move_window_ns",
    "move_hold_ns",
    # position and loss (P-12 .. P-15)
    "position_max",
    "margin_micros_max",
    "loss_trade_micros_max",
    "loss_day_micros_max",
    "loss_total_micros_max",
    "slip_ticks_assumed",
    # duplicates and messages (P-16, P-17, P-20)
    "duplicate_ns",
    "messages_1s_max",
    "messages_60s_max",
    "messages_reserved",
    "orders_open_max",
    # the strategy's own numbers
    "score_ppm_min",
    "confidence_ppm_min",
    "qty_entry",
    "stop_ticks",
    "target_ticks",
    "hold_ns_max",
    "entry_ttl_ns",
    "cooldown_entry_ns",
    "cooldown_exit_ns",
    # working orders (W-01)
    "ack_timeout_ns",
    "naked_ns_max",
    # the rulebook and its methods
    "rules",
    "sizing",
    "half_keep_one",  # 1: half a contract is kept as one, 0: refused (MES-SIZE-02, step 4)
    "tier_ppm_max",  # lowers the tier's share of the balance, 0 = the tier's own (MES-SIZE-01)
    "stop_method",
    "stop_atr_ppm",  # stop = this x ATR
    "stop_reduced_ppm",  # stop in phase REDUCED (MES-STOP-02)
    "target_ratio_ppm",  # target = this x stop when target_ticks is 0; 0 = no target (MES-STOP-03)
    "bracket_anchor",
    "trail_ticks",  # 0 = no trailing (MES-STOP-05)
    # reversals (MES-REV)
    "exit_confidence_ppm_min",
    "reverse_confidence_ppm_min",  # 0 = never reverse
    "reverse_wait_ns",
    "reversals_max",
    # limits on the account (MES-HOLD, MOEX-RISK-05)
    "balance_micros_min",
    "drawdown_day_micros_max",  # from today's equity peak
    "drawdown_micros_max",  # of the balance from its peak
    "day_loss_open",  # 1: DAILY_LOSS counts open profit and loss (MOEX-RISK-05), 0: booked only (MES-RISK-05)
    "streak_soft",
    "streak_soft_pause_ns",
    "streak_hard",
    "streak_hard_pause_ns",
    "streak_restarts",  # 1: the streak starts anew once it has raised its hold (MOEX-RISK-06)
    "spread_hold_ns",
    "presence_ns_max",  # 0 = attended operation is not demanded
    "errors_60s_max",
    # exposure (MOEX-RISK-04)
    "gross_ppm_max",  # of the capital, all instruments
    "instrument_ppm_max",  # of the capital, one instrument
    "loss_stop_ppm_max",  # of the capital, loss at stop of one instrument
    "participation_ppm_max",  # of the opposite quantity that the book shows
    "bucket_capacity",  # entry slices at once; 0 = no bucket (MOEX-RISK-10)
    "bucket_refill_ns",
    "spread_ppm_max",  # of the price; 0 = ticks alone count (MOEX-RISK-08, rule 7)
    "allow_short",
    "loss_day_share_ppm_max",  # of the capital; 0 = loss_day alone (MOEX-RISK-04: the smaller)
    "rvi_max",  # volatility index in hundredths of a point; 0 = not watched (MOEX-RISK-05)
    "rvi_clear_max",
    "rvi_age_ns_max",
    "probe_slow_ns",  # round trip that is slow; 0 = not watched
    "probe_good_ns",
    "probe_lost_ns",
    # hedging of net exposure (MOEX-HEDGE)
    "hedge_every_ns",  # period of the task; 0 = off
    "hedge_min_net_ppm",  # of the capital: net exposure above it is hedged
    "hedge_max_cost_ppm",  # of the price: spread and both commissions of a hedge
    "hedge_beta_ppm",  # of the net exposure that is hedged, 1 = all of it
    # controls that neither document has a number for; 0 = off
    "loss_day_soft_ppm_max",  # share of the daily limit from which nothing is entered (P-15)
    "entries_max",  # entries within entries_window_ns (P-18)
    "entries_window_ns",
    "trades_day_max",  # P-26
    "depth_ppm_max",  # of the opposite quantity that the book shows (P-24)
    "atr_ppm_min",  # entry filters of MES-RISK-20, row 8, in ticks
    "atr_ppm_max",
    # the shares' own numbers
    "costs_ppm",  # of the price, a side: what a lot is assumed to cost (MOEX-SIZE-01)
    "spread_floor_ppm",  # of the price: the least spread that a stop assumes (MOEX-STOP-01)
    "net_widen_ppm",  # of its distance: how far the venue's stop stands behind ours (MOEX-STOP-06)
    "trail_anchor",  # MOEX-STOP-03
    "take_profit_ppm",  # of the average fill; 0 = off (MOEX-STOP-05)
)
LIMITS = np.dtype((np.record, [(name, "<i8") for name in LIMIT_FIELDS]))
LIMIT_INDEX = {name: i for i, name in enumerate(LIMIT_FIELDS)}

SPEC_FIELDS = (
    "tick_value_micros",
    "fee_micros",  # per contract and side
    "fee_ppm",  # of the value, per side
    "margin_micros",
    "tick_nanos",
    "lot",
    "tradable",  # 0: marks and features only
    "hedge",  # 1: an index future that hedges shares and is never entered by a score (MOEX-HEDGE-03)
)
SPEC = np.dtype((np.record, [(name, "<i8") for name in SPEC_FIELDS]))
SPEC_INDEX = {name: i for i, name in enumerate(SPEC_FIELDS)}


# How a limit loosens: the strategy's own numbers do neither and take effect with the version.  Bars without quotes
# (`bar_mode` 1) ask less: no spread, no age of a quote.  Within a longer `move_window_ns` the price has moved further.
_NEITHER = (
    "capital_micros qty_entry stop_ticks target_ticks hold_ns_max entry_ttl_ns rules sizing stop_method"
    " stop_atr_ppm stop_reduced_ppm target_ratio_ppm bracket_anchor trail_ticks exit_confidence_ppm_min"
    " reverse_confidence_ppm_min hedge_beta_ppm spread_floor_ppm net_widen_ppm trail_anchor take_profit_ppm"
).split()
_SMALLER_ADMITS = (
    "messages_reserved duplicate_ns slip_ticks_assumed cooldown_entry_ns cooldown_exit_ns move_window_ns move_hold_ns"
    " day_loss_open streak_soft_pause_ns streak_hard_pause_ns spread_hold_ns reverse_wait_ns bucket_refill_ns"
    " entries_window_ns costs_ppm"
).split()
_ZERO_IS_OFF = (
    "tier_ppm_max presence_ns_max errors_60s_max streak_soft streak_hard gross_ppm_max instrument_ppm_max"
    " bucket_capacity spread_ppm_max loss_day_share_ppm_max rvi_max probe_slow_ns hedge_every_ns"
    " loss_day_soft_ppm_max entries_max trades_day_max depth_ppm_max atr_ppm_max"
).split()
assert set(_NEITHER) | set(_SMALLER_ADMITS) | set(_ZERO_IS_OFF) <= set(LIMIT_FIELDS)


def _direction(name: str) -> int:
    if name in _NEITHER:
        return 0
    return -1 if name.endswith("_min") or name in _SMALLER_ADMITS else 1


# +1: a larger value admits more; -1: a larger value admits less; 0: neither, takes effect with the version
LIMIT_DIRECTION = np.array([_direction(name) for name in LIMIT_FIELDS], np.int64)
LIMIT_OFF = np.array([name in _ZERO_IS_OFF for name in LIMIT_FIELDS], np.bool_)
_NO_LIMIT = 2**61


@njit(cache=True)
def loosens(index: int, old: int, new: int) -> bool:
    """Whether a new value of this limit admits more than the old one.  A limit that 0 switches off has none then."""
    if LIMIT_OFF[index]:
        old = _NO_LIMIT if old == 0 else old
        new = _NO_LIMIT if new == 0 else new
    return (new - old) * LIMIT_DIRECTION[index] > 0
