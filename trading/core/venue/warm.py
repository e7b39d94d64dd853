"""Compiles or loads every jitted entry point of the venue once, so that no order ever waits for the compiler."""

import numpy as np

from marketdata.core.records import BAR, BOOK, TRADE, new_depths, new_events
from trading.core.records import CANCEL, LIMIT, MARKET, MODIFY, STOP, SUBMIT
from trading.core.venue import engine
from trading.core.venue.answers import slot_of
from trading.core.venue.requests import is_known
from trading.core.venue.state import FILL_MODELS, Venue, new_venue

_TERMS = {"tick_value_micros": 1, "fee_micros": 1, "fee_ppm": 1}


def warm() -> Venue:
    """Returns the last of the venues that were driven, for tests."""
    depths = new_depths(1)
    depths["bid_tick"][0, 0], depths["bid_qty"][0, 0] = 9, 5
    depths["ask_tick"][0, 0], depths["ask_qty"][0, 0] = 11, 5
    market = new_events(3)
    market["kind"] = BOOK, TRADE, BAR
    market["ts_venue_ns"] = 1, 2, 3
    market["price_tick"], market["qty"], market["value"] = 10, 1, 1
    for name in ("open_tick", "high_tick", "low_tick", "close_tick"):
        market[name] = 10
    orders = new_events(5)
    orders["kind"] = SUBMIT, SUBMIT, SUBMIT, MODIFY, CANCEL
    orders["order_type"] = MARKET, LIMIT, STOP, LIMIT, LIMIT
    orders["order_number"] = 1, 2, 3, 2, 2
    orders["side"], orders["qty"], orders["price_tick"], orders["stop_tick"] = 1, 1, 5, 20
    out = engine.new_answers()
    for model in FILL_MODELS:
        venue = new_venue(model, [_TERMS])
        engine.market_batch(venue, market, 0, depths, np.array([0, -1, -1], np.int32), out)
        engine.market_event(venue, market, 1, depths, -1, out)
        for i in range(len(orders)):
            engine.request(venue, orders, i, out)
        engine.advance(venue, 10, out)
        engine.next_due_ns(venue)
        slot_of(venue, 1)
        is_known(venue, 1)
        engine.drop_kept(venue, out)
        engine.cancel_all(venue, out)
        engine.flatten(venue, out)
    return venue
