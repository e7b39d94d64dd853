"""The watch section of a profile: what the loops measure of themselves, and from when on entries wait for it.

MOEX-MON-04 and -05, MOEX-RISK-05.  Futures know none of these holds.  A profile that says nothing has the document's
numbers; `schema` composes the section with the others.
"""

from typing import Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from trading.run.spec import WATCH

TIME_UNITS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


class Section(BaseModel):
    """Unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def time_ns(text: object) -> int | None:
    """ "20 ms" → ns; None for what is no time."""
    number, _, unit = str(text).partition(" ")
    return int(number) * TIME_UNITS[unit] if unit in TIME_UNITS and number.isdigit() else None


class Between(NamedTuple):
    """Bounds of a time, as a profile writes it; the metadata of its field."""

    low: str
    high: str

    def __call__(self, value: object) -> str:
        """The value, if it is a time within the bounds."""
        ns, low_ns, high_ns = time_ns(value), time_ns(self.low), time_ns(self.high)
        if ns is None or low_ns is None or high_ns is None or not low_ns <= ns <= high_ns:
            text = f"{value!r} is not a time of {self.low} to {self.high} with its unit ({', '.join(TIME_UNITS)})"
            raise PydanticCustomError("desk", "{text}", {"text": text})
        return str(value)


def _text(ns: int) -> str:
    unit = next(unit for unit in reversed(TIME_UNITS) if ns % TIME_UNITS[unit] == 0)
    return f"{ns // TIME_UNITS[unit]} {unit}"


_STAGE, _WAIT = Between("100 us", "10 s"), Between("1 s", "600 s")
Stage = Annotated[str, BeforeValidator(_STAGE), _STAGE]
Wait = Annotated[str, BeforeValidator(_WAIT), _WAIT]


def _limit(name: str, text: str) -> str:
    default: str = Field(default=_text(WATCH[name]), description=text)
    return default


class WatchSection(Section):
    """Times with their unit; the third sample of a stage in a row above its limit raises LATENCY."""

    book_max: Stage = _limit("book", "longest time that taking in one book may take (LATENCY)")
    features_max: Stage = _limit("features", "longest time that a row of features may take (LATENCY)")
    ml_max: Stage = _limit("ml", "longest time that a score of it may take (LATENCY)")
    risk_max: Stage = _limit("risk", "longest time that the risk step may take (LATENCY)")
    broker_max: Stage = _limit("broker", "longest time from sending an order to its acknowledgement (LATENCY)")
    heartbeat: Wait = _limit("heartbeat", "how often a book is due in an open session; three missed raise HEARTBEAT")
    fallback: Wait = _limit("fallback", "how long the network may give no score until ML_FALLBACK")

    def limits(self) -> dict[str, int]:
        """Names of WATCH → ns."""
        return {name: time_ns(getattr(self, _key(name))) or WATCH[name] for name in WATCH}


def _key(name: str) -> str:
    return name if name in WatchSection.model_fields else f"{name}_max"
