"""What every feed is: an iterator over one tape of EVENTs, with a position that survives a takeover.

The feed loop calls `read` with the session clock's time and sends what it gets; it never asks where the data comes
from.  A feed reads no clock and writes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np


class FeedError(ValueError):
    """Input that cannot be used: one sentence that names the file, the row and what to do."""


class FeedSpec(Protocol):
    """What `registry.open_feed` reads of a session's feed; the record itself belongs to the floor above."""

    @property
    def name(self) -> str: ...

    @property
    def symbols(self) -> Sequence[str]:  # the index is EVENT.instrument
        ...

    @property
    def seed(self) -> int: ...

    @property
    def speed(self) -> float: ...

    @property
    def path(self) -> str: ...

    @property
    def schema(self) -> str: ...

    @property
    def options(self) -> Mapping[str, str]: ...


class Batch(NamedTuple):
    """Events in order of their time."""

    events: np.ndarray  # EVENT; ts_ns = ts_venue_ns, seq = 0, prices in ticks
    depths: np.ndarray  # DEPTH
    depth_of: np.ndarray  # int32 per event: index in `depths`, −1 for none
    position: int  # tape events emitted so far, back-fill excluded
    ended: bool


class Feed(Protocol):
    """One tape."""

    start_ns: int  # venue time at which the session begins; back-fill lies before it

    def backfill(self) -> Batch:
        """History before the start, flagged FLAG_BACKFILL."""
        ...

    def read(self, until_ns: int, limit: int) -> Batch:
        """The next events with ts_venue_ns <= until_ns, at most `limit`."""
        ...

    def next_ns(self) -> int:
        """Time of the next event; NO_TIME at the end."""
        ...

    def seek(self, position: int) -> None:
        """Go to this position, as after a takeover."""
        ...

    def close(self) -> None:
        """Release files; nothing can be read after it."""
        ...
