"""The one record that every part of the desk exchanges, and the depth record beside it.

An EVENT is a fixed 200-byte record: market data, scores, timers, commands, configuration and the venue's
answers go into the inbox as EVENTs, and the kernel's effects leave through the outbox as EVENTs.  The market's
kinds are named here; `trading.core.records` adds the kinds of its own floor.  This module never does I/O.
"""

import numpy as np

LEVELS = 20  # price levels per side in a DEPTH record
NO_TICK = np.iinfo(np.int64).min  # "no price": never a valid tick, unlike 0
NO_TIME = np.iinfo(np.int64).min  # "never": earlier than every real time
ACCOUNT_SCOPE = -1  # `instrument` of an event that concerns the whole account

# kinds 1..19: what the market said
BAR, QUOTE, TRADE, BOOK, STATUS, FEED = 1, 2, 3, 4, 5, 6
METRIC = 7  # what the live data engine measured in a second (marketdata.engine.telling): nothing is decided on it

# EVENT.code of STATUS
STATUS_OPEN, STATUS_CLOSED, STATUS_HALTED, STATUS_AUCTION = 0, 1, 2, 3
# EVENT.code of FEED
FEED_UP, FEED_GAP, FEED_DOWN, FEED_END, FEED_BEAT = 1, 2, 3, 4, 5

BUY, SELL, NO_SIDE = 1, -1, 0

# EVENT.flags, bits
FLAG_CARRIED = 1  # a bar of a second without a print: nothing fills on it
FLAG_BACKFILL = 2  # history sent for warm-up: never decided on, never filled on
FLAG_INVALID = 4  # crossed, one-sided or stale book: never used for an entry or a mark
FLAG_RESEND = 8  # may have been delivered before

EVENT = np.dtype(
    (
        np.record,
        [
            ("seq", "<i8"),  # position in the session's journal; 0 until it is journaled
            ("ts_ns", "<i8"),  # when we could know it, session clock, ns UTC
            ("ts_venue_ns", "<i8"),  # the venue's own stamp, ns UTC
            ("kind", "<i2"),
            ("instrument", "<i2"),  # index in the session's table (0..31), ACCOUNT_SCOPE for the account
            ("side", "<i2"),  # +1 buy, -1 sell, 0 none
            ("code", "<i2"),  # reason, status, parameter or hold, by kind
            ("order_type", "<i2"),
            ("role", "<i2"),
            ("flags", "<i4"),  # read as event["flags"]: the attribute `flags` is numpy's own
            ("order_number", "<i8"),  # the kernel's order number, 0 = none
            ("ref", "<i8"),  # what this answers: the causing seq, or the venue's own event number
            ("qty", "<i8"),  # contracts or lots, never signed
            ("price_tick", "<i8"),
            ("bid_tick", "<i8"),
            ("ask_tick", "<i8"),
            ("bid_qty", "<i8"),
            ("ask_qty", "<i8"),
            ("open_tick", "<i8"),
            ("high_tick", "<i8"),
            ("low_tick", "<i8"),
            ("close_tick", "<i8"),
            ("volume", "<i8"),
            ("score_ppm", "<i8"),  # p_up - p_down, parts per million
            ("confidence_ppm", "<i8"),
            ("fee_micros", "<i8"),
            ("until_ns", "<i8"),
            ("value", "<i8"),
            ("stop_tick", "<i8"),
            ("target_tick", "<i8"),
        ],
    )
)

DEPTH = np.dtype(
    (
        np.record,
        [
            ("ts_ns", "<i8"),
            ("ts_venue_ns", "<i8"),
            ("instrument", "<i4"),
            ("flags", "<i4"),
            ("bid_tick", "<i8", (LEVELS,)),  # best first; an absent level has tick NO_TICK and quantity 0
            ("bid_qty", "<i8", (LEVELS,)),
            ("ask_tick", "<i8", (LEVELS,)),
            ("ask_qty", "<i8", (LEVELS,)),
        ],
    )
)

assert EVENT.itemsize == 200 and DEPTH.itemsize == 24 + 4 * 8 * LEVELS


def new_events(n: int) -> np.ndarray:
    """`n` zeroed EVENTs with every price set to NO_TICK, so that an unset price can never look like a price."""
    events = np.zeros(n, EVENT)
    for name in ("price_tick", "bid_tick", "ask_tick", "open_tick", "high_tick", "low_tick", "close_tick"):
        events[name] = NO_TICK
    events["stop_tick"] = NO_TICK
    events["target_tick"] = NO_TICK
    return events


def new_depths(n: int) -> np.ndarray:
    """`n` empty DEPTH records: no level on either side."""
    depths = np.zeros(n, DEPTH)
    depths["bid_tick"] = NO_TICK
    depths["ask_tick"] = NO_TICK
    return depths
