"""Kinds of event on the trading floor, and the records in which the kernel's state rests.

Together with `marketdata.core.records` this is the vocabulary of inbox, outbox and journal.  Numbers are part of the
journal's format: append, never renumber.  State is a NamedTuple of record arrays: a snapshot is their bytes.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core import records as market
from marketdata.core.records import EVENT, NO_TICK, NO_TIME
from marketdata.core.sessions import WINDOW, WINDOW_CAPACITY
from risk.core.asking import ASK
from risk.core.breakers import GRID
from risk.core.holds import HOLD, HOLD_CAPACITY
from risk.core.records import ENTRIES_KEPT, LIMIT_FIELDS, LIMITS, SPEC, SPEC_FIELDS, UNSET

INSTRUMENT_CAPACITY = 32
ORDER_CAPACITY = 256  # orders that are not terminal, plus the latest terminal ones
MOVE_PARTS = 8  # of the P-11 window; one more is kept, so that it never spans less than the window
RANGES_KEPT = 5  # candles, or pairs of books, of an average true range (MOEX-FEAT-05)
OUT_CAPACITY, KEEP_ALL = 1024, -1  # outputs of one step; POSITION.keep_qty: nothing is to be taken off

# kinds 10..19: set-up of a session
WINDOW_SET = 10  # one session window: instrument, code = phase, value = start, until_ns = end, ref = trading day
CONFIG = 11  # one staged value: instrument (or ACCOUNT_SCOPE), code = field index, value
CONFIG_COMMIT = 12  # the staged values take effect; ref = version id, value = first 8 bytes of the version's hash
# kinds 20..39: inputs
SCORE = 20  # side, score_ppm, confidence_ppm, ts_venue_ns = time of the market data it was made from
TIMER = 21
COMMAND = 22  # code = command, ref = command id, value = argument, instrument where the command names one
ACK = 23
FILL = 24  # order_number, qty, price_tick, fee_micros, ref = venue event number
REJECT = 25
CANCELLED = 26
UNKNOWN_OUTCOME = 27  # the answer to a request is lost; never "failed"
RECON = 28  # broker truth, code = RECON_*
LINK = 29  # code = LINK_*, value = 1 up, 0 down
MODEL = 30  # code = MODEL_*: whether an approved, calibrated network answers
ERROR = 31  # a component failed; value = how often (T-10)
NEWS = 32  # a window of the operator's event list: value = start, until_ns = end
PROBE = 33  # round trip of the trading connection, value in ns; code = PROBE_LOST when no answer came
INDEX = 34  # volatility index, value in hundredths of a point (MOEX-RISK-05)
DRIFT = 35  # code = DRIFT_*: severity of the last drift report
JOB = 36  # code = 1 while a calibration runs, 0 when none does
PAST = 37  # what the account brings from its last session; code = PAST_* of `trading.core.past`
CONDITION = 38  # a loop says what it sees: code = bit of the hold, value = 1 stands, 0 gone, qty = what was measured
TRANSFER = 39  # money that the operator booked in or out: value in micros, signed (MES-RISK-01)
# kinds 40..59: outputs
SUBMIT = 40
CANCEL = 41
MODIFY = 42
DECISION = 43  # code = refusing rule or 0, ref = seq of the score; role = reason let pass, bid_qty = its command (P-27)
HOLD_RAISED = 44  # code = bit
HOLD_CLEARED = 45
ORDER_STATE = 46  # an order's status or request changed: code = status, value = request
TRADE_CLOSED = 47  # flat to flat: side, qty, price_tick = exit, value = net micros, fee_micros
RECEIPT = 48  # a command was accepted or refused: ref = command id, code = RECEIPT_*
CONFIG_ACTIVE = 49  # ref = version id
QUERY = 50  # ask the venue what became of order_number (W-01)
ROUTE_FAILOVER = 51  # ask for another route to the venue, once an episode: ref = its number (MOEX-RISK-07)
ADJUSTMENT = 52  # what the hedging task does, as `trading.core.hedge.task` writes it (MOEX-HEDGE-05)

_MARKET = "BAR QUOTE TRADE BOOK STATUS FEED METRIC"
_OWN = """WINDOW_SET CONFIG CONFIG_COMMIT SCORE TIMER COMMAND ACK FILL REJECT CANCELLED UNKNOWN_OUTCOME RECON LINK MODEL
ERROR NEWS PROBE INDEX DRIFT JOB PAST CONDITION TRANSFER SUBMIT CANCEL MODIFY DECISION HOLD_RAISED HOLD_CLEARED
ORDER_STATE TRADE_CLOSED RECEIPT CONFIG_ACTIVE QUERY ROUTE_FAILOVER ADJUSTMENT"""
KIND_NAMES: dict[int, str] = {getattr(market, name): name for name in _MARKET.split()}
KIND_NAMES |= {globals()[name]: name for name in _OWN.split()}
FIRST_OUTPUT_KIND = 40
SENT_KINDS = (SUBMIT, CANCEL, MODIFY, QUERY, ROUTE_FAILOVER)  # served by execution; durable before they are sent

# EVENT.order_type
MARKET, LIMIT, STOP, FILL_AND_KILL, BEST_PRICE, PASSIVE = range(1, 7)  # the last three: shares (MOEX-ROUTE-03, -04)
ORDER_TYPES = {MARKET: "market", LIMIT: "limit", STOP: "stop"}
ORDER_TYPES |= {FILL_AND_KILL: "fill and kill", BEST_PRICE: "best price", PASSIVE: "passive"}
FLAG_DECIDED = 16  # EVENT.flags of SUBMIT: the exit that a score asked for, and its reversal (MES-COST-06)
# EVENT.role
ENTRY, STOP_LOSS, TARGET, EXIT, HEDGE = range(1, 6)  # the last: of TRADE_CLOSED alone, a round trip of the hedge
ROLES = {ENTRY: "entry", STOP_LOSS: "stop", TARGET: "target", EXIT: "exit"}

# EVENT.code of COMMAND
START, PAUSE, RESUME, CANCEL_ALL, FLATTEN_ALL, STOP_SESSION, KILL, RESET_HALT, LOCK, PRESENCE = range(1, 11)
MOVE_STOP, MOVE_TARGET, OVERRIDE = 11, 12, 13  # value = the new tick; the reason let pass, until_ns = its end (P-27)
_NAMES = "start pause resume cancel_all flatten stop kill reset_halt lock presence move_stop move_target override"
COMMANDS = dict(enumerate(_NAMES.split(), START))
RECEIPT_DONE, RECEIPT_REFUSED = 1, 2  # EVENT.code of RECEIPT
RECON_BEGIN, RECON_POSITION, RECON_ORDER, RECON_END = 1, 2, 3, 4  # EVENT.code of RECON
LINK_EXECUTION, LINK_DATABASE, LINK_STREAM, LINK_LATCH, LINK_CONTRACT = 1, 2, 3, 4, 5  # EVENT.code of LINK
# EVENT.code of MODEL, PROBE and DRIFT
MODEL_READY, MODEL_BLOCKED = 1, 2
# EVENT.ref of MODEL_READY: why it was loaded (MOEX-ML-10); the first three end no hold of the document's
CAUSE_START, CAUSE_RESTORE, CAUSE_ROLLBACK, CAUSE_CALIBRATE, CAUSE_TRAIN, CAUSE_OPERATOR = range(6)
PROBE_LOST, DRIFT_NONE, DRIFT_WARN, DRIFT_CRITICAL = 1, 0, 1, 2
# EVENT.code of REJECT: why the venue or our own edge refused
REJECTED_BY_VENUE, REJECTED_EXPIRED, REJECTED_LATCHED, REJECTED_UNKNOWN_ORDER, REJECTED_RATE = 1, 2, 3, 4, 5
REJECTED_LIMIT_ONLY, REJECTED_BEST_ONLY = 6, 7  # the venue takes this type alone now (30068, 30103)
CANCELLED_ON_REQUEST, CANCELLED_BY_VENUE, CANCELLED_EXPIRED, CANCELLED_UNSENT = 1, 2, 3, 4  # EVENT.code of CANCELLED
# EVENT.code of SCORE: the regime of volatility that its source sees (MOEX-SIZE-01); 0: it names none
REGIME_LOW, REGIME_NORMAL, REGIME_HIGH = 1, 2, 3

ORDER = np.dtype(
    (
        np.record,
        [
            ("number", "<i8"),  # 0 = free slot
            ("instrument", "<i2"),
            ("side", "<i2"),
            ("order_type", "<i2"),
            ("role", "<i2"),
            ("status", "<i2"),  # what the venue last said
            ("request", "<i2"),  # what is in flight
            ("reason", "<i2"),  # why an exit was sent
            ("tries", "<i2"),
            ("qty", "<i8"),
            ("filled", "<i8"),
            ("price_tick", "<i8"),
            ("stop_tick", "<i8"),
            ("asked_qty", "<i8"),  # quantity and price of the modification in flight
            ("asked_tick", "<i8"),
            ("sent_ns", "<i8"),
            ("until_ns", "<i8"),
            ("version", "<i8"),  # configuration version under which it was made
            ("seen", "<i8"),  # named by the broker in the reconciliation in progress
            ("modify_retry_ns", "<i8"),  # not before this time is a refused modification asked for again
            ("cancel_retry_ns", "<i8"),  # the same of a refused cancel
            ("made_ns", "<i8"),  # when it was submitted; `sent_ns` is the time of the last message about it
            ("ending", "<i8"),  # messages that asked for its end, or after it, without a proof (W-08)
        ],
    )
)

POSITION = np.dtype(
    (
        np.record,
        [
            ("qty", "<i8"),  # signed
            ("cost_ticks", "<i8"),  # Σ price x signed quantity of what is held
            ("opened_ns", "<i8"),
            ("entry_fill_ns", "<i8"),
            ("exit_fill_ns", "<i8"),
            ("naked_since_ns", "<i8"),  # NO_TIME while covered or flat
            ("stop_ticks", "<i8"),  # distances of the bracket from the average entry
            ("target_ticks", "<i8"),
            ("stop_tick", "<i8"),  # where the stop belongs
            ("target_tick", "<i8"),
            ("closing", "<i8"),  # 1: only exits until flat
            ("close_reason", "<i8"),
            ("trade_gross_micros", "<i8"),  # of the round trip in progress
            ("trade_fee_micros", "<i8"),
            ("trade_qty", "<i8"),  # largest quantity held
            ("trade_side", "<i8"),
            ("trade_entry_ticks", "<i8"),  # Σ price x quantity of the entries, for the average entry
            ("trade_entry_qty", "<i8"),
            ("bid_tick", "<i8"),
            ("ask_tick", "<i8"),
            ("bid_qty", "<i8"),
            ("ask_qty", "<i8"),
            ("quote_ts_ns", "<i8"),
            ("book_ok", "<i8"),
            ("last_tick", "<i8"),
            ("last_ts_ns", "<i8"),
            ("mark_tick", "<i8"),
            ("mark_half", "<i8"),  # 1: the mark is a mid half a tick above mark_tick
            ("move_tick", "<i8"),  # last mark that the P-11 window has seen; NO_TICK before the first
            ("move_ts_ns", "<i8"),  # start of the window's newest part
            ("move_low_tick", "<i8"),  # lowest and highest mark of the window
            ("move_high_tick", "<i8"),
            ("part_low_tick", "<i8", (MOVE_PARTS + 1,)),  # the same of its parts, newest first
            ("part_high_tick", "<i8", (MOVE_PARTS + 1,)),
            ("status", "<i8"),
            ("broker_qty", "<i8"),  # position by the broker, while reconciling
            ("told_ticks", "<i8"),  # its money, NO_TICK = not told: −Σ side x quantity x price in ticks, and all fees
            ("told_micros", "<i8"),
            ("cash_ticks", "<i8"),  # the same by our own fills (T-02)
            ("paid_micros", "<i8"),
            ("target_ref", "<i8"),  # command that moved the target and that no order at the venue answers for yet
            ("target_before_tick", "<i8"),  # where it was before
            ("refused_tick", "<i8"),  # the target that the venue refused last, how often in a row,
            ("refused_qty", "<i8"),
            ("refused_times", "<i8"),
            ("target_retry_ns", "<i8"),  # and until when the same is not asked for again
            ("exit_retry_ns", "<i8"),  # not before this time is the next exit after one that failed; a stop never waits
            ("unpriced", "<i8"),  # 1: a fill of this round trip came without a price: its result is not known
            ("exit_since_ns", "<i8"),  # first attempt to leave this position, NO_TIME = none yet (MES-EOD-06)
            ("holds", "<i8"),  # standing instrument holds
            ("plan_tick", "<i8"),  # price of the decision that opened it (MES-STOP-04)
            ("trailed", "<i8"),  # 1: the stop has moved since the entry (MES-STOP-05)
            ("bad_marks", "<i8"),  # marks that were no price: discarded
            ("mark_bad", "<i8"),  # 1: the last mark was one of them; entries wait for a good one (MES-RISK-11)
            ("mid_seen", "<i8"),  # 1: a valid book gave a mark
            ("rev_side", "<i8"),  # side of the reversal that waits for its exit's fill, 0 = none (MES-REV-02)
            ("rev_score_ppm", "<i8"),
            ("rev_confidence_ppm", "<i8"),
            ("rev_score_ns", "<i8"),
            ("rev_exit_ns", "<i8"),  # fill of the previous reversal's exit
            ("rev_count", "<i8"),  # reversals in this chain
            ("asked_ns", "<i8"),  # market time of the score behind the last entry: one score, one order (P-16)
            # shares alone: what the average range is made of (MOEX-FEAT-05), and the stop by formula (MOEX-STOP)
            ("candle_range", "<i8", (RANGES_KEPT,)),  # true ranges of closed minutes in ticks, a ring
            ("candles", "<i8"),
            ("candle_ns", "<i8"),  # start of the last one
            ("candle_close_tick", "<i8"),
            ("pair_range", "<i8", (RANGES_KEPT,)),  # ranges of two books in half ticks, a ring
            ("pair_at", "<i8", (RANGES_KEPT,)),  # number of the later book of each
            ("pairs", "<i8"),
            ("books", "<i8"),  # how many came
            ("book_ns", "<i8"),  # the last one, and twice its mid; NO_TICK when it was not two-sided
            ("book_twice_tick", "<i8"),
            ("valid_ns", "<i8"),  # last book that may price a stop
            ("plan_range", "<i8"),  # the decision's measurements: Σ of ranges in half ticks, how many, spread in ticks
            ("plan_ranges", "<i8"),
            ("plan_spread", "<i8"),  # −1: not known
            ("net_tick", "<i8"),  # where the venue's stop belongs behind ours, NO_TICK = at ours (MOEX-STOP-06)
            ("net_gap", "<i8"),  # ticks between the two
            ("net_ns", "<i8"),  # when it last moved
            ("exit_tries", "<i8"),  # attempts to leave this position (MOEX-ROUTE-03)
            ("exit_allowed", "<i8"),  # what the venue left open for the next one
            ("traded", "<i8", (60,)),  # lots of each of the last 60 s, a ring by second (MOEX-ROUTE-04)
            ("traded_at_s", "<i8"),
            ("keep_qty", "<i8"),  # lots beyond it leave, KEEP_ALL = none do (MOEX-HEDGE-03, -04)
            ("stop_refused_tick", "<i8"),  # of both rulebooks again: as of the target above
            ("stop_refused_times", "<i8"),
            ("stop_retry_ns", "<i8"),
            ("stop_ref", "<i8"),
            ("best_twice_tick", "<i8"),  # of shares: the most favourable mid since the entry, in half ticks
            ("flatten_ns", "<i8"),  # of shares: since when flat is demanded, whatever it was left for (MOEX-EXEC-10)
            ("override", "<i8"),  # reason that two persons let pass once, 0 = none; its end, and the command (P-27)
            ("override_until_ns", "<i8"),
            ("override_ref", "<i8"),
        ],
    )
)

ACCOUNT = np.dtype(
    (
        np.record,
        [
            ("now_ns", "<i8"),
            ("seq", "<i8"),
            ("next_order", "<i8"),
            ("venue_ref", "<i8"),  # last venue event applied: the only de-duplication of fills
            ("trading", "<i8"),
            ("trading_day", "<i8"),
            ("phase", "<i8"),
            ("window_count", "<i8"),
            ("version", "<i8"),
            ("staged_count", "<i8"),
            ("balance_micros", "<i8"),  # capital + Σ realised − Σ fees
            ("realised_micros", "<i8"),
            ("fees_micros", "<i8"),
            ("day_net_micros", "<i8"),
            ("reference_micros", "<i8"),
            ("equity_micros", "<i8"),
            ("trades", "<i8"),
            ("wins", "<i8"),
            ("losses", "<i8"),
            ("streak", "<i8"),
            ("feed_ts_ns", "<i8"),
            ("feed_gap", "<i8"),
            ("reconciled", "<i8"),
            ("recon_ts_ns", "<i8"),
            ("execution_up", "<i8"),
            ("database_up", "<i8"),
            ("stream_ok", "<i8"),
            ("latched", "<i8"),
            ("holds", "<i8"),  # standing account holds, one bit per code
            ("messages", "<i8", (60,)),  # sent in each of the last 60 s, a ring by second of the session clock
            ("messages_at_s", "<i8"),
            ("duplicates", "<i8", (3,)),  # times of the last duplicate refusals
            ("orders_used", "<i8"),  # slots of `orders` ever used
            ("config_pending", "<i8"),  # 1: a loosening waits for flat
            ("pending_version", "<i8"),
            ("stale_answers", "<i8"),  # venue answers that fit no state of their order
            ("submits", "<i8"),
            ("fills", "<i8"),
            ("refusals", "<i8"),
            ("decisions", "<i8"),
            ("rules", "<i8"),  # the rulebook
            ("idle", "<i8"),  # 1: until the clock's next moment a timer changes nothing while the feed is fresh
            ("instruments", "<i8"),  # instruments 0 .. this-1 have a specification
            ("clock_ns", "<i8"),  # when time alone next changes something: phase, roll, a hold's end
            ("presence_ns", "<i8"),  # last activity of a person
            ("capital_micros", "<i8"),  # C of MOEX-RISK-01, fixed for the day
            ("peak_micros", "<i8"),  # highest risk balance (MES-RISK-04)
            ("day_peak_micros", "<i8"),  # highest equity of this trading day (MES-RISK-05)
            ("day_base_micros", "<i8"),  # equity that a loss of the day is counted from (MOEX-RISK-05)
            ("day_trades", "<i8"),
            ("day_wins", "<i8"),
            ("day_losses", "<i8"),
            ("streak_until_ns", "<i8"),  # end that the last loss asked for, NO_TIME = none
            ("open_marks", "<i8", (3,)),  # consecutive marks in breach of each limit on open money (MES-RISK-11)
            ("open_since_ns", "<i8", (3,)),
            ("errors_ns", "<i8", (32,)),  # times of the last errors
            ("errors", "<i8"),
            ("news_start_ns", "<i8", (16,)),
            ("news_end_ns", "<i8", (16,)),
            ("news", "<i8"),
            ("index_value", "<i8"),  # volatility index, hundredths of a point
            ("index_ts_ns", "<i8"),
            ("probe_slow", "<i8"),  # consecutive samples
            ("probe_lost", "<i8"),
            ("probe_good", "<i8"),
            ("probe_back", "<i8"),  # good enough for a connection that was lost (MOEX-DR-03)
            ("bucket_full_ns", "<i8"),  # when the bucket of entry slices is full again (MOEX-RISK-10)
            ("past", "<i8"),  # number of the session that this one continues, 0 = none
            ("past_holds", "<i8"),  # its holds, told before the first limits and raised with them
            ("timer_ns", "<i8"),  # last TIMER, while tasks run by the schedule (MOEX-RISK-11)
            ("hedge_on", "<i8"),  # 1: net exposure is being hedged (MOEX-HEDGE-01)
            ("told", "<i8"),  # before the limits: figures that were told, a bit each; later 1: a person stated them
            ("entered", "<i8"),  # entries that were decided, and when the last of them were, a ring (P-18)
            ("entries_ns", "<i8", (ENTRIES_KEPT,)),
            ("lifting", "<i8"),  # instruments whose restriction ends once everything is flat, a bit each (P-25)
            ("money_off", "<i8"),  # the venue's money and ours: MONEY_* of `trading.core.past`, 0 = they agree (T-02)
            ("open_count", "<i8"),
            ("open_slots", "<i8", (ORDER_CAPACITY,)),  # of `orders`: every open one, ascending (`effects.list_open`)
        ],
    )
)


class State(NamedTuple):
    """Everything the kernel remembers.  Arrays of records, so that `snapshot()` is a copy of bytes."""

    account: np.ndarray  # (1,) ACCOUNT
    positions: np.ndarray  # (32,) POSITION
    orders: np.ndarray  # (256,) ORDER
    holds: np.ndarray  # (62,) HOLD, account scope, indexed by bit
    grids: np.ndarray  # (32,) GRID, what the bars of each instrument say


class Params(NamedTuple):
    """What the kernel was told: limits, instruments, session windows.  Changed by journaled events only.

    `*_values` are views of the same memory as int64, so that a field can be set by its index.
    """

    limits: np.ndarray  # (1,) LIMITS in force
    limit_values: np.ndarray  # (n,) int64 view of `limits`
    staged: np.ndarray  # (n,) int64, the CONFIG in progress
    pending: np.ndarray  # (n,) int64, a loosening that waits for flat
    specs: np.ndarray  # (32,) SPEC
    spec_values: np.ndarray  # (32, n) int64 view of `specs`
    windows: np.ndarray  # (128,) WINDOW
    asking: np.ndarray  # (1,) ASK, the form of the latest entry that was asked for; no part of a snapshot
    asking_values: np.ndarray  # (n,) int64 view of `asking`


def new_state() -> State:
    """A state that knows nothing: not trading, not reconciled, no feed, no limits."""
    state = State(
        account=np.zeros(1, ACCOUNT),
        positions=np.zeros(INSTRUMENT_CAPACITY, POSITION),
        orders=np.zeros(ORDER_CAPACITY, ORDER),
        holds=np.zeros(HOLD_CAPACITY, HOLD),
        grids=np.zeros(INSTRUMENT_CAPACITY, GRID),
    )
    state.account["next_order"] = 1
    for name in ("now_ns", "feed_ts_ns", "recon_ts_ns", "duplicates", "clock_ns", "presence_ns", "errors_ns"):
        state.account[name] = NO_TIME
    for name in ("streak_until_ns", "index_ts_ns", "bucket_full_ns", "open_since_ns", "timer_ns", "entries_ns"):
        state.account[name] = NO_TIME
    state.grids["end_ns"] = state.grids["print_ns"] = NO_TIME
    state.grids["close_tick"] = state.positions["told_ticks"] = NO_TICK
    state.positions["keep_qty"] = KEEP_ALL
    times = "entry_fill exit_fill naked_since quote_ts last_ts move_ts opened target_retry exit_retry exit_since"
    for name in f"{times} rev_score rev_exit asked candle book valid net stop_retry flatten".split():
        state.positions[f"{name}_ns"] = NO_TIME
    ticks = "bid ask last mark move stop target target_before refused plan net book_twice best_twice stop_refused"
    for name in ticks.split():
        state.positions[f"{name}_tick"] = NO_TICK
    return state


def new_params() -> Params:
    """Parameters with every limit UNSET: the gate refuses until a configuration is committed."""
    limits = np.zeros(1, LIMITS)
    specs = np.zeros(INSTRUMENT_CAPACITY, SPEC)
    asking = np.zeros(1, ASK)
    limit_values = limits.view("<i8")
    spec_values = specs.view("<i8").reshape(INSTRUMENT_CAPACITY, len(SPEC_FIELDS))
    limit_values[:] = UNSET
    spec_values[:] = UNSET
    return Params(
        limits,
        limit_values,
        np.full(len(LIMIT_FIELDS), UNSET, np.int64),
        np.full(len(LIMIT_FIELDS), UNSET, np.int64),
        specs,
        spec_values,
        np.zeros(WINDOW_CAPACITY, WINDOW),
        asking,
        asking.view("<i8"),
    )


def new_out() -> np.ndarray:
    """The outbox buffer of one step: OUT_CAPACITY EVENTs; `step` returns how many it wrote."""
    return np.zeros(OUT_CAPACITY, EVENT)
