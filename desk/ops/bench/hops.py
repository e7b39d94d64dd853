"""Latencies of the real loops, read from a session's journal.

Every input frame keeps the boot time at which its sender let it go, every output the time of its decision; ACK and
CANCELLED carry the time at which their request left the execution loop.  All on one machine's boot clock.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.records import BAR, BOOK, FLAG_BACKFILL, QUOTE, TRADE
from trading.core.records import ACK, COMMAND, DECISION, ENTRY, EXIT, FIRST_OUTPUT_KIND, KILL, SCORE, SUBMIT

MARKET_KINDS = (BAR, BOOK, QUOTE, TRADE)


class Hops(NamedTuple):
    """Milliseconds, one sample a case."""

    market_to_exit: np.ndarray  # market event published → exit order sent: two hops
    market_to_entry: np.ndarray  # market event published → score → entry order sent: three hops
    market_to_score: np.ndarray  # published → score published
    inbox: np.ndarray  # sender → decision, all inputs that led to an order
    outbox: np.ndarray  # decision → sent: journal, fsync, outbox, execution
    market_to_decision: np.ndarray  # published → score → decision, whatever it was: two hops, one sample a score


def measure(frames: np.ndarray) -> Hops:
    """`frames`: all FRAMEs of one journal, in order."""
    events = frames["event"]
    boots = frames["boot_ns"]
    is_input = events["kind"] < FIRST_OUTPUT_KIND
    cause = np.maximum.accumulate(np.where(is_input, np.arange(len(frames)), 0))
    sent = {int(e["order_number"]): int(e["value"]) for e in events[events["kind"] == ACK] if e["value"] > 0}
    published = _published(events, boots)
    exits, entries, scores, inbox, outbox = [], [], [], [], []
    decided = _decided(events, boots, cause, published)
    for i in np.flatnonzero(events["kind"] == SUBMIT):
        left = sent.get(int(events["order_number"][i]))
        if left is None:
            continue
        source = events[cause[i]]
        source_boot = int(boots[cause[i]])
        inbox.append(int(boots[i]) - source_boot)
        outbox.append(left - int(boots[i]))
        if events["role"][i] == EXIT and source["kind"] in MARKET_KINDS:
            exits.append(left - source_boot)
        if events["role"][i] == ENTRY and source["kind"] == SCORE:
            began = published.get((int(source["instrument"]), int(source["ts_venue_ns"])))
            if began is not None:
                entries.append(left - began)
                scores.append(source_boot - began)
    parts = (exits, entries, scores, inbox, outbox, decided)
    return Hops(*(np.array(part, np.float64) / 1e6 for part in parts))


def _decided(
    events: np.ndarray, boots: np.ndarray, cause: np.ndarray, published: dict[tuple[int, int], int]
) -> list[int]:
    """ns from the market event that was scored to the decision on the score."""
    found = []
    for i in np.flatnonzero(events["kind"] == DECISION):
        source = events[cause[i]]
        began = published.get((int(source["instrument"]), int(source["ts_venue_ns"])))
        if source["kind"] == SCORE and began is not None:
            found.append(int(boots[i]) - began)
    return found


def _published(events: np.ndarray, boots: np.ndarray) -> dict[tuple[int, int], int]:
    """(instrument, venue time) → boot time at which the newest market event of that moment was published."""
    market = np.isin(events["kind"], MARKET_KINDS) & (events["flags"] & FLAG_BACKFILL == 0)
    return {
        (int(events["instrument"][i]), int(events["ts_venue_ns"][i])): int(boots[i]) for i in np.flatnonzero(market)
    }


def kill_to_sent(frames: np.ndarray, clicked_boot_ns: int) -> float | None:
    """Milliseconds from the click to the last close that the kill made; None when it had nothing to close."""
    events = frames["event"]
    kills = np.flatnonzero((events["kind"] == COMMAND) & (events["code"] == KILL))
    if len(kills) == 0:
        return None
    after = events[kills[-1] :]
    closes = after["order_number"][(after["kind"] == SUBMIT) & (after["role"] == EXIT)]
    left = [int(e["value"]) for e in after[after["kind"] == ACK] if e["order_number"] in closes and e["value"] > 0]
    return (max(left) - clicked_boot_ns) / 1e6 if left else None
