"""One thread for each channel: a slow receiver holds up nobody but itself, and what waits for it goes as one batch.

A batch that was refused goes once more, one by one, what is urgent first: it may be too long, or one in it wrong.
Whatever a send does, there is a result within SEND_S.  Results come back through a queue that the teller empties.
Called by `teller` alone.
"""

import queue
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from desk.alerts.channels import Channel, Refused, SendFailed, by_urgency
from desk.alerts.kinds import Alert

BATCH_MAX = 50
SEND_S = 10.0  # a receiver that trickles its answer takes no longer
SINGLY_S = 10.0  # after a refused batch; what is left then waits for its next turn
HUNG_MAX = 8  # sends of one channel that did not end
log = structlog.get_logger("desk.alerts")


class Result(NamedTuple):
    """What became of a batch.  `why`: empty when the channel took it."""

    channel: int
    uids: list[str]
    why: str


class Senders:
    """The threads of all channels.  `send_s`: how long one send may take."""

    def __init__(self, channels: Sequence[Channel], send_s: float = SEND_S) -> None:
        self._send_s = send_s
        self._hung: list[list[threading.Thread]] = [[] for _ in channels]
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
            batch: dict[str, Alert] = {}  # put again while it waited it is sent once
            item = waiting.get()
            while item is not None:
                batch[item.uid] = item
                if len(batch) == BATCH_MAX or waiting.empty():
                    break
                item = waiting.get()
            ended = item is None
            if batch:
                self._deliver(number, channel, by_urgency(list(batch.values())))

    def _deliver(self, number: int, channel: Channel, batch: list[Alert]) -> None:
        fault = self._send(number, channel, batch)
        if len(batch) == 1 or not isinstance(fault, Refused):
            self._results.put(Result(number, [alert.uid for alert in batch], str(fault or "")))
            return
        end = time.monotonic() + SINGLY_S
        for alert in batch:
            if time.monotonic() >= end:
                fault = SendFailed("it took too long, one by one")
            elif isinstance(fault, Refused | None):
                fault = self._send(number, channel, [alert])
            self._results.put(Result(number, [alert.uid], str(fault or "")))

    def _send(self, number: int, channel: Channel, batch: list[Alert]) -> SendFailed | None:
        """What came of it; None: the channel took it.  Whatever it raises, and however long it takes."""
        hung = self._hung[number] = [thread for thread in self._hung[number] if thread.is_alive()]
        if len(hung) >= HUNG_MAX:
            return SendFailed("what was sent before has not ended")
        came: queue.SimpleQueue[SendFailed | None] = queue.SimpleQueue()
        thread = threading.Thread(target=_attempt, args=(channel, batch, came), name=channel.name, daemon=True)
        try:
            thread.start()
            return came.get(timeout=self._send_s)
        except queue.Empty:
            hung.append(thread)
            return SendFailed(f"it did not end within {self._send_s:.0f} s")
        except RuntimeError:  # the machine gives no thread
            return SendFailed("no thread for it")


def _attempt(channel: Channel, batch: list[Alert], came: "queue.SimpleQueue[SendFailed | None]") -> None:
    try:
        channel.send(batch)
    except SendFailed as error:
        came.put(error)
    except Exception as error:  # noqa: BLE001 - a thread that died would strand every alert behind it
        log.error("alerts_send_failed", channel=channel.name, error=type(error).__name__)  # its words may hold secrets
        came.put(SendFailed(f"it failed ({type(error).__name__})"))
    else:
        came.put(None)
