"""What a configuration would have changed: the last sessions replayed under it, order by order (N8).

`impact` is one session: files in, one row out.  `preview` is the last N sessions of a profile.  Two simulated lives are
compared, under the limits that ran and under the new ones, so that the difference is the configuration's alone; how far
the first of them is from the record says what the figures are worth.  Called by `manage.py config impact` and by the
desk's batch job.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from django.utils.translation import gettext_lazy

from risk.core.codes import APPROVED
from risk.core.gate import code_name
from risk.core.holds import BY_BIT
from risk.core.records import MES
from trading.config.changes import KEPT_BY_SESSION, NEW_SESSIONS, Line, compare
from trading.config.schema import Profile, profile_hash
from trading.configs import profile_of
from trading.control import session_folder
from trading.core.records import CONFIG_COMMIT, DECISION, ENTRY, HOLD_RAISED, SUBMIT, TRADE_CLOSED
from trading.models import ConfigVersion, Session
from trading.reports.impact.replay import Life, Version, check_limits
from trading.reports.impact.replay import compare as compare_lives
from trading.reports.tables import money_text, time_text, words
from trading.run.bodies.moment import NoJournal
from trading.run.journal.reader import JournalReader
from trading.run.journal.segment import JournalBroken
from trading.run.spec import SessionSpec, SpecError, load_spec

SESSIONS_USUAL, SESSIONS_MAX = 5, 20
FRAMES_MAX = 3_000_000  # of one session: about twenty hours of a busy book
CHUNK = 8192
UNASKED = "NOT_ASKED"  # the other life came to no decision there: a reversal that never began
NOTES = (
    gettext_lazy(
        "Fills come from the simulated venue in both replays, also of orders that were really filled: best bid and ask"
        " are all that a journal holds of the book."
    ),
    gettext_lazy("The market of the record does not answer: what an added order would have moved, no replay can know."),
    gettext_lazy("An order that is taken keeps others out, so one changed decision changes those that follow."),
)


class LifeRow(NamedTuple):
    """What one life of a session came to.  `net_micros` with what is open at its mark, `closed_micros` without."""

    net_micros: int
    closed_micros: int
    orders: int
    trades: int
    won: int
    open_qty: int
    holds: dict[str, int]


class SessionRow(NamedTuple):
    """One session.  `ran`: under the limits that ran, replayed; `would`: under the new ones; the rest is the record's.

    `blocked`, `added`, `resized`: entries; `reasons`: why the blocked were; `more`, `fewer`: holds raised more or less
    often; `notes`: what makes this row worth less.
    """

    session_id: int
    key: str
    version: str
    from_us: int
    to_us: int
    decisions: int
    recorded_net_micros: int
    recorded_orders: int
    recorded_holds: int
    ran: LifeRow
    would: LifeRow
    blocked: int
    added: int
    resized: int
    reasons: dict[str, int]
    more: dict[str, int]
    fewer: dict[str, int]
    notes: list[str]

    @property
    def difference_micros(self) -> int:
        """The new limits' result less that of the old ones, both replayed."""
        return self.would.net_micros - self.ran.net_micros


class Preview(NamedTuple):
    """All sessions, newest first; `skipped`: (session, why); `left_out`: lines of the change that no replay shows."""

    profile: str
    currency: str
    hash: str
    rows: list[SessionRow]
    skipped: list[tuple[str, str]]
    left_out: list[str]


class _Record:
    """What the journal itself says."""

    def __init__(self) -> None:
        self.net_micros = self.orders = self.holds = self.decisions = self.commits = 0
        self.first_us = self.last_us = 0

    def note(self, events: np.ndarray) -> None:
        kinds = events["kind"]
        self.first_us = self.first_us or int(events["ts_ns"][0]) // 1000
        self.last_us = max(self.last_us, int(events["ts_ns"].max()) // 1000)
        self.net_micros += int(events["value"][kinds == TRADE_CLOSED].sum())
        self.orders += int(((kinds == SUBMIT) & (events["role"] == ENTRY)).sum())
        self.holds += int((kinds == HOLD_RAISED).sum())
        self.decisions += int((kinds == DECISION).sum())
        self.commits += int((kinds == CONFIG_COMMIT).sum())


def impact(folder: Path, version: Version, *, alive: Callable[[], None] = lambda: None) -> SessionRow:
    """One session replayed twice.  `alive()` is called after every chunk and may raise to end it.

    Raises NoJournal, JournalBroken, SpecError, ValueError for a journal that is too long or limits that do not exist.
    """
    spec = load_spec(folder)
    limits = dict(version.limits) | {name: spec.limits[name] for name in KEPT_BY_SESSION if name in spec.limits}
    check_limits(limits)
    reader = JournalReader(folder)
    last_seq = reader.last_seq()
    if last_seq == 0:
        raise NoJournal(f"{spec.key} has no journal")
    if last_seq > FRAMES_MAX:
        raise ValueError(f"{last_seq} events are more than a preview replays ({FRAMES_MAX})")
    record, ran, would = _Record(), Life(spec, None), Life(spec, version._replace(limits=limits))
    at = 0
    while at < last_seq:
        events = reader.read(at, min(CHUNK, last_seq - at))["event"]
        if len(events) == 0:
            break
        record.note(events)
        ran.live(events)
        would.live(events)
        at += len(events)
        alive()
    return _row(spec, record, ran, would)


def _row(spec: SessionSpec, record: _Record, ran: Life, would: Life) -> SessionRow:
    rules = spec.limits.get("rules", MES)
    difference = compare_lives(ran, would)
    before, after = _life(ran, rules), _life(would, rules)
    more, fewer = Counter(after.holds) - Counter(before.holds), Counter(before.holds) - Counter(after.holds)
    return SessionRow(
        session_id=spec.id,
        key=spec.key,
        version=f"{spec.profile} {spec.version_hash[:8]}",
        from_us=record.first_us,
        to_us=record.last_us,
        decisions=record.decisions,
        recorded_net_micros=record.net_micros,
        recorded_orders=record.orders,
        recorded_holds=record.holds,
        ran=before,
        would=after,
        blocked=difference.blocked,
        added=difference.added,
        resized=difference.resized,
        reasons={UNASKED if code == APPROVED else code_name(rules, code): n for code, n in difference.reasons.items()},
        more=dict(more),
        fewer=dict(fewer),
        notes=_notes(record, ran, would),
    )


def _life(life: Life, rules: int) -> LifeRow:
    names = BY_BIT[rules]
    holds = {names[bit].code if bit in names else str(bit): n for bit, n in sorted(life.holds.items())}
    return LifeRow(life.net_micros, life.closed_micros, life.orders, life.trades, life.won, life.open_qty, holds)


def _notes(record: _Record, ran: Life, would: Life) -> list[str]:
    found = []
    if record.commits > 1:
        found.append("the configuration changed while it ran; the new limits hold from its start in this replay")
    if ran.questions or would.questions:
        found.append("time jumped while an order worked: the replay's venue was asked what became of it")
    if ran.open_qty or would.open_qty:
        found.append("a position is open at the end and counted at its mark")
    return found


def last_sessions(profile: str, count: int) -> list[Session]:
    """The last sessions of a profile that ever ran, newest first."""
    rows = Session.objects.filter(version__profile=profile, started_at__isnull=False).select_related("version")
    return list(rows.order_by("-id")[: min(max(1, count), SESSIONS_MAX)])


def preview(
    profile: Profile,
    number: int,
    sessions: list[Session],
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Preview:
    """These sessions under `profile`, whose version has this number (1 for one that is not stored yet).

    `progress(done, total, what)` is called before each session and, with the same figures, while one is replayed; what
    it raises ends the preview.
    """
    restricted = tuple(profile.market.restricted)
    version = Version(profile.limits(), max(1, number), profile_hash(profile), restricted)
    rows: list[SessionRow] = []
    skipped: list[tuple[str, str]] = []
    left_out: dict[str, None] = {}
    for done, session in enumerate(sessions):

        def alive(done: int = done, key: str = session.key) -> None:
            progress(done, len(sessions), key)

        alive()
        try:
            left_out |= dict.fromkeys(_not_replayed(session.version, profile))
            row = impact(session_folder(session.id), version, alive=alive)
        except (NoJournal, JournalBroken, SpecError, ValueError) as error:  # ConfigError is a ValueError
            skipped.append((session.key, str(error)))
            continue
        rows.append(row._replace(version=str(session.version)))
    progress(len(sessions), len(sessions), "")
    return Preview(profile.profile, profile.market.currency, version.hash, rows, skipped, list(left_out))


def _not_replayed(ran: ConfigVersion, profile: Profile) -> list[str]:
    """Lines of the change that a session keeps for itself: a replay of it cannot show them."""
    lines: list[Line] = compare(profile_of(ran), profile)
    return [f"{line.path}: {line.old} → {line.new}" for line in lines if line.reach == NEW_SESSIONS]


def totals(found: Preview) -> dict[str, Any]:
    """Sums over the sessions; `error_micros`: how far the replay of what ran is from the record, all in all."""
    rows = found.rows
    reasons: Counter[str] = Counter()
    more: Counter[str] = Counter()
    fewer: Counter[str] = Counter()
    for row in rows:
        reasons.update(row.reasons)
        more.update(row.more)
        fewer.update(row.fewer)
    return {
        "sessions": len(rows),
        "from_us": min((row.from_us for row in rows), default=None),
        "to_us": max((row.to_us for row in rows), default=None),
        "decisions": sum(row.decisions for row in rows),
        "orders": sum(row.ran.orders for row in rows),
        "blocked": sum(row.blocked for row in rows),
        "added": sum(row.added for row in rows),
        "resized": sum(row.resized for row in rows),
        "ran_micros": sum(row.ran.net_micros for row in rows),
        "would_micros": sum(row.would.net_micros for row in rows),
        "difference_micros": sum(row.difference_micros for row in rows),
        "recorded_micros": sum(row.recorded_net_micros for row in rows),
        "error_micros": sum(abs(row.ran.closed_micros - row.recorded_net_micros) for row in rows),
        "reasons": dict(reasons.most_common()),
        "more": dict(more.most_common()),
        "fewer": dict(fewer.most_common()),
    }


def values(found: Preview) -> dict[str, Any]:
    """Everything as plain values, for JSON and for a stored row."""
    rows = []
    for row in found.rows:
        plain: Mapping[str, Any] = row._asdict() | {"ran": row.ran._asdict(), "would": row.would._asdict()}
        rows.append({**plain, "difference_micros": row.difference_micros})
    kept = {"rows": rows, "totals": totals(found), "skipped": [list(item) for item in found.skipped]}
    return found._asdict() | kept | {"notes": [str(note) for note in NOTES]}


# as text

HEAD = (
    "session", "config", "from", "to", "decisions", "orders_ran", "orders_would", "blocked", "added", "resized",
    "net_ran", "net_would", "difference", "net_recorded", "blocked_because", "holds_more", "holds_fewer", "notes",
)  # fmt: skip


def table(plain: dict[str, Any]) -> list[list[str]]:
    """The rows of `values` for a file, the heading first; money exact, times ISO 8601 in UTC."""
    rows = [list(HEAD)]
    for row in plain["rows"]:
        counts = [row["decisions"], row["ran"]["orders"], row["would"]["orders"], row["blocked"], row["added"]]
        money = [row["ran"]["net_micros"], row["would"]["net_micros"], row["difference_micros"]]
        rows.append(
            [row["key"], row["version"], time_text(row["from_us"] * 1000), time_text(row["to_us"] * 1000)]
            + [str(count) for count in (*counts, row["resized"])]
            + [money_text(micros) for micros in (*money, row["recorded_net_micros"])]
            + [counted(row[name]) for name in ("reasons", "more", "fewer")]
            + [words("; ".join(row["notes"]))]
        )
    return rows


def counted(counts: Mapping[str, int]) -> str:
    """ "SPREAD 14, COLLAR 2"."""
    return ", ".join(f"{name} {n}" for name, n in counts.items())


def signed(micros: int, currency: str) -> str:
    return f"{micros / 1e6:+,.2f} {currency}"


def headline(sums: Mapping[str, Any], currency: str) -> str:
    """ "would have blocked 14 of 220 orders and added 3, −112.00 USD"."""
    kept = f"would have blocked {sums['blocked']} of {sums['orders']} orders and added {sums['added']}"
    kept += f", {sums['resized']} with another size" if sums["resized"] else ""
    return f"{kept}, {signed(sums['difference_micros'], currency)}"


def lines(found: Preview) -> list[str]:
    """For a terminal."""
    if not found.rows and not found.skipped:
        return [f"no session of {found.profile} ever ran: there is nothing to replay"]
    sums, money = totals(found), found.currency
    said = [f"{found.profile} {found.hash[:12]}: {headline(sums, money)}"] if found.rows else []
    if found.rows:
        span = f"{time_text(sums['from_us'] * 1000)[:19]} to {time_text(sums['to_us'] * 1000)[:19]} UTC"
        count = f"{sums['sessions']} session{'' if sums['sessions'] == 1 else 's'}"
        said.append(f"{count}, from {span}, {sums['decisions']} decisions")
        error = f"the replay of what ran is {signed(sums['error_micros'], money).lstrip('+')} away from the record"
        said.append(f"{error}, in sum: smaller differences mean nothing")
    for row in found.rows:
        said.append(
            f"  {row.key} {row.version}: {row.blocked} blocked, {row.added} added of {row.ran.orders} orders;"
            f" {signed(row.ran.net_micros, money)} → {signed(row.would.net_micros, money)}"
            f" (recorded {signed(row.recorded_net_micros, money)})"
        )
        said += [f"    blocked because: {counted(row.reasons)}"] if row.reasons else []
        said += [f"    holds more often: {counted(row.more)}"] if row.more else []
        said += [f"    holds less often: {counted(row.fewer)}"] if row.fewer else []
        said += [f"    {note}" for note in row.notes]
    said += [f"  {key}: not replayed: {why}" for key, why in found.skipped]
    said += [f"  no replay shows: {line}" for line in found.left_out]
    return said + [f"  {note}" for note in NOTES]
