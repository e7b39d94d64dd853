"""What the feed loop's engine needs and is too slow for the loop: what is held and works, and its memory on disk.

One thread.  It follows the session's journal with a kernel of its own, from the newest snapshot on, so it knows
positions, working orders and the last reconciliation exactly as the risk loop does; and it writes the newest memory
that it was given.  While it does not know, everything counts as held.  It decides nothing and sends nothing.
"""

import threading
from collections import deque
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog

from marketdata.core.records import NO_TIME
from trading.core import orders as life
from trading.run.clock import boot_ns, write_atomic
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import Replayer, load_snapshot
from trading.run.journal.segment import JournalBroken
from trading.run.replica import Kernel

POLL_S = 0.1
CHUNK = 512
STOP_S = 2.0  # a loop that ends holds its lease so long
IS_OPEN = np.array([bool(life.is_open(status)) for status in range(len(life.STATUSES))])
log = structlog.get_logger("trading.engine")


class View(NamedTuple):
    """The session as the journal has it.  `pinned`: (instruments,) bool, a position or a working order."""

    pinned: np.ndarray
    reconciled_ns: int  # session time of the last reconciliation that stands; NO_TIME: none does
    seq: int
    boot_ns: int  # when the journal was last read to its end
    fault: str = ""


class Aide(threading.Thread):
    """The thread of one session's engine; `view` and `keep` are for the loop, and never wait."""

    def __init__(self, folder: Path, count: int, file: Path) -> None:
        super().__init__(name=f"engine of {folder.name}", daemon=True)
        self._folder, self._count, self._file = folder, count, file
        self._ending, self._read = threading.Event(), threading.Event()
        self._waiting: deque[bytes] = deque(maxlen=1)  # the newest memory that is not on disk
        self._seq = 0
        self.view = View(np.ones(count, bool), NO_TIME, 0, 0)
        self.kept = 0  # memories written
        self.fault = ""  # of the disk

    def keep(self, data: bytes) -> None:
        """To be on disk soon; only the newest is written."""
        self._waiting.append(data)

    def first_view(self, wait_s: float) -> View:
        """The view once the journal was read to its end, or cannot be; that from before when it takes longer."""
        self._read.wait(wait_s)
        return self.view

    def end(self) -> None:
        """Write what waits, and end."""
        self._ending.set()
        if self.is_alive():
            self.join(STOP_S)

    def run(self) -> None:
        """See Thread."""
        try:
            self._follow()
        except Exception as error:  # whatever it is: a view that stands still would let go of a book that is held
            told = f"{type(error).__name__}: {error}"
            expected = isinstance(error, JournalBroken | OSError)
            log.warning("engine_cannot_follow", session=self._folder.name, error=told, exc_info=not expected)
            self._unknown(told)
            while not self._ending.wait(POLL_S):
                self._write()
        self._write()

    def _follow(self) -> None:
        reader = JournalReader(self._folder)
        start = load_snapshot(self._folder, reader, reader.last_seq())
        replayer = Replayer(Kernel() if start is None else start.kernel)
        self._seq = replayer.kernel.seq
        while not self._ending.is_set():
            frames = reader.read(self._seq, CHUNK)
            if len(frames) > 0:
                if (difference := replayer.feed(frames["event"])) is not None:
                    raise JournalBroken(f"the journal differs from this code at seq {difference.seq}")
                self._seq += len(frames)
            if len(frames) < CHUNK:
                self._see(replayer.kernel)
                self._write()
                self._ending.wait(POLL_S)

    def _see(self, kernel: Kernel) -> None:
        """What the kernel knows now."""
        account, orders = kernel.state.account[0], kernel.state.orders
        pinned = kernel.state.positions["qty"][: self._count] != 0
        works = (orders["number"] > 0) & IS_OPEN[orders["status"]]
        pinned[orders["instrument"][works]] = True
        at_ns = int(account.recon_ts_ns) if account.reconciled == 1 else NO_TIME
        self.view = View(pinned, at_ns, self._seq, boot_ns())
        self._read.set()

    def _unknown(self, fault: str) -> None:
        self.view = View(np.ones(self._count, bool), NO_TIME, self._seq, self.view.boot_ns, fault)
        self._read.set()

    def _write(self) -> None:
        if not self._waiting:
            return
        try:
            write_atomic(self._file, self._waiting.popleft())
            self.kept, self.fault = self.kept + 1, ""
        except OSError as error:
            if not self.fault:
                log.warning("engine_not_kept", session=self._folder.name, error=str(error))
            self.fault = f"{type(error).__name__}: {error}"
