"""A session as it stood at one moment, made from its journal alone: what the replay page shows.

The nearest snapshot, then every frame up to the moment through a fresh kernel, each output compared with what was
recorded: a picture that comes out of here is the record.  Reads files only; called by the web, for one page at a time.
"""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from trading.run.bodies.page import PageClock, Streams, page_values
from trading.run.bodies.snapshot import Rows, build
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import Replayer, load_snapshot
from trading.run.replica import Kernel
from trading.run.spec import load_spec

CHUNK = 4096
ROWS_BACK = 20_000
FIRST_SEQ = 1


class NoJournal(LookupError):
    """The session has never run: there is nothing to replay."""


class Moment(NamedTuple):
    """`values`: the page's values by name; `seq` and `at_us` of the last event in it; `first_us`, `last_us`, `last_seq`
    of the journal; `same`: every output equals the record."""

    values: dict[str, Any]
    seq: int
    at_us: int
    first_us: int
    last_us: int
    last_seq: int
    same: bool


def moment(folder: Path, *, at_us: int | None = None, seq: int | None = None) -> Moment:
    """The picture after the last event at or before `at_us` (session clock), or after event `seq`; default: the end.

    Raises NoJournal, JournalBroken, SpecError.
    """
    reader = JournalReader(folder)
    last_seq = reader.last_seq()
    if last_seq < FIRST_SEQ:
        raise NoJournal(f"{folder.name} has no journal")
    if seq is None:
        seq = last_seq if at_us is None else seq_at(reader, last_seq, at_us)
    seq = min(max(seq, FIRST_SEQ), last_seq)
    spec = msgspec.structs.replace(load_spec(folder), mode="replay")
    start = load_snapshot(folder, reader, seq)
    replayer = Replayer(Kernel() if start is None else start.kernel)
    at, same, rows = replayer.kernel.seq, True, Rows()
    rows.note(reader.read(max(0, at - ROWS_BACK), min(at, ROWS_BACK))["event"])
    while at < seq:
        events = reader.read(at, min(CHUNK, seq - at))["event"]
        if len(events) == 0:
            break
        rows.note(events)
        same = same and replayer.feed(events) is None
        at += len(events)
    now_us = time_us(reader, at)
    picture = build(replayer.kernel, rows, spec, {}, {}, 0)
    values = page_values(picture, Streams(), spec, PageClock(now_us, 0), "", 0)
    found = {name: msgspec.json.decode(value) for name, value in values.items()}
    return Moment(found, at, now_us, time_us(reader, FIRST_SEQ), time_us(reader, last_seq), last_seq, same)


def time_us(reader: JournalReader, seq: int) -> int:
    """Session time of one event in µs."""
    return int(reader.read(seq - 1, 1)["event"]["ts_ns"][0]) // 1000


def seq_at(reader: JournalReader, last_seq: int, at_us: int) -> int:
    """The last event at or before a time: the journal is in the order of its session clock."""
    low, high = FIRST_SEQ, last_seq
    while low < high:
        middle = (low + high + 1) // 2
        if time_us(reader, middle) <= at_us:
            low = middle
        else:
            high = middle - 1
    return low
