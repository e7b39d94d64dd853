"""What the live data engine shows of itself (MOEX-DATA-17): plain values, None for what is unknown."""

from typing import Any, NamedTuple

import numpy as np

from marketdata.core.records import NO_TIME
from marketdata.core.universe import buffers, step
from marketdata.core.universe.records import ACTIVE, OUTSIDE, STATES
from marketdata.engine.live import LiveData


class Watched(NamedTuple):
    """One instrument; spread, r and vol_30m as of MOEX-DATA-06."""

    symbol: str
    state: str
    spread: float | None
    r: float | None
    vol_30m: float | None
    samples: int
    age_ns: int | None
    is_unhealthy: bool
    waits_for: str  # the active instrument that it is about to replace


def _watched(live: LiveData, which: int, metrics: np.ndarray, now_ns: int) -> Watched:
    member: Any = live.members[which]
    spread, ratio, vol = (None if np.isnan(value) else float(value) for value in metrics[which])
    replaces = int(member["replaces"])
    return Watched(
        symbol=live.symbols[which],
        state=STATES[int(member["state"])],
        spread=spread,
        r=ratio,
        vol_30m=vol,
        samples=int(member["samples"]),
        age_ns=buffers.age_ns(member, now_ns),
        is_unhealthy=bool(member["unhealthy"]),
        waits_for=live.symbols[replaces] if replaces >= 0 else "",
    )


def numbers(live: LiveData, now_ns: int) -> dict[str, Any]:
    """Instruments of the pool, totals, and the indicators with the time at which they were last known."""
    states, market, counts = live.members["state"], live.universe[0], live.buffers.counts
    known, metrics = bool(market["known"]), np.empty((len(states), 3))
    step.known_metrics(live.members, now_ns, metrics)
    return {
        "instruments": [_watched(live, i, metrics, now_ns) for i in range(len(live.symbols)) if states[i] != OUTSIDE],
        "monitored": int((states != OUTSIDE).sum()),
        "active": int((states == ACTIVE).sum()),
        "cache": live.cached,
        "evictions": {
            "ttl": int(counts[buffers.BY_TTL]),
            "size": int(counts[buffers.BY_SIZE]),
            "memory": int(counts[buffers.BY_MEMORY]),
        },
        "cache_pinned": int(counts[buffers.PINNED_OVER]),
        "rotations": int(market["rotations"]),
        "rss_bytes": live.guard.rss,
        "indicators": {
            "known": known,
            "known_ns": int(market["known_ns"]) if market["known_ns"] != NO_TIME else None,
            "volatility": float(market["volatility"]) if known else None,
            "liquidity": float(market["market_liquidity"]) if known else None,
            "index": float(market["index"]) if known else None,
        },
    }
