"""Proof of a recorded session: the chain of its journal, and every output made again, bit for bit.

Reads only the journal's files.  Called by `manage.py replay SESSION --verify` and by tests.
"""

import hashlib
from pathlib import Path

import msgspec
import numpy as np

from marketdata.core.records import EVENT
from trading.core.records import FIRST_OUTPUT_KIND, KIND_NAMES
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import CHUNK, Difference, Replayer
from trading.run.journal.segment import JournalBroken


class VerifyReport(msgspec.Struct, frozen=True):
    """What `verify_journal` found.  `sha256` covers the EVENT bytes of all frames, in order, as they were recorded;
    `state_sha256` everything that the kernel of this process remembers after them."""

    frames: int
    inputs: int
    outputs: int
    segments: int
    chain_fault: str  # empty when the chain holds
    void_bytes: int
    torn_bytes: int
    missing_outputs: int  # made again by the kernel, cut off at the very end of the journal by a crash
    first_difference: int  # seq, 0 when every output equals
    difference: str  # what was recorded and what was computed, in words; empty when there is none
    sha256: str
    state_sha256: str
    kinds: dict[str, int]

    @property
    def ok(self) -> bool:
        """True when the chain holds and no output differs."""
        return self.chain_fault == "" and self.first_difference == 0


def describe(difference: Difference) -> str:
    """Fields in which a recorded and a computed frame differ."""
    recorded = np.frombuffer(difference.recorded, EVENT)[0]
    if not difference.computed:
        kind = int(recorded["kind"])
        return f"seq {difference.seq}: recorded {KIND_NAMES.get(kind, str(kind))}, the kernel made nothing"
    computed = np.frombuffer(difference.computed, EVENT)[0]
    fields = [n for n in EVENT.names or () if recorded[n] != computed[n]]
    return f"seq {difference.seq}: " + ", ".join(f"{n} recorded {recorded[n]} computed {computed[n]}" for n in fields)


def verify_journal(folder: Path) -> VerifyReport:
    """Verify chain and replay of the journal in `folder`, from its first frame.  A difference ends the replay."""
    reader = JournalReader(folder)
    chain = reader.verify()
    replayer, digest = Replayer(), hashlib.sha256()
    frames = inputs = 0
    kinds: dict[str, int] = {}
    found: Difference | None = None
    fault = chain.fault
    while found is None:
        try:
            events = reader.read(frames, CHUNK)["event"]
        except JournalBroken as error:
            fault = fault or str(error)
            break
        if len(events) == 0:
            break
        digest.update(events.tobytes())
        found = replayer.feed(events)
        frames += len(events)
        inputs += int((events["kind"] < FIRST_OUTPUT_KIND).sum())
        for kind in events["kind"]:
            name = KIND_NAMES.get(int(kind), str(kind))
            kinds[name] = kinds.get(name, 0) + 1
    return VerifyReport(
        frames=frames,
        inputs=inputs,
        outputs=frames - inputs,
        segments=chain.segments,
        chain_fault=fault,
        void_bytes=chain.void_bytes,
        torn_bytes=chain.torn_bytes,
        missing_outputs=0 if found is not None else len(replayer.owed),
        first_difference=0 if found is None else found.seq,
        difference="" if found is None else describe(found),
        sha256=digest.hexdigest(),
        state_sha256=hashlib.sha256(replayer.kernel.snapshot()).hexdigest(),
        kinds=dict(sorted(kinds.items())),
    )
