"""A small recording of bars with a hole and a bad row.  It needs no Django."""

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
