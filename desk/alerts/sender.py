"""One thread for each channel: a slow receiver holds up nobody but itself, and what waits for it goes as one batch.

Results come back through a queue that the teller empties.  Called by `teller` alone.
"""

import queue
import threading
from collections.abc import Sequence
from typing import NamedTuple

from desk.alerts.channels import Channel, SendFailed
from desk.alerts.kinds import Alert

BATCH_MAX = 50


class Result(NamedTuple):
    """What became of a batch.  `why`: empty when the channel took it."""

    channel: int
    uids: list[str]
    why: str


class Senders:
    """The threads of all channels."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._waiting: list[queue.SimpleQueue[Alert | None]] = [queue.SimpleQueue() for _ in channels]
        self._threads = []
        for i, channel in enumerate(channels):
            thread = threading.Thread(target=self._run, args=(i, channel), name=channel.name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def put(self, channel: int, alert: Alert) -> None:
        """Send it when the channel is free."""
        self._waiting[channel].put(alert)

    def results(self) -> list[Result]:
        """What has come back since the last call."""
        found = []
        while True:
            try:
                found.append(self._results.get_nowait())
            except queue.Empty:
                return found

    def close(self, timeout_s: float) -> None:
        """Let what waits go out, for so long at most."""
        for waiting in self._waiting:
            waiting.put(None)
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self, number: int, channel: Channel) -> None:
        waiting, ended = self._waiting[number], False
        while not ended:
            batch: list[Alert] = []
            item = waiting.get()
            while item is not None:
                batch.append(item)
                if len(batch) == BATCH_MAX or waiting.empty():
                    break
                item = waiting.get()
            ended = item is None
            if not batch:
                continue
            why = ""
            try:
                channel.send(batch)
            except SendFailed as error:
                why = str(error)
            self._results.put(Result(number, [alert.uid for alert in batch], why))
