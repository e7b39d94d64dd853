"""What the browser's page needs beside the state: mode, clock, instruments, and the rows as numbered streams.

Numbers of a stream have no gaps, also where equal refusals fold into one row: every new version of a folded row is the
next item.  Pure; called by the sinks loop, which publishes what comes out.
"""

import hashlib
from collections import deque
from typing import Any, NamedTuple

import msgspec

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import tick_decimals
from trading.run.spec import SessionSpec

STREAMS = {"fill": "fills", "trade": "trades", "decision": "decisions", "command": "commands"}
KEPT = 200
ZONES = {"cme": "America/Chicago", "moex": "Europe/Moscow"}


class Streams:
    """Numbers the rows: an item is new when its row is new or has changed."""

    def __init__(self) -> None:
        self.to = dict.fromkeys((*STREAMS, "order"), 0)
        self.items: dict[str, deque[dict[str, Any]]] = {name: deque(maxlen=KEPT) for name in self.to}
        self._seen: dict[str, dict[int | str, str]] = {name: {} for name in self.to}

    def note(self, values: dict[str, Any]) -> None:
        """Take the rows of one picture (lists under "fills", "trades", "decisions", "commands", "orders")."""
        for stream in ("fill", "trade", "decision"):
            self._note(stream, values[STREAMS[stream]], "seq")
        self._note("command", [{**row, "cid": str(row["cid"])} for row in values["commands"]], "cid")  # beyond 2^53
        self._note("order", sorted(values["orders"], key=lambda row: row["oid"]), "oid")

    def _note(self, stream: str, rows: list[dict[str, Any]], key: str) -> None:
        seen = self._seen[stream]
        present: dict[int | str, str] = {}
        for row in rows:
            shape = repr(sorted(row.items()))
            present[row[key]] = shape
            if seen.get(row[key]) != shape:
                self.to[stream] += 1
                self.items[stream].append(row)
        self._seen[stream] = present

    def values(self) -> dict[str, Any]:
        """`rows:<stream>` of all streams."""
        return {f"rows:{name}": {"to": self.to[name], "items": list(items)} for name, items in self.items.items()}


def instruments_value(spec: SessionSpec) -> dict[str, Any]:
    """What it takes to write a price of each instrument."""
    found = {}
    for i, item in enumerate(spec.instruments):
        tick = item.values["tick_nanos"]
        found[str(i)] = {"symbol": item.symbol, "tick_nanos": tick, "decimals": tick_decimals(tick)}
        found[str(i)] |= {"tick_value_micros": item.values["tick_value_micros"], "currency": spec.currency}
    return found


def inputs_hash(spec: SessionSpec, code_hash: str) -> str:
    """16 hex digits of everything the session ran with: configuration, tape, venue, scorer, code."""
    parts = (spec.version_hash, spec.feed, spec.venue, spec.scorer, spec.capital_micros, code_hash)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def mode_value(spec: SessionSpec, account: dict[str, Any], code_hash: str) -> dict[str, Any]:
    """Which session this is, in which mode, and its strongest label."""
    value: dict[str, Any] = {"mode": spec.mode, "session": spec.id, "key": spec.key, "account": f"paper {spec.profile}"}
    version = account.get("version_name", f"version {account['version']}")  # the one in force, not the one at the start
    value |= {"profile": spec.profile, "version": version, "build": code_hash[:12]}
    value |= {"config": spec.version_hash[:12], "inputs": inputs_hash(spec, code_hash), "feed": spec.feed.name}
    status = "running" if account["trading"] else "stopped"
    return value | {"label": account["label"], "phase": account["phase"], "status": status}


def clock_value(spec: SessionSpec, account: dict[str, Any], now_us: int | None) -> dict[str, Any]:
    """The session clock as the loop read it; `now_us` None while the feed has not stamped one."""
    venue = INSTRUMENTS[spec.instruments[0].symbol].venue
    value: dict[str, Any] = {"now_us": now_us, "speed": spec.feed.speed, "phase": account["phase"]}
    return value | {"trading_day": account["trading_day"], "tz": ZONES[venue]}


class PageClock(NamedTuple):
    """When a picture was made: session time (None while there is no clock) and the machine's boot clock."""

    now_us: int | None
    boot_ns: int


def page_values(
    values: dict[str, Any], streams: Streams, spec: SessionSpec, now: PageClock, code_hash: str, epoch: int
) -> dict[str, bytes]:
    """Everything under the page's own names, as JSON.  `values`: the picture of `snapshot.build`, not yet encoded."""
    account = {**values["account"], "currency": spec.currency}
    streams.note(values)
    kept = (name for name in values if name not in STREAMS.values() and name != "seq")
    found = {name: values[name] for name in kept if not _is_raw_bar(name)}
    found |= {"account": account, "mode": mode_value(spec, account, code_hash), "instruments": instruments_value(spec)}
    found |= {"clock": clock_value(spec, account, now.now_us), "seq": values["seq"]["seq"], "epoch": epoch}
    found["orders"] = [row for row in values["orders"] if row["live"]]
    found["loops"] = [_loop(row, now.boot_ns) for row in values["loops"] if "beat_boot_ns" in row]
    for i in range(len(spec.instruments)):
        found[f"pos:{i}"] = _position(values[f"pos:{i}"], spec, i)
    return {name: msgspec.json.encode(value) for name, value in (found | streams.values()).items()}


def _loop(row: dict[str, Any], boot_ns: int) -> dict[str, Any]:
    beat_us = max(0, boot_ns - row["beat_boot_ns"]) // 1000
    kept = {name: row[name] for name in ("id", "state", "fence", "last_error") if name in row}
    return kept | {"beat_us": beat_us, "detail": str(row.get("last_error", ""))}


def _is_raw_bar(name: str) -> bool:
    """`bar:<inst>` is the tape's own bar; the page gets `bar:<inst>:<seconds>`."""
    return name.startswith("bar:") and name.count(":") == 1


def _position(value: dict[str, Any], spec: SessionSpec, i: int) -> dict[str, Any]:
    """Beside the figures: the average, the open ticks a contract, what a leg would bring, whether a stop is missing."""
    item = spec.instruments[i].values
    tick, tick_value = item["tick_nanos"], item["tick_value_micros"]
    qty, cost, mark = value["qty"], value["cost_ticks"], value["mark_tick"]
    found: dict[str, Any] = {"avg_text": None, "avg_tick": None, "open_ticks": None}
    if qty != 0:
        decimals = tick_decimals(tick) + (0 if cost % qty == 0 else 2)
        found["avg_text"] = f"{cost / qty * tick / 1e9:.{decimals}f}"  # shown only; money comes from cost_ticks
        found["avg_tick"] = round(cost / qty, 3)
        if mark is not None:
            found["open_ticks"] = round((mark * qty - cost) / abs(qty), 1)
    for leg in ("stop", "target"):
        at = value.get(f"{leg}_tick", None if value[leg] is None else value[leg]["tick"])
        known = qty != 0 and at is not None
        found[f"{leg}_micros"] = (at * qty - cost) * tick_value if known else None  # before fees, if it fills there
    return value | found | {"naked": qty != 0 and value["stop"] is None}
