"""A moment as a person writes it → µs of the session's clock: 15:42:07, 2026-11-29T15:42:07.5, or the µs of an address.

A time of day means the session's own day; of several, the one inside the session, else the one nearest to it.  A time
that a clock change makes ambiguous or impossible is refused.  Called by the page, its CSV and `manage.py why`.
"""

import re
from datetime import UTC, datetime, timedelta

import numpy as np

from marketdata.core.instruments import INSTRUMENTS
from marketdata.zones import ZoneError, utc_from_local
from trading.run.bodies.page import ZONES
from trading.run.spec import SessionSpec

_TIME = re.compile(r"^(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,6})?)?$", re.ASCII)
_DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
US_DIGITS = range(14, 18)  # 1973 … 2286: shorter numbers are no times
EXAMPLES = "15:42:07, 2026-11-29T15:42:07.5"


def venue_zone(spec: SessionSpec) -> str:
    """The zone in which the session's venue writes its times."""
    return ZONES[INSTRUMENTS[spec.instruments[0].symbol].venue]


def moment_us(text: str, zone: str, first_us: int, last_us: int) -> int:
    """`text` in zone `zone` → µs UTC; `first_us`, `last_us`: the session's span.  Raises ValueError with a sentence."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) in US_DIGITS:
        return int(text)
    if match := _TIME.match(text):
        return _of_day(match, zone, first_us, last_us)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a time like {EXAMPLES}") from None
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            raise ValueError(f"{text[:40]!r} is beyond the calendar; a time is like {EXAMPLES}") from None
        return _us(moment)
    return _utc(_us(moment), zone)


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _utc(local_us: int, zone: str) -> int:
    try:
        return int(utc_from_local(np.array([local_us * 1000]), zone)[0]) // 1000
    except (ZoneError, OverflowError) as error:
        raise ValueError(str(error)) from None


def _of_day(match: "re.Match[str]", zone: str, first_us: int, last_us: int) -> int:
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"{match[0]!r} is not a time of day like {EXAMPLES}")
    of_day = ((hour * 60 + minute) * 60 + second) * 1_000_000 + round(float(match[4] or 0) * 1_000_000)
    found, fault = [], ""
    for day in range(first_us // _DAY_US - 1, last_us // _DAY_US + 2):
        try:
            found.append(_utc(day * _DAY_US + of_day, zone))
        except ValueError as error:  # the clocks changed in this hour of this day
            fault = str(error)
    if not found:
        raise ValueError(fault)
    return min(found, key=lambda us: max(first_us - us, us - last_us, 0))
