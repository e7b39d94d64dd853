"""What the live data engines of running sessions show: instruments, gate, caches, memory, each with its age.

MOEX-DATA-17.  The feed loop leaves a picture on Redis once a second; here it becomes rows.  A picture that is old says
so: its numbers stay in sight, and stale.  Reads only.
"""

from typing import Any

import msgspec
import redis
from django.conf import settings

from trading import selectors
from trading.run.clock import boot_ns
from trading.run.streams import Board, StreamAway, make_client

STALE_S = 3.0
MIB = 1 << 20


def engines() -> list[dict[str, Any]]:
    """One row a running session that has an engine.  Raises StreamAway, redis' errors and DatabaseError."""
    sessions = selectors.running_sessions()
    if not sessions:
        return []
    client = make_client(settings.REDIS_URL)
    try:
        found = [(session, Board(client, session["key"]).one("engine")) for session in sessions]
    except redis.RedisError as error:
        raise StreamAway(str(error)) from error
    finally:
        client.close()
    return [
        row(session["key"], msgspec.json.decode(raw), boot_ns()) | {"id": session["id"]}
        for session, raw in found
        if raw is not None
    ]


def row(key: str, seen: dict[str, Any], now_boot_ns: int) -> dict[str, Any]:
    """One picture as the page shows it; `now_boot_ns`: boot clock, for the ages."""
    states = {one["symbol"]: one["state"] for one in seen["instruments"]}
    age_s = max(0, now_boot_ns - seen["boot_ns"]) / 1e9
    gate, market = seen["gate"], seen["indicators"]
    reasons = [(name, gate[name]) for name in ("missing", "stale", "empty", "invalid") if gate[name]]
    return {
        "key": key,
        "age_s": age_s,
        "stale": age_s > STALE_S,
        "active": seen["active"],
        "monitored": seen["monitored"],
        "held": gate["held"],
        "held_s": _age_s(seen["ts_ns"], gate["since_ns"]),
        "why": "; ".join(f"{name} {', '.join(symbols)}" for name, symbols in reasons),
        "reconciled": gate["reconciled"],
        "subscriptions": seen["subscriptions"],
        "pinned": ", ".join(seen["pinned"]),
        "journal_ms": max(0, now_boot_ns - seen["journal"]["read_boot_ns"]) / 1e6,
        "fault": seen["journal"]["fault"],
        "market": market,
        "market_s": _age_s(seen["ts_ns"], market["known_ns"]),
        "cache": seen["cache"],
        "evictions": seen["evictions"],
        "cache_pinned": seen["cache_pinned"],
        "rotations": seen["rotations"],
        "rss_mb": seen["rss_bytes"] / MIB,
        "soft_mb": seen["memory"]["soft"] / MIB,
        "hard_mb": seen["memory"]["hard"] / MIB,
        "trims": seen["memory"]["trim"],
        "clears": seen["memory"]["clear"],
        "kept_s": _age_s(seen["ts_ns"], seen["kept"]["ts_ns"]),
        "leaving": [symbol for symbol, state in states.items() if state == "ACTIVE"],
        "coming": [symbol for symbol, state in states.items() if state == "MONITORED"],
        "us_p50": seen["us_p50"],
        "us_p99": seen["us_p99"],
        "instruments": [_instrument(one) for one in seen["instruments"]],
    }


def _instrument(seen: dict[str, Any]) -> dict[str, Any]:
    spread, age_ns = seen["spread"], seen["age_ns"]
    return {
        "symbol": seen["symbol"],
        "state": seen["state"].lower(),
        "active": seen["state"] == "ACTIVE",
        "unhealthy": seen["is_unhealthy"],
        "waits_for": seen["waits_for"],
        "spread_bps": None if spread is None else spread * 1e4,
        "r": seen["r"],
        "vol": None if seen["vol_30m"] is None else seen["vol_30m"] * 100,
        "samples": seen["samples"],
        "book_s": None if age_ns is None else age_ns / 1e9,
    }


def _age_s(now_ns: int, then_ns: int | None) -> float | None:
    """Session seconds since then; None for what never was."""
    return None if then_ns is None else max(0, now_ns - then_ns) / 1e9
