"""The venue's wire format: length-prefixed msgpack frames over a local stream socket, EVENTs and DEPTHs as raw bytes.

A frame is a u32 length (little endian) and one Call (client to venue) or Reply (venue to client; id 0 is a push).  Both
ends validate; a malformed frame ends the connection.  Used by the venue's process and by its clients, by nobody else.
"""

import struct
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from marketdata.core.records import EVENT
from trading.run.clock import ClockRecord

FRAME_BYTES_MAX = 64 * 1024 * 1024
ROLES = ("feed", "execution", "guard", "reconcile")
_LENGTH = struct.Struct("<I")

# Reply.error
REJECTED, RATE_LIMITED, FENCED = "rejected", "rate_limited", "fenced"
UNKNOWN_ACCOUNT, MALFORMED, UNAUTHORIZED = "unknown", "malformed", "unauthorized"


class WireError(ValueError):
    """A frame that is none: too long, not msgpack, or not of the agreed form."""


class InstrumentTerms(msgspec.Struct, frozen=True):
    """One instrument as the account may trade it; its index in Terms.instruments is EVENT.instrument."""

    symbol: str
    values: dict[str, int]  # names of SPEC_FIELDS


class Terms(msgspec.Struct, frozen=True):
    """What an account is opened with; never changes while the account exists."""

    fill_model: str
    currency: str
    instruments: list[InstrumentTerms]
    latency_ns: int = 0
    slip_ticks: int = 0
    seed: int = 0
    touch: bool = False
    slip_mode: str = "fixed"


class Call(msgspec.Struct, omit_defaults=True):
    """One request.  `after_ref` of hello: the last answer that the execution role has; -1: push nothing."""

    id: int
    verb: str
    account: str = ""
    role: str = ""
    fence: int = 0
    after_ref: int = -1
    number: int = 0
    position: int = -1
    on: bool = False
    event: bytes = b""
    depths: bytes = b""
    depth_of: bytes = b""
    terms: Terms | None = None
    clock: ClockRecord | None = None


class Reply(msgspec.Struct, omit_defaults=True):
    """One answer to a Call, or a push of EVENTs (id 0)."""

    id: int = 0
    error: str = ""
    text: str = ""
    events: bytes = b""
    positions: dict[int, int] = {}
    money: dict[int, tuple[int, int]] = {}
    ref: int = 0
    position: int = 0
    pending: int = 0
    cancelled: int = 0
    closed: int = 0
    blocked: bool = False


_ENCODER = msgspec.msgpack.Encoder()


def frame(message: Call | Reply) -> bytes:
    """A message as bytes for the socket."""
    body = _ENCODER.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise WireError(f"a frame of {len(body)} bytes is longer than {FRAME_BYTES_MAX}")
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Cuts a byte stream into messages of one type.  Raises WireError on what is none."""

    def __init__(self, kind: type[Call] | type[Reply]) -> None:
        self._buffer = bytearray()
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(kind)

    def feed(self, data: bytes) -> Iterator[Any]:
        """All messages that are complete with `data`."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > FRAME_BYTES_MAX:
                raise WireError(f"a frame of {length} bytes is longer than {FRAME_BYTES_MAX}")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            try:
                message = self._decoder.decode(bytes(self._buffer[start + _LENGTH.size : end]))
            except msgspec.MsgspecError as error:
                raise WireError(str(error)) from None
            start = end
            yield message
        del self._buffer[:start]


def events_of(data: bytes) -> np.ndarray:
    """EVENT array of raw bytes (a copy).  Raises WireError when they are no whole records."""
    if len(data) % EVENT.itemsize != 0:
        raise WireError(f"{len(data)} bytes are no whole number of events")
    return np.frombuffer(data, EVENT).copy()
