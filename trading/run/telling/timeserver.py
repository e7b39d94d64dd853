"""The machine's clock against a time server: hold CLOCK_OFFSET (T-09).

SNTP version 4 (RFC 4330) over UDP: four stamps give offset and round trip.  Of the last eight answers the one with the
shortest way counts, as in NTP's clock filter; a clock that was set since then moves its offset at once.  No answer is
no offset, never a good one.  Asked by a thread of its own; the risk loop reads what it found.
"""

import secrets
import socket
import struct
import threading
import time
from collections import deque
from typing import NamedTuple

from trading.run.clock import boot_ns

PACKET = struct.Struct(">BBbb11I")
SINCE_1900_S = 2_208_988_800
EVERY_S = 16.0
TIMEOUT_S = 2.0
ROUND_NS_MAX = 500_000_000  # of an answer that took longer the offset may be as far off as it was long
KEPT = 8
OFFSET_NS_MAX = 50_000_000
UNKNOWN_NS = 300_000_000_000  # boot clock: so long without an answer the offset is unknown
FIRST_NS = 10_000_000_000  # boot clock: so long the first answer is waited for
SET_NS = 1_000_000  # a clock that moved by less was read, not set


class NoAnswer(RuntimeError):
    """The server is away, or said nothing that can be used."""


class Offset(NamedTuple):
    """The server's clock less ours, ns; `round_ns`: how long the answer took; `boot`: when it came (boot clock).

    `begun_ns`: our wall clock less the boot clock then.
    """

    offset_ns: int
    round_ns: int
    boot: int
    begun_ns: int


def begun_ns() -> int:
    """The wall clock less the boot clock, ns: moves where the wall clock is set.  The quickest of three readings."""
    readings = []
    for _ in range(3):
        before, wall, after = boot_ns(), time.time_ns(), boot_ns()
        readings.append((after - before, wall - (before + after) // 2))
    return min(readings)[1]


def ask(server: tuple[str, int], timeout_s: float = TIMEOUT_S) -> Offset:
    """One question.  Raises NoAnswer."""
    nonce = secrets.randbits(64)  # comes back as the originate stamp: an answer to another question is none
    question = PACKET.pack(0x23, *[0] * 12, nonce >> 32, nonce & 0xFFFFFFFF)
    try:
        with socket.socket(socket.getaddrinfo(*server, type=socket.SOCK_DGRAM)[0][0], socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout_s)
            sock.connect(server)
            set_ns, sent = begun_ns(), boot_ns()
            sock.send(question)
            data = sock.recv(512)
            came = boot_ns()
    except OSError as error:
        raise NoAnswer(f"no answer from {server[0]}:{server[1]} ({error})") from error
    return read(data, nonce, set_ns + sent, came - sent, came)


def read(data: bytes, nonce: int, sent_ns: int, round_ns: int, came_boot: int) -> Offset:
    """An answer.  `sent_ns`: our wall clock at the question; `round_ns`: what passed since, by the boot clock.

    A wall clock that is set meanwhile moves nothing: the fourth stamp is the first and what passed.  Raises NoAnswer.
    """
    if len(data) < PACKET.size:
        raise NoAnswer("the answer is too short")
    first, stratum, *rest = PACKET.unpack_from(data)
    heard, told = _ns(rest[9], rest[10]), _ns(rest[11], rest[12])
    if first & 7 != 4 or first >> 6 == 3 or not 1 <= stratum <= 15 or (rest[7] << 32 | rest[8]) != nonce:
        raise NoAnswer("the server is not in time, or this answers another question")
    if rest[11] == 0 or told < heard:
        raise NoAnswer("the answer has no time")
    way_ns = round_ns - (told - heard)
    if not 0 <= way_ns <= ROUND_NS_MAX:
        raise NoAnswer(f"the answer took {round_ns / 1e6:.0f} ms")
    came_ns = sent_ns + round_ns
    return Offset(((heard - sent_ns) + (told - came_ns)) // 2, way_ns, came_boot, came_ns - came_boot)


def _ns(seconds: int, fraction: int) -> int:
    """A stamp of 1900 or, from 2036 on, of the era after it, as Unix time."""
    era = 0 if seconds & 0x80000000 else 1 << 32
    return (seconds + era - SINCE_1900_S) * 1_000_000_000 + (fraction * 1_000_000_000 >> 32)


class TimeWatch:
    """Asks one server until `close`.  `fault`: what the last question met, empty after an answer."""

    def __init__(self, server: tuple[str, int], every_s: float = EVERY_S) -> None:
        self._server, self._every_s = server, every_s
        self._kept: deque[Offset] = deque(maxlen=KEPT)
        self._ended = threading.Event()
        self.begun = boot_ns()
        self.fault = "nobody was asked yet"
        self._thread = threading.Thread(target=self._run, name="time server", daemon=True)
        self._thread.start()

    def offset(self, boot: int) -> Offset | None:
        """The best of the last answers, for our clock as it is set now; None: the offset is not known."""
        fresh = [one for one in tuple(self._kept) if boot - one.boot <= UNKNOWN_NS]
        if not fresh:
            return None
        best, begun = min(fresh, key=lambda one: one.round_ns), begun_ns()
        moved_ns = begun - best.begun_ns
        return best if abs(moved_ns) < SET_NS else best._replace(offset_ns=best.offset_ns - moved_ns, begun_ns=begun)

    def is_off(self, boot: int) -> tuple[bool, int] | None:
        """Whether entries must wait, and the offset (ns; 0: unknown); None while the first answer may still come."""
        found = self.offset(boot)
        if found is not None:
            return abs(found.offset_ns) > OFFSET_NS_MAX, found.offset_ns
        return None if boot - self.begun < FIRST_NS else (True, 0)

    def close(self) -> None:
        """No question more; one that is under way ends by itself."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._kept.append(ask(self._server))
                self.fault = ""
            except NoAnswer as error:
                self.fault = str(error)
            self._ended.wait(self._every_s)
