"""The session's clock: one record per session that turns the machine's boot clock into session time.

The feed loop stamps it at the first start (`clock.json`, atomic rename) and every other loop reads it, so freshness,
paper latency, valid-until and phases mean the same at 1x as at 64x.  Leases, heartbeats and the kill use the boot clock
alone.  Nothing in here sleeps, and no rule in `core/` knows which clock it is given.
"""

import os
import threading
import time
from pathlib import Path

import msgspec

from marketdata.core.records import NO_TIME

CLOCK_FILE = "clock.json"
TAPE = 0.0  # speed: as fast as the streams take it; session time is that of the newest event seen
SPEED_MAX = 1000.0


class ClockMissing(RuntimeError):
    """The session has no clock yet: its feed loop has never started."""


class ClockRecord(msgspec.Struct, frozen=True):
    """What `clock.json` holds.  `start_ns`: session time at boot clock `boot_ns`; `boot_id`: the boot it belongs to."""

    start_ns: int
    boot_ns: int
    speed: float
    boot_id: str = ""


def boot_ns() -> int:
    """The machine's boot clock: ns, monotonic, goes on during suspend, common to all processes."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Name of this boot of the machine; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class SessionClock:
    """Session time from the boot clock.  With speed TAPE it stands still until `observe` is told a newer event."""

    def __init__(self, start_ns: int, boot: int, speed: float) -> None:
        if speed != TAPE and not 0 < speed <= SPEED_MAX:
            raise ValueError(f"speed {speed} is neither 0 (tape) nor within 0 .. {SPEED_MAX:.0f}")
        self.start_ns = start_ns
        self.boot_ns = boot
        self.speed = speed
        self._milli = round(speed * 1000)  # integers: a float of ns loses the last digits
        self._seen_ns = start_ns

    @property
    def tape(self) -> bool:
        """True when session time follows the events instead of the machine."""
        return self.speed == TAPE

    def now(self, boot: int | None = None) -> int:
        """Session time in ns UTC at boot clock `boot` (default: this moment)."""
        if self.tape:
            return self._seen_ns
        return self.start_ns + ((boot_ns() if boot is None else boot) - self.boot_ns) * self._milli // 1000

    def observe(self, ts_ns: int) -> None:
        """Tell a tape clock the time of an event; older ones change nothing."""
        if ts_ns != NO_TIME and ts_ns > self._seen_ns:
            self._seen_ns = ts_ns

    def wait_s(self, ts_ns: int, boot: int | None = None) -> float:
        """Real seconds from `boot` until session time `ts_ns`; 0 when it has come, and always 0 on a tape."""
        if self.tape:
            return 0.0
        return max(0.0, (ts_ns - self.now(boot)) / (self.speed * 1e9))

    def record(self) -> ClockRecord:
        """The record to store."""
        return ClockRecord(self.start_ns, self.boot_ns, self.speed, boot_id())


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: temporary file beside it, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}.tmp")  # workers have threads
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save_clock(folder: Path, clock: SessionClock) -> None:
    """Store the session's clock in its folder."""
    write_atomic(folder / CLOCK_FILE, msgspec.json.encode(clock.record()))


def load_clock(folder: Path) -> SessionClock:
    """The session's clock.  Raises ClockMissing while the feed loop has never stamped one."""
    try:
        data = (folder / CLOCK_FILE).read_bytes()
    except FileNotFoundError:
        raise ClockMissing(f"{folder / CLOCK_FILE} does not exist yet; the feed loop stamps it") from None
    record = msgspec.json.decode(data, type=ClockRecord)
    return SessionClock(record.start_ns, record.boot_ns, record.speed)


def clock_is_stale(folder: Path) -> bool:
    """True when the stored clock belongs to another boot of the machine, whose boot clock began anew."""
    record = msgspec.json.decode((folder / CLOCK_FILE).read_bytes(), type=ClockRecord)
    return record.boot_id not in ("", boot_id())
