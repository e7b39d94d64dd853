"""Many lives: one slice of seeds through oracle and kernel, for the test, the long run and its processes.

A slice is a line of a ledger, so that a long run can be shared out, stopped, gone on with and summed up.
"""

import json
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.oracle.compare import Batch
from tests.oracle.play import FUTURES, Life, Profile, fault, heirs_fault, live, sessions, shrink
from tests.oracle.shares.desk import SharesDesk
from tests.oracle.shares.invariants import SharesWatch
from tests.oracle.shares.life import SharesWorld

HEIRS_EVERY = 10  # one account in ten lives through two or three sessions
SHARES = Profile("moex", SharesDesk, SharesWorld, SharesWatch)
PROFILES = {profile.name: profile for profile in (FUTURES, SHARES)}


class Slice(NamedTuple):
    """Lives of the seeds `first` … under one rulebook, each of so many events after its set-up."""

    rules: str
    first: int
    sequences: int
    events: int
    code: str = ""  # of the kernel that lived them


class Result(NamedTuple):
    """What one slice of seeds gave.  `seeds`: the first of its seeds that reached a thing."""

    slice: Slice
    sequences: int
    events: int
    reached: Counter[str]
    seeds: dict[str, int]
    faults: list[str]
    seconds: float


def run(asked: Slice, batch: Batch, stop_after: int = 3) -> Result:
    """All its lives; at most `stop_after` faults, each made small."""
    profile = PROFILES[asked.rules]
    reached: Counter[str] = Counter()
    seeds: dict[str, int] = {}
    faults: list[str] = []
    done = total = 0
    began = time.monotonic()
    for seed in range(asked.first, asked.first + asked.sequences):
        lives = _lives(seed, asked.events, profile)
        done, total = done + 1, total + sum(len(life.events) for life in lives)
        own: Counter[str] = Counter({"heirs": len(lives) - 1})
        for life in lives:
            life.count(own)
        for name in own:
            seeds.setdefault(name, seed)
        reached += own
        if text := heirs_fault(lives, batch):
            faults.append(f"{asked.rules} seed {seed}, {asked.events} events: {text}{_small(lives, batch)}")
            if len(faults) >= stop_after:
                break
    return Result(asked, done, total, reached, seeds, faults, time.monotonic() - began)


def _lives(seed: int, events: int, profile: Profile) -> list[Life]:
    return sessions(seed, events, profile) if seed % HEIRS_EVERY == 0 else [live(seed, events, profile=profile)]


def _small(lives: list[Life], batch: Batch) -> str:
    """The first session that is wrong by itself, made small; nothing where only what it hands on is."""
    wrong = next((life for life in lives if fault(life, batch)), None)
    if wrong is None:
        return ""
    small, text = shrink(wrong, batch)
    listing = "\n".join(f"    {e!r}" for e in small[wrong.prologue :])
    return f"\n  made small, {len(small) - wrong.prologue} events after its set-up: {text}\n{listing}"


def batch_for(rules: str, events: int) -> Batch:
    """Buffers for lives of so many events."""
    return Batch(events + 512, PROFILES[rules].desk)


def slice_until(until: float | None, asked: Slice) -> Result | None:
    """One slice with buffers of its own; None when it is later than `until` by the machine's steady clock."""
    if until is not None and time.monotonic() > until:
        return None
    return run(asked, batch_for(asked.rules, asked.events))


# --- the ledger of a long run -----------------------------------------------------------------------------------------
def append(ledger: Path, result: Result) -> None:
    """One slice more; a line that was cut off by a stop is followed by a whole one."""
    row = result._asdict() | {"slice": result.slice._asdict()}
    cut = ledger.exists() and not ledger.read_bytes().endswith(b"\n")
    with ledger.open("a") as file:
        file.write("\n" * cut + json.dumps(row) + "\n")


def read(ledger: Path) -> list[Result]:
    """Every whole line of it, each slice once; none when there is no file."""
    found: dict[Slice, Result] = {}
    for line in ledger.read_text().splitlines() if ledger.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue  # the stop came within this line: its slice is lived again
        asked = Slice(**row.pop("slice"))
        found[asked] = Result(asked, **(row | {"reached": Counter(row["reached"])}))
    return list(found.values())
