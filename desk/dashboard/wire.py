"""What goes over the socket: hello, snap and frames as JSON text, and what one socket has already been sent.

Composed from the JSON texts of the Hub without decoding them again, once for all sockets at the same place.  State keys
carry their last value; rows are numbered without gaps, and what fell out of the kept rows is named as a gap.  No clock
and no socket in here.
"""

from typing import Any, NamedTuple

import msgspec

from desk.dashboard.hub import Picture

PROTOCOL = 1
HZ = 20  # the most; a page may ask for less
FRAME_BYTES_MAX = 64_000  # more waits for the next frame
HOPS = ("venue", "feed", "bus", "worker", "web")
STRIP_KEYS = frozenset({"mode", "clock", "holds", "alerts"})  # all that a page with nothing but the strip is told
LOOPS = ("feed", "inference", "risk", "execution", "sinks")
# panel → [ageing, stale] in ms of knowledge: beats of the loops come once a second, so "stale" leaves room for one
THRESHOLDS = {"market": [1200, 2500], "state": [1000, 2000], "loops": [2000, 3500]}
# hop → age in ms from which it is named as the dead one
HOP_LIMITS = {"feed": 2500, "bus": 1500, "worker": 1500, "web": 1000, "browser": 1000}


def hello(*, user: str, rights: list[str], epoch: str, build: str, hz: int = HZ) -> str:
    """The first message: who is signed in, what they may do, the rate of this socket, and the limits of freshness."""
    return text(
        {
            "k": "hello",
            "proto": PROTOCOL,
            "build": build,
            "user": user,
            "rights": rights,
            "epoch": epoch,
            "hz": hz,
            "thresholds": THRESHOLDS,
            "hop_limits": HOP_LIMITS,
        }
    )


def text(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


class Composed(NamedTuple):
    """The part of a message that is the same for every socket at one place, and the place where it leads."""

    body: str  # JSON members, without the opening brace
    sent: dict[str, int]  # field → its count as sent; shared, never changed
    to: dict[str, int]  # stream → number of its last row; shared, never changed
    skipped: int
    version: int | None  # the picture's, None where something had to wait for the next frame


class Cursor:
    """One socket's place in one picture.  `frame` returns the next message, which the page must acknowledge.

    `only` names the keys to send, without any rows; None sends everything.  Sockets that have seen the same version get
    the same changes: they are composed once and kept in the picture until it changes again; only number, skipped and
    beats are a socket's own.
    """

    def __init__(self, picture: Picture, only: frozenset[str] | None = None) -> None:
        self.picture = picture
        self.only = only
        self.n = 0
        self.skipped = 0
        self._epoch, self._seq = "", 0
        self._sent: dict[str, int] = {}
        self._to: dict[str, int] = {}
        self._version: int | None = None

    def restart(self) -> None:
        """The next message is a whole picture."""
        self._epoch = ""

    def frame(self, hops: dict[str, int | None]) -> str:
        """A snap when the page has none of this epoch or seq fell, else what changed.  `hops`: boot µs of beats."""
        picture, epoch = self.picture, self.epoch
        self.n += 1
        whole = self._epoch != epoch or picture.seq < self._seq
        self._seq, self._epoch = picture.seq, epoch
        place = None if not whole and self._version is None else ("snap" if whole else self._version, self.only)
        found: Composed | None = picture.shared.get(place) if place is not None else None
        if found is None:
            found = self._snap() if whole else self._changes()
            if place is not None:
                picture.shared[place] = found
        self._sent, self._to, self._version = found.sent, found.to, found.version
        self.skipped += found.skipped
        kind = "snap" if whole else "f"
        own = msgspec.json.encode(hops).decode()
        return f'{{"k":"{kind}","n":{self.n},"skipped":{self.skipped},"t":{own},{found.body}'

    @property
    def epoch(self) -> str:
        return f"{self.picture.key}.{self.picture.epoch}.{self.picture.generation}"

    def _wants(self, name: str) -> bool:
        return self.only is None or name in self.only

    def _body(self, values: dict[str, bytes], rows: dict[str, Any]) -> str:
        """Members of the message.  `oldest`, `newest`: boot µs at which the oldest and the newest of it were made."""
        picture = self.picture
        names = (*values, *(f"rows:{name}" for name in rows))
        known = [picture.made_us[name] for name in names if name in picture.made_us]
        oldest = min(known) if len(known) == len(names) > 0 else None
        body = {"epoch": self.epoch, "seq": picture.seq, "oldest": oldest, "newest": picture.newest_us}
        return text({**body, "d": _raw(values), "rows": rows})[1:]

    def _snap(self) -> Composed:
        picture = self.picture
        values = {name: value for name, value in picture.values.items() if self._wants(name)}
        streams = picture.rows.items() if self.only is None else ()
        rows = {name: {"to": stream.to, "items": stream.items} for name, stream in streams}
        to = {name: stream.to for name, stream in picture.rows.items()}
        return Composed(self._body(values, rows), dict(picture.counts), to, 0, picture.version)

    def _changes(self) -> Composed:
        picture, size, skipped = self.picture, 0, 0
        sent, version = dict(self._sent), picture.version
        changed: dict[str, bytes] = {}
        for name, count in picture.counts.items():
            before = sent.get(name, -1)
            if count == before or not self._wants(name):
                continue
            size += len(picture.values[name])
            if changed and size > FRAME_BYTES_MAX:
                version = -1
                break
            changed[name] = picture.values[name]
            skipped += max(0, count - before - 1) if before >= 0 else 0
            sent[name] = count
        names = picture.rows if self.only is None else ()
        rows = {name: new for name in names if (new := self._new_rows(name)) is not None}
        to = self._to | {name: new["to"] for name, new in rows.items()}
        return Composed(self._body(changed, rows), sent, to, skipped, None if version < 0 else version)

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
        return {"from": last + 1, "to": stream.to, "items": items}


def _raw(values: dict[str, bytes]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(value) for name, value in values.items()}


def hops(picture: Picture, heard_us: int, now_us: int) -> dict[str, int | None]:
    """Boot µs of the last sign of life of each hop and loop; None where there was none."""
    found: dict[str, int | None] = {name: picture.beats.get(name) for name in (*HOPS, *LOOPS)}
    return found | {"bus": heard_us or None, "web": now_us}
