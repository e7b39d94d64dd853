"""Many lives: one slice of seeds through oracle and kernel, for the test, the long run and its processes."""

from collections import Counter
from typing import NamedTuple

from tests.oracle.compare import Batch
from tests.oracle.play import fault, live, shrink


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
        life = live(seed, events)
        done, total = done + 1, total + len(life.events)
        life.count(reached)
        if fault(life, batch):
            small, text = shrink(life, batch)
            listing = "\n".join(f"    {e!r}" for e in small[life.prologue :])
            size = f"{len(small) - life.prologue} events after its set-up"
            faults.append(f"seed {seed}, {events} events: {text}\n  made small, {size}:\n{listing}")
            if len(faults) >= stop_after:
                break
    return Result(done, total, reached, faults)


def slice_of(job: tuple[int, int, int]) -> Result:
    first, sequences, events = job
    return run(first, sequences, events, Batch(events + 512))
