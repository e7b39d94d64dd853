"""The ways out of the desk: a webhook, a command of this machine, a file.  Each takes a batch or says why not.

`DESK_ALERT_CHANNELS` names them in the order of escalation, parted by semicolons: `https://…` is posted to,
`command:…` is run with the batch on its standard input, `file:/…` is appended to.  Addresses may hold secrets: only
`name` is shown.  Used by `teller` and `sender`.
"""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import msgspec

from desk.alerts.kinds import SEVERITIES, Alert

TIMEOUT_S = 3.0
TEXT_MAX = 2000  # characters
CUT = "\n… the rest stands on the page Alerts"


class ChannelError(ValueError):
    """A channel that cannot be understood; the message names it without its secrets."""


class SendFailed(RuntimeError):
    """The channel did not take it: away, too slow, or it refused."""


class Refused(SendFailed):
    """The channel is there and did not take this; another one it may take."""


class Channel(NamedTuple):
    """One way out.  `send(batch)` raises SendFailed.  `outside`: as far as the desk can tell it leaves this machine."""

    name: str
    send: Callable[[Sequence[Alert]], None]
    outside: bool


def parse(text: str) -> list[Channel]:
    """Channels in the order of escalation.  Raises ChannelError."""
    found = [_one(part.strip()) for part in text.split(";") if part.strip()]
    names = [channel.name for channel in found]
    return [c._replace(name=f"{c.name} #{i + 1}") if names.count(c.name) > 1 else c for i, c in enumerate(found)]


def file_channel(path: Path) -> Channel:
    """A file of this machine: what a desk has that names no channel."""
    return Channel(f"file {path.name}", lambda batch: _append(path, batch), outside=False)


def _one(text: str) -> Channel:
    scheme, _, rest = text.partition(":")
    if scheme in ("http", "https") and (host := urlsplit(text).hostname):
        return Channel(f"webhook {host}", lambda batch: post(text, body(batch)), outside=True)
    if scheme == "command" and rest:
        try:
            words = shlex.split(rest)
        except ValueError as error:
            raise ChannelError(f"command:… cannot be parted into words: {error}") from None
        return Channel(f"command {Path(words[0]).name}", lambda batch: _run(words, batch), outside=True)
    if scheme == "file" and Path(rest).is_absolute():
        return file_channel(Path(rest))
    raise ChannelError(f"{scheme}:… is no channel: https://…, command:… or file:/… is expected")


def by_urgency(batch: Sequence[Alert]) -> list[Alert]:
    """What is urgent first."""
    return sorted(batch, key=lambda alert: SEVERITIES.index(alert.severity))


def body(batch: Sequence[Alert]) -> dict[str, object]:
    """What is sent: one text for people (chat services show it), and each alert by itself for programs.

    The text begins with what is urgent and is never longer than TEXT_MAX: chat services refuse more.
    """
    words = "\n".join(f"[{alert.severity.upper()}] {alert.text}" for alert in by_urgency(batch))
    if len(words) > TEXT_MAX:
        words = words[: TEXT_MAX - len(CUT)] + CUT
    return {"text": words, "alerts": [msgspec.to_builtins(alert) for alert in batch]}


def post(url: str, content: dict[str, object]) -> None:
    """POST JSON.  Raises SendFailed, whose words do not hold the address."""
    try:
        answer = httpx.post(url, json=content, timeout=TIMEOUT_S, follow_redirects=False)
    except Exception as error:  # a proxy's or a certificate's setting raises what it likes
        raise SendFailed(f"no answer ({type(error).__name__})") from error
    if not answer.is_success:
        raise Refused(f"it answered {answer.status_code}")


def _run(words: list[str], batch: Sequence[Alert]) -> None:
    text = msgspec.json.encode(body(batch))
    try:
        done = subprocess.run(words, input=text, capture_output=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SendFailed(f"it did not end well ({type(error).__name__})") from error
    if done.returncode != 0:
        raise Refused(f"it ended with {done.returncode}")


def _append(path: Path, batch: Sequence[Alert]) -> None:
    lines = b"".join(msgspec.json.encode({"sent_ns": time.time_ns(), "alert": alert}) + b"\n" for alert in batch)
    try:
        with path.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SendFailed(f"the file takes nothing ({error.strerror})") from error
