"""Appending to the audit log, and proving it: every row's hash covers the row and the hash before it.

Rows are written one at a time under a lock of the database, in the caller's transaction where there is one.  Called by
the follower of the journal, by sign-in, and through `settings.AUDIT_APPEND` by the floors below.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.db import connection, transaction

from desk.audit.models import AuditRecord

GENESIS = "0" * 64
LOCK = 0x5D_A0D17  # any number of our own, for PostgreSQL's advisory lock
CHUNK = 2000


class Entry(NamedTuple):
    """One row to append."""

    category: str
    action: str
    actor: str
    object: str
    detail: Mapping[str, Any]


class Verdict(NamedTuple):
    """What `verify` found: rows looked at, the first bad one (0 = none), and what is wrong with it."""

    rows: int
    bad_seq: int
    fault: str
    head: str  # hash of the last good row: keep it elsewhere, and cut tails are found too

    @property
    def ok(self) -> bool:
        return self.bad_seq == 0


def row_hash(prev_hash: str, seq: int, ts_ns: int, entry: Entry) -> str:
    """SHA-256 of the canonical JSON of everything that a row says."""
    fields = [prev_hash, seq, ts_ns, entry.category, entry.action, entry.actor, entry.object, dict(entry.detail)]
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def append(
    *, category: str, action: str, actor: str, object: str = "", detail: Mapping[str, object] | None = None
) -> None:
    """Append one row."""
    append_many([Entry(category, action, actor, object, detail or {})])


def append_many(entries: Iterable[Entry], ts_ns: int | None = None) -> int:
    """Append rows in order.  Returns how many."""
    rows = []
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        last = AuditRecord.objects.order_by("-seq").values_list("seq", "hash").first()
        seq, prev_hash = last if last is not None else (0, GENESIS)
        now = time.time_ns() if ts_ns is None else ts_ns
        for entry in entries:
            seq += 1
            entry = entry._replace(detail=json.loads(json.dumps(dict(entry.detail))))
            digest = row_hash(prev_hash, seq, now, entry)
            rows.append(AuditRecord(seq=seq, prev_hash=prev_hash, hash=digest, ts_ns=now, **entry._asdict()))
            prev_hash = digest
        AuditRecord.objects.bulk_create(rows)
    return len(rows)


def verify(anchor: str = "") -> Verdict:
    """Walk the chain from its first row.  `anchor`: a head noted earlier that must still be in the chain."""
    count, prev_hash, seen_anchor = 0, GENESIS, anchor in ("", GENESIS)
    names = ("seq", "prev_hash", "hash", "ts_ns", *Entry._fields)
    for row in AuditRecord.objects.order_by("seq").values(*names).iterator(CHUNK):
        fault = _fault(row, count + 1, prev_hash)
        if fault:
            return Verdict(count, int(row["seq"]), fault, prev_hash)
        count, prev_hash = count + 1, str(row["hash"])
        seen_anchor = seen_anchor or prev_hash == anchor
    if not seen_anchor:
        return Verdict(
            count,
            count + 1,
            f"row {count + 1} is missing: the head {anchor[:16]}… that was noted is not in the log",
            prev_hash,
        )
    return Verdict(count, 0, "", prev_hash)


def _fault(row: dict[str, Any], expected: int, prev_hash: str) -> str:
    if row["seq"] != expected:
        return f"row {expected} is missing: row {row['seq']} stands in its place"
    if row["prev_hash"] != prev_hash:
        return f"row {expected} does not continue row {expected - 1}"
    entry = Entry(*(row[name] for name in Entry._fields))
    if row["hash"] != row_hash(prev_hash, expected, row["ts_ns"], entry):
        return f"row {expected} ({row['category']} {row['action']} by {row['actor']}) does not match its hash"
    return ""
