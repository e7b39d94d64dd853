"""The long stress run: `python -m tests.oracle --sequences 200000 --events 200 --jobs 2`, or `make stress`.

Random lives of a desk through kernel and oracle; a failing one is printed with its seed and made small.  Ends with
what was reached and with exit status 1 when anything differed.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--sequences", type=int, default=2_000, help="how many random lives (2000)")
    parser.add_argument("--events", type=int, default=200, help="events of each after its set-up (200)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; life k has seed + k (1)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--slice", type=int, default=250, help="lives of one slice, after which progress shows (250)")
    asked = parser.parse_args()
    share_compiled_kernels()
    from tests.oracle.campaign import slice_of

    jobs = [
        (asked.seed + at, min(asked.slice, asked.sequences - at), asked.events)
        for at in range(0, asked.sequences, asked.slice)
    ]
    if asked.jobs == 1:
        return report(map(slice_of, jobs))
    with multiprocessing.get_context("fork").Pool(asked.jobs) as pool:
        return report(pool.imap_unordered(slice_of, jobs))


def share_compiled_kernels() -> None:
    """The suite's cache of compiled code, so that a run does not begin with minutes of compiling."""
    from desk.jitcache import code_hash

    root = Path(__file__).resolve().parents[2]
    os.environ.setdefault("NUMBA_CACHE_DIR", str(root / "var" / "jit" / code_hash()))


def report(results: Iterable) -> int:
    """Progress, faults as they come, and at the end what was reached."""
    started = time.monotonic()
    done = events = 0
    reached: Counter[str] = Counter()
    faults: list[str] = []
    for result in results:
        done, events = done + result.sequences, events + result.events
        reached += result.reached
        faults += result.faults
        seconds = time.monotonic() - started
        for text in result.faults:
            print(f"\nFAIL {text}", flush=True)
        rate = f"{events / seconds:,.0f} events/s"
        print(f"\r{done} lives, {events} events, {rate}, {len(faults)} faults ", end="", flush=True)
        if len(faults) >= 10:
            break
    print()
    for name, count in sorted(reached.items()):
        print(f"  {name:<40} {count}")
    print(f"{done} lives, {events} events, {time.monotonic() - started:.0f} s, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
