"""A study's subject and its trials as plain values and bytes, for workers that are no children of the one who asks.

Nothing that arrives is ever executed or unpickled: a subject names its strategy, its instrument and its bars, and a
worker opens them by itself.  What a trial is made of comes back to the last bit.  Called by `trading.studies`.
"""

import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from marketdata.calendars import Session
from marketdata.core.instruments import instrument
from trading.research.records import Days
from trading.research.search.space import Parameter, Space
from trading.run.backtest.plan import Calendar
from trading.run.search.ledger import Trial
from trading.run.search.trial import Subject

LEVEL = 1  # of compression: days and clocks shrink to a tenth, and it costs microseconds


def to_values(subject: Subject) -> dict[str, Any]:
    """A subject as JSON values."""
    return {
        **subject._asdict(),
        "tape": str(subject.tape),
        "calendar": [[int(value) for value in session] for session in subject.calendar.sessions],
        "instrument": subject.instrument.symbol,
        "arguments": [list(pair) for pair in subject.arguments],
        "space": [
            {
                "path": item.path,
                "values": list(item.values),
                "ordered": item.ordered,
                "when": [list(pair) for pair in item.when],
            }
            for item in subject.space.parameters
        ],
    }


def from_values(values: dict[str, Any]) -> Subject:
    """The subject again, equal in every trial that it decides."""
    space = [
        Parameter(item["path"], tuple(item["values"]), item["ordered"], tuple((p, v) for p, v in item["when"]))
        for item in values["space"]
    ]
    opened: dict[str, Any] = {
        **values,
        "tape": Path(values["tape"]),
        "calendar": Calendar([Session(*row) for row in values["calendar"]]),
        "instrument": instrument(values["instrument"]),
        "arguments": tuple((name, value) for name, value in values["arguments"]),
        "space": Space(tuple(space)),
    }
    return Subject(**opened)


def pack(trial: Trial) -> bytes:
    """A trial as bytes."""
    days = trial.days
    values = trial._asdict() | {
        "point": list(trial.point),
        "score": _float(trial.score),
        "sharpe": _float(trial.sharpe),
        "days": None if days is None else [int(days.start_ns), int(days.start_micros), *map(_bytes, _columns(days))],
        "curve": _bytes(trial.curve),
    }
    return zlib.compress(msgspec.msgpack.encode(values), LEVEL)


def unpack(packed: bytes) -> Trial:
    """The trial again."""
    values = msgspec.msgpack.decode(zlib.decompress(packed))
    days = values["days"]
    if days is not None:
        start_ns, start_micros, *columns = days
        values["days"] = Days(start_ns, start_micros, *(np.frombuffer(column, np.int64) for column in columns))
    values["point"] = tuple(values["point"])
    values["curve"] = np.frombuffer(values["curve"], np.int64).reshape(2, -1)
    return Trial(**values)


def _columns(days: Days) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return days.trading_day, days.close_ns, days.equity_micros


def _bytes(column: np.ndarray) -> bytes:
    return np.ascontiguousarray(column, np.int64).tobytes()


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)  # numpy's own kind is not packed
