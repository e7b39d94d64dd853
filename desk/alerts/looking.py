"""What no journal says: latch, statements, a Redis that is away, loops without a beat, limits that come near (T-04).

Each is told when it begins, once, and again only after it was over.  Reads files and Redis, never
the database.  Called by `teller`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from desk.alerts.kinds import URGENT, WARNING, Alert
from desk.alerts.watching import Watched
from marketdata.core.units import NANOS
from trading.run.latch import read_latch
from trading.run.streams import Board, StreamAway, StreamFull, make_client

NEAR_PCT, FAR_PCT = 80.0, 75.0  # told at the first, armed again below the second
SILENT_NS = 10 * NANOS  # a loop without a beat for so long; a takeover takes less
EVERY = "every"
STATEMENTS = Path("statements") / "open.json"
AWAY_LOOKS = 3  # Redis without an answer so often in a row
log = structlog.get_logger("desk.alerts")
# Of the gauges of a session those that come near; a position of one contract stands at its limit by itself.
NEARING = ("loss_day", "loss_total", "drawdown_day", "drawdown", "streak", "orders_open", "messages_60s")


class _Open(msgspec.Struct):
    """One row of the file of open statements, as `trading.statements` writes it."""

    id: int
    session: int
    key: str
    day: int
    fault: str
    differences: int

    def alert(self, at_ns: int) -> Alert:
        """The same one for the same statement, whenever it is looked at."""
        uid = f"{self.key}:statement:{self.id}"
        if self.fault:
            words = f"{self.key}: the statement of {self.day} is missing: {self.fault}"
            return Alert(uid, at_ns, WARNING, "STATEMENT_MISSING", words, self.session)
        words = f"{self.key}: the venue's statement of {self.day} and the ledger differ in {self.differences} points"
        return Alert(uid, at_ns, URGENT, "STATEMENT_DIFFERS", words, self.session)


class Looks:
    """Begun conditions by name."""

    def __init__(self, var: Path, redis_url: str) -> None:
        self._var, self._client = var, make_client(redis_url)
        self._standing: set[str] = set()
        self._missed: dict[str, int] = {}  # loops without a beat in this boot: since when
        self._away = 0

    @property
    def is_away(self) -> bool:
        """Whether Redis gave no answer when it was asked last."""
        return self._away > 0

    def look(self, watched: Iterable[Watched], at_ns: int, boot: int) -> list[Alert]:
        """What has begun since the last look.  `at_ns`: wall clock; `boot`: boot clock."""
        found = self._latch(at_ns) + self._statements(at_ns)
        try:
            for one in watched:
                found += self._session(one, at_ns, boot)
            self._away = 0
        except StreamAway as error:
            self._away += 1
            found += self._begin(self._away >= AWAY_LOOKS, "redis", at_ns, URGENT, f"Redis does not answer: {error}")
            return found
        self._standing.discard("redis")
        return found

    def show(self, watched: Iterable[Watched], text: bytes, boot: int) -> None:
        """Put the badge's value where the browsers of these sessions look; without Redis they know that it is gone."""
        try:
            for one in watched:
                Board(self._client, one.key).publish({"alerts": text}, boot)
        except StreamAway:
            self._away += 1
        except StreamFull:  # the badge ages where it is; the loops, which cannot write either, say why
            log.warning("alerts_badge_not_shown")

    def _latch(self, at_ns: int) -> list[Alert]:
        latch = read_latch(self._var)
        if latch is None:
            return []
        uid = f"latch:{latch['at_ns']}"  # a latch that falls anew is another one
        return [Alert(uid, at_ns, URGENT, "KILLED", f"the kill latch stands: {latch['by']}: {latch['reason']}")]

    def _statements(self, at_ns: int) -> list[Alert]:
        """Statements of days that are not the ledger's, or missing, as long as nobody settles them (T-03)."""
        try:
            rows = msgspec.json.decode((self._var / STATEMENTS).read_bytes(), type=list[_Open])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as error:
            return self._begin(True, "statements:UNREAD", at_ns, WARNING, f"open statements cannot be read: {error}")
        self._standing.discard("statements:UNREAD")
        return [row.alert(at_ns) for row in rows]

    def _session(self, one: Watched, at_ns: int, boot: int) -> list[Alert]:
        found: list[Alert] = []
        board = Board(self._client, one.key)
        beats: dict[str, int] = {}
        for name, text in board.health().items():
            row = msgspec.json.decode(text)
            if name.endswith(".run") and "beat_boot_ns" in row:
                beats[name.removesuffix(".run")] = int(row["beat_boot_ns"])
        beats[EVERY] = boot if beats else -1  # without a row there is nothing to name
        for loop, beat in beats.items():
            found += self._silence(one, loop, beat, at_ns, boot)
        for gauge in board.gauges():
            found += self._gauge(one, gauge, at_ns)
        return found

    def _silence(self, one: Watched, loop: str, beat: int, at_ns: int, boot: int) -> list[Alert]:
        """`beat`: boot clock, of this boot or of one before it; negative: none."""
        name = f"{one.key}:{loop}:SILENT"
        if 0 <= beat <= boot:
            self._missed.pop(name, None)
        else:  # a row that outlived its machine, or none: silent since we look
            beat = self._missed.setdefault(name, boot)
        silent = boot - beat
        which = f"the {loop} loop" if loop != EVERY else "every loop"
        words = f"{one.key}: {which} has been silent for {silent / 1e9:.0f} s"
        return self._begin(silent > SILENT_NS, name, at_ns, URGENT, words, one.session)

    def _gauge(self, one: Watched, gauge: dict[str, Any], at_ns: int) -> list[Alert]:
        name, pct = f"{one.key}:{gauge['id']}:NEAR", gauge.get("pct")
        if gauge["id"] not in NEARING or pct is None:
            return []
        if pct >= FAR_PCT and name in self._standing:
            return []
        used, top, unit = gauge["used"], gauge["max"], gauge["unit"]
        if unit == "micros":
            used, top, unit = f"{used / 1e6:.2f}", f"{top / 1e6:.2f}", "of the account's currency"
        words = f"{one.key}: {gauge['id']} is at {pct} % of its limit: {used} of {top} {unit} ({gauge['rule']})"
        return self._begin(pct >= NEAR_PCT, name, at_ns, WARNING, words, one.session)

    def _begin(self, on: bool, name: str, at_ns: int, severity: str, words: str, session: int = 0) -> list[Alert]:
        """An alert when a condition begins; nothing while it stands."""
        if not on:
            self._standing.discard(name)
            return []
        if name in self._standing:
            return []
        self._standing.add(name)
        kind = name.rpartition(":")[2].upper()
        return [Alert(f"{name}:{at_ns}", at_ns, severity, kind, words, session)]
