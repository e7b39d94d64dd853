"""The long stress run: `python -m tests.oracle --sequences 200000 --events 200 --jobs 2`, or `make stress`.

Random lives of a desk through kernel and oracle, of futures and of shares in turn; a failing one is printed with its
seed and made small.  With `--ledger FILE` every slice is kept: the same command goes on where it was stopped, other
machines take other seeds, and `--sum FILE …` adds them up.  Ends with what was reached, and with exit status 1 when
anything differed or something that a whole run must reach was not.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.oracle.campaign import Result, Slice

WHOLE = 5_000  # lives under one rulebook that must reach everything


def main() -> int:
    asked = arguments()
    share_compiled_kernels()
    from tests.oracle.campaign import append, read, slice_until

    if asked.sum:
        return report([result for ledger in asked.sum for result in read(ledger)], asked.seeds)
    jobs = slices(asked)
    whole = {result.slice: result for result in read(asked.ledger) if not result.faults} if asked.ledger else {}
    kept = [whole[job] for job in jobs if job in whole]
    jobs = [job for job in jobs if job not in whole]
    until = time.monotonic() + asked.minutes * 60 if asked.minutes else None

    def lived(results: Iterable["Result | None"]) -> Iterator["Result"]:
        yield from kept
        for result in results:
            if result is None:
                continue  # its time was over before it began
            if asked.ledger:
                append(asked.ledger, result)
            yield result

    work = partial(slice_until, until)
    if asked.jobs == 1:
        return report(lived(map(work, jobs)), asked.seeds)
    with multiprocessing.get_context("fork").Pool(asked.jobs) as pool:
        return report(lived(pool.imap_unordered(work, jobs)), asked.seeds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--sequences", type=int, default=2_000, help="how many random lives (2000)")
    parser.add_argument("--events", type=int, default=200, help="events of each after its set-up (200)")
    parser.add_argument("--rules", choices=("mes", "moex", "both"), default="both", help="whose (both, half each)")
    parser.add_argument("--seed", "--first", type=int, default=1, help="the first seed; life k has seed + k (1)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--slice", type=int, default=250, help="lives of one slice, after which progress shows (250)")
    parser.add_argument("--ledger", type=Path, help="keep each slice here, and leave out those that are here already")
    parser.add_argument("--minutes", type=float, help="begin no slice after so long; the ledger goes on from there")
    parser.add_argument("--sum", type=Path, nargs="+", help="no lives: add up these ledgers")
    parser.add_argument("--seeds", action="store_true", help="say which seed reached a thing first")
    return parser.parse_args()


def slices(asked: argparse.Namespace) -> list["Slice"]:
    """The lives that were asked for, cut; of both rulebooks in turn, so that a run that is cut short has both."""
    from desk.jitcache import code_hash
    from tests.oracle.campaign import Slice

    rules = ("mes", "moex") if asked.rules == "both" else (asked.rules,)
    each = -(-asked.sequences // len(rules))
    return [
        Slice(name, asked.seed + at, min(asked.slice, each - at), asked.events, code_hash())
        for at in range(0, each, asked.slice)
        for name in rules
    ]


def share_compiled_kernels() -> None:
    """The suite's cache of compiled code, so that a run does not begin with minutes of compiling."""
    from desk.jitcache import code_hash

    root = Path(__file__).resolve().parents[2]
    os.environ.setdefault("NUMBA_CACHE_DIR", str(root / "var" / "jit" / code_hash()))


def report(results: Iterable["Result"], show_seeds: bool) -> int:
    """Progress, faults as they come, and at the end what was reached and what was not."""
    started = time.monotonic()
    totals: dict[str, Total] = {}
    faults = 0
    for result in results:
        total = totals.setdefault(result.slice.rules, Total())
        total.add(result)
        faults += len(result.faults)
        for text in result.faults:
            print(f"\nFAIL {text}", flush=True)
        lives, events = sum(t.lives for t in totals.values()), sum(t.events for t in totals.values())
        rate = f"{events / max(1e-9, sum(t.seconds for t in totals.values())):,.0f} events/s a process"
        print(f"\r{lives} lives, {events} events, {rate}, {faults} faults ", end="", flush=True)
        if faults >= 10:
            break
    print()
    missing = sum(total.show(rules, show_seeds) for rules, total in totals.items())
    for rules, total in totals.items():
        print(f"{rules}: {total.lives} lives, {total.events} events, {total.seconds:.0f} s of a process")
    print(f"{time.monotonic() - started:.0f} s, {faults} faults, {missing} things not reached")
    return 1 if faults or missing else 0


class Total:
    """What all slices under one rulebook gave."""

    def __init__(self) -> None:
        self.lives = self.events = 0
        self.seconds = 0.0
        self.reached: Counter[str] = Counter()
        self.seeds: dict[str, int] = {}

    def add(self, result: "Result") -> None:
        self.lives, self.events = self.lives + result.sequences, self.events + result.events
        self.seconds += result.seconds
        self.reached += result.reached
        for name, seed in result.seeds.items():
            self.seeds[name] = min(seed, self.seeds.get(name, seed))

    def show(self, rules: str, show_seeds: bool) -> int:
        """The table; returns how much of what a whole run must reach was not."""
        from tests.oracle.reasons import wanted

        for name, count in sorted(self.reached.items()):
            print(f"  {rules:<5}{name:<40}{count:>10}" + (f"  seed {self.seeds[name]}" if show_seeds else ""))
        missing = sorted(wanted(rules) - set(self.reached)) if self.lives >= WHOLE else []
        for name in missing:
            print(f"  {rules:<5}{name:<40} NOT REACHED")
        return len(missing)


if __name__ == "__main__":
    sys.exit(main())
