"""What goes over the socket: hello, snap and frames as JSON text, and what one socket has already been sent.

Composed from the JSON texts of the Hub without decoding them again.  State keys carry their last value; rows are
numbered without gaps, and what fell out of the kept rows is named as a gap.  No clock and no socket in here.
"""

from typing import Any

import msgspec

from desk.dashboard.hub import Picture

PROTOCOL = 1
HZ = 20
FRAME_BYTES_MAX = 64_000  # more waits for the next frame
HOPS = ("venue", "feed", "bus", "worker", "web")
STRIP_KEYS = frozenset({"mode", "clock", "holds"})  # all that a page with nothing but the strip is told
LOOPS = ("feed", "inference", "risk", "execution", "sinks")
# panel → [ageing, stale] in ms of knowledge: beats of the loops come once a second, so "stale" leaves room for one
THRESHOLDS = {"market": [1200, 2500], "state": [1000, 2000], "loops": [2000, 3500]}
# hop → age in ms from which it is named as the dead one
HOP_LIMITS = {"feed": 2500, "bus": 1500, "worker": 1500, "web": 1000, "browser": 1000}


def hello(*, user: str, rights: list[str], epoch: str, build: str) -> str:
    """The first message: who is signed in, what they may do, and the limits of freshness."""
    return text(
        {
            "k": "hello",
            "proto": PROTOCOL,
            "build": build,
            "user": user,
            "rights": rights,
            "epoch": epoch,
            "hz": HZ,
            "thresholds": THRESHOLDS,
            "hop_limits": HOP_LIMITS,
        }
    )


def text(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


class Cursor:
    """One socket's place in one picture.  `frame` returns the next message, which the page must acknowledge.

    `only` names the keys to send, without any rows; None sends everything.
    """

    def __init__(self, picture: Picture, only: frozenset[str] | None = None) -> None:
        self.picture = picture
        self.only = only
        self.n = 0
        self.skipped = 0
        self._epoch, self._seq = "", 0
        self._sent: dict[str, int] = {}
        self._to: dict[str, int] = {}

    def restart(self) -> None:
        """The next message is a whole picture."""
        self._epoch = ""

    def frame(self, hops: dict[str, int | None]) -> str:
        """A snap when the page has none of this epoch or seq fell, else what changed.  `hops`: boot µs of beats."""
        self.n += 1
        whole = self._epoch != self.epoch or self.picture.seq < self._seq
        self._seq = self.picture.seq
        return self._snap(hops) if whole else self._changes(hops)

    @property
    def epoch(self) -> str:
        return f"{self.picture.key}.{self.picture.epoch}.{self.picture.generation}"

    def _snap(self, hops: dict[str, int | None]) -> str:
        picture = self.picture
        self._epoch = self.epoch
        self._sent = dict(picture.counts)
        self._to = {name: rows.to for name, rows in picture.rows.items()}
        values = {name: value for name, value in picture.values.items() if self._wants(name)}
        streams = picture.rows.items() if self.only is None else ()
        rows = {name: {"to": stream.to, "items": stream.items} for name, stream in streams}
        body = {"k": "snap", "n": self.n, "epoch": self.epoch, "seq": picture.seq, "t": hops}
        return text({**body, "d": _raw(values), "rows": rows, "skipped": self.skipped})

    def _wants(self, name: str) -> bool:
        return self.only is None or name in self.only

    def _changes(self, hops: dict[str, int | None]) -> str:
        picture, size = self.picture, 0
        changed: dict[str, bytes] = {}
        for name, count in picture.counts.items():
            before = self._sent.get(name, -1)
            if count == before or not self._wants(name):
                continue
            size += len(picture.values[name])
            if changed and size > FRAME_BYTES_MAX:
                break
            changed[name] = picture.values[name]
            self.skipped += max(0, count - before - 1) if before >= 0 else 0
            self._sent[name] = count
        streams = picture.rows if self.only is None else {}
        rows = {name: new for name in streams if (new := self._new_rows(name)) is not None}
        body = {"k": "f", "n": self.n, "epoch": self.epoch, "seq": picture.seq, "t": hops}
        return text({**body, "d": _raw(changed), "rows": rows, "skipped": self.skipped})

    def _new_rows(self, name: str) -> dict[str, Any] | None:
        """The rows after the last one sent; those that are no longer kept are named as one gap item."""
        stream = self.picture.rows[name]
        last = self._to.get(name, 0)
        if stream.to == last:
            return None
        missing = max(0, stream.to - last - len(stream.items))
        items: list[Any] = stream.items[len(stream.items) - (stream.to - last - missing) :]
        if missing > 0:
            items = [{"gap": missing}, *items]
        self._to[name] = stream.to
        return {"from": last + 1, "to": stream.to, "items": items}


def _raw(values: dict[str, bytes]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(value) for name, value in values.items()}


def hops(picture: Picture, heard_us: int, now_us: int) -> dict[str, int | None]:
    """Boot µs of the last sign of life of each hop and loop; None where there was none."""
    found: dict[str, int | None] = {name: picture.beats.get(name) for name in (*HOPS, *LOOPS)}
    return found | {"bus": heard_us or None, "web": now_us}
