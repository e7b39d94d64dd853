"""Small recordings of bars and of books, with a hole and a bad row.  It needs no Django."""

import json
from pathlib import Path

from tests.feeds.recordings import SECOND, T0, write_text

HEADER = "timestamp,open,high,low,close,volume\n"
MINUTE = 60 * SECOND
FIRST_NS = T0  # a Tuesday, 10:00 in New York: the exchange is open
DAYS = (0, 1, 2, 3, 6, 7, 8)  # five hours of each; a weekend lies between
DAY_BARS = 300


def minutes(path: Path, count: int = 2000, hole: range = range(0), bad: int = -1) -> Path:
    """1-minute bars of ES within sessions; the bars of `hole` are not there, the one of `bad` is off the grid."""
    rows = []
    for k in range(count):
        close = "5000.30" if k == bad else f"{5000 + k % 8 * 0.25}"
        if k not in hole:
            start_ns = FIRST_NS + (DAYS[k // DAY_BARS] * 1440 + k % DAY_BARS) * MINUTE
            rows.append(f"{start_ns},5000,5010,4990,{close},{k + 1}")
    return write_text(path, HEADER + "\n".join(rows))


def books(path: Path, count: int = 2000, hole: int = -1) -> Path:
    """Binance's stream of a made-up share from 15:00 UTC: five updates a second that move the best prices by a cent or
    two; the update of `hole` is lost, and a snapshot comes a minute later."""
    lines = [_line(0, {"lastUpdateId": 0, "bids": [["249.99", "5"]], "asks": [["250.01", "6"]]})]
    bid, ask = 24_999, 25_001
    for k in range(1, count):
        if k == hole:
            continue
        if hole > 0 and k == hole + 300:
            snapshot = {"lastUpdateId": k, "bids": [[_price(bid), "5"]], "asks": [[_price(ask), "6"]]}
            lines.append(_line(k, snapshot))
            continue
        middle = 25_000 + (k * k // 7919 + k // 40) % 60 - 30
        new_bid, new_ask = middle - 1 - k % 3, middle + 1 + k // 5 % 4
        update = {
            "e": "depthUpdate", "s": "X", "U": k, "u": k,
            "b": [[_price(bid), "0"], [_price(new_bid), str(1 + k % 9)]],
            "a": [[_price(ask), "0"], [_price(new_ask), str(1 + k % 7)]],
        }  # fmt: skip
        lines.append(_line(k, update))
        bid, ask = new_bid, new_ask
    path.write_text("".join(lines))
    return path


def _line(k: int, message: dict[str, object]) -> str:
    return f"{FIRST_NS + k * SECOND // 5} {json.dumps(message)}\n"


def _price(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
