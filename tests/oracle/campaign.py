"""Many lives: one slice of seeds through oracle and kernel, for the test, the long run and its processes."""

from collections import Counter
from typing import NamedTuple

from tests.oracle.compare import Batch
from tests.oracle.play import Life, fault, heirs_fault, live, sessions, shrink

HEIRS_EVERY = 10  # one account in ten lives through two or three sessions


class Result(NamedTuple):
    """What one slice of seeds gave."""

    sequences: int
    events: int
    reached: Counter[str]
    faults: list[str]


def run(first: int, sequences: int, events: int, batch: Batch, stop_after: int = 3) -> Result:
    """Lives of the seeds `first` … ; at most `stop_after` faults, each made small."""
    reached: Counter[str] = Counter()
    faults: list[str] = []
    done = total = 0
    for seed in range(first, first + sequences):
        lives = sessions(seed, events) if seed % HEIRS_EVERY == 0 else [live(seed, events)]
        done, total = done + 1, total + sum(len(life.events) for life in lives)
        reached["heirs"] += len(lives) - 1
        for life in lives:
            life.count(reached)
        if text := heirs_fault(lives, batch):
            faults.append(f"seed {seed}, {events} events: {text}{_small(lives, batch)}")
            if len(faults) >= stop_after:
                break
    return Result(done, total, reached, faults)


def _small(lives: list[Life], batch: Batch) -> str:
    """The first session that is wrong by itself, made small; nothing where only what it hands on is."""
    wrong = next((life for life in lives if fault(life, batch)), None)
    if wrong is None:
        return ""
    small, text = shrink(wrong, batch)
    listing = "\n".join(f"    {e!r}" for e in small[wrong.prologue :])
    return f"\n  made small, {len(small) - wrong.prologue} events after its set-up: {text}\n{listing}"


def slice_of(job: tuple[int, int, int]) -> Result:
    first, sequences, events = job
    return run(first, sequences, events, Batch(events + 512))
