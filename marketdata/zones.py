"""Wall-clock times of a named zone → ns UTC, exactly or not at all.

Beside `marketdata.calendars`, which needs whole calendars; this needs the zone database alone.  A time that a change of
the clocks makes ambiguous or impossible is refused, never guessed.  Called by the readers of text and Parquet bars.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

HOUR_NS = 3_600_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)


class ZoneError(ValueError):
    """An unknown zone, or a local time that happens twice or never."""


def zone(name: str) -> ZoneInfo:
    """The zone of this name ("Europe/Moscow").  Raises ZoneError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ZoneError(
            f"time zone {name!r} is unknown; write it like Europe/Moscow, America/New_York or UTC"
        ) from None


def utc_from_local(local_ns: np.ndarray, name: str) -> np.ndarray:
    """(n,) int64 ns of the wall clock of zone `name` → (n,) int64 ns UTC.  Raises ZoneError."""
    info = zone(name)
    hours, where = np.unique(local_ns // HOUR_NS, return_inverse=True)
    offsets = np.empty(hours.size, np.int64)
    for i, hour in enumerate(hours.tolist()):
        moment = EPOCH + timedelta(hours=hour)
        offset = moment.replace(tzinfo=info).utcoffset()
        if offset is None or offset != moment.replace(tzinfo=info, fold=1).utcoffset():
            raise ZoneError(f"the hour {moment:%Y-%m-%d %H}:00 happens twice or never in {name}: give the times in UTC")
        offsets[i] = offset // timedelta(microseconds=1) * 1000
    return local_ns - offsets[where]
