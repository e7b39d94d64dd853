"""METRIC events: the engine's numbers of one second as EVENTs, and back (MOEX-TERM-02, MOEX-DATA-06, -07, -13).

Whole numbers in the record, so that who hears them (the scorer, the journal, a replay) knows exactly what was told:
parts per million, the spread in parts per billion.  A number that is not known is -1, a time NO_TIME.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.records import ACCOUNT_SCOPE, METRIC, new_events
from marketdata.core.units import PPM
from marketdata.core.universe import step
from marketdata.engine.live import LiveData

# EVENT.code of METRIC
METRIC_MARKET, METRIC_INSTRUMENT, METRIC_MEMORY, METRIC_MISSED = 1, 2, 3, 4
BY_ENGINE, BY_INFERENCE = 0, 1  # role of METRIC_MEMORY: whose process it is
UNKNOWN = -1
BILLION = 1_000_000_000


class Indicators(NamedTuple):
    """The market indicators as told; known False: as they were last known, at `known_ns`."""

    ts_ns: int
    known: bool
    known_ns: int
    volatility: float
    liquidity: float
    market_index: float


def metrics(live: LiveData, second_ns: int) -> np.ndarray:
    """(instruments of the pool + 1,) METRIC EVENTs of one second, stamped with it.

    An instrument: role = its state, side = 1 while UNHEALTHY, qty = samples, value = spread, volume = r,
    score_ppm = vol_30m, until_ns = receipt of its newest book.  The market, first: qty = 1 known, value = volatility,
    volume = liquidity, score_ppm = index, until_ns = when they were last known.
    """
    watched = np.flatnonzero(live.members["state"] != 0)
    known = np.empty((len(live.members), 3))
    step.known_metrics(live.members, second_ns, known)
    events = new_events(len(watched) + 1)
    events["kind"], events["ts_ns"], events["ts_venue_ns"] = METRIC, second_ns, second_ns
    market = events[0]
    market["instrument"], market["code"] = ACCOUNT_SCOPE, METRIC_MARKET
    market["qty"], market["value"], market["volume"], market["score_ppm"], market["until_ns"] = live.market
    rows, members = events[1:], live.members[watched]
    rows["instrument"], rows["code"] = watched, METRIC_INSTRUMENT
    rows["role"], rows["side"], rows["qty"] = members["state"], members["unhealthy"], members["samples"]
    rows["until_ns"] = members["book_ns"]
    for name, column, scale in (("value", 0, BILLION), ("volume", 1, PPM), ("score_ppm", 2, PPM)):
        values = known[watched, column]
        rows[name] = np.where(np.isnan(values), UNKNOWN, np.round(np.nan_to_num(values) * scale)).astype(np.int64)
    return events


def memory(acted: int, rss_bytes: int, now_ns: int, role: int = BY_ENGINE) -> np.ndarray:
    """One METRIC EVENT: the memory guard acted; qty = 1 at the soft limit, 2 at the hard, value = resident bytes."""
    event = new_events(1)
    event["kind"], event["code"], event["instrument"] = METRIC, METRIC_MEMORY, ACCOUNT_SCOPE
    event["ts_ns"] = event["ts_venue_ns"] = now_ns
    event["qty"], event["value"], event["role"] = acted, rss_bytes, role
    return event


def indicators(event: np.void) -> Indicators | None:
    """What a METRIC EVENT says of the market; None for another."""
    if int(event["kind"]) != METRIC or int(event["code"]) != METRIC_MARKET:
        return None
    parts = (int(event[name]) / PPM for name in ("value", "volume", "score_ppm"))
    return Indicators(int(event["ts_venue_ns"]), int(event["qty"]) == 1, int(event["until_ns"]), *parts)


def states_of(events: np.ndarray) -> list[tuple[int, int]]:
    """(instrument, state) of every METRIC of an instrument among EVENTs, in order."""
    rows = events[(events["kind"] == METRIC) & (events["code"] == METRIC_INSTRUMENT)]
    return list(zip(rows["instrument"].tolist(), rows["role"].tolist(), strict=True))


def missed(first: int, count: int, now_ns: int) -> np.ndarray:
    """One METRIC EVENT: the venue that fills on this market never had `count` events of the tape from place `first`
    (from 0) on, or lost them with its process: value = first, qty = count."""
    event = new_events(1)
    event["kind"], event["code"], event["instrument"] = METRIC, METRIC_MISSED, ACCOUNT_SCOPE
    event["ts_ns"] = event["ts_venue_ns"] = now_ns
    event["value"], event["qty"] = first, count
    return event
