"""`python -m tests.backtest --sets 2000`: the compiled loop against the oracle on so many random sets of bars, and its
bars many at a time against the same bars one by one.

Prints how many agreed and which reasons of an exit, holds and schedules they reached; exits 1 at the first difference.
"""

import argparse
import os
import sys
from collections import Counter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m tests.backtest", description=__doc__)
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first set")
    parser.add_argument("--bars", type=int, default=500, help="bars of a set, about")
    asked = parser.parse_args()
    from desk.jitcache import set_jit_cache

    set_jit_cache()
    from risk.core.records import MES
    from tests.backtest.compare import apart, difference, draw_shocks
    from trading.run.backtest.engine import reason_of

    reached: Counter[str] = Counter()
    for seed in range(asked.first, asked.first + asked.sets):
        words, result = difference(seed, asked.bars)
        if not words:
            words, passed, whole = apart(seed, asked.bars)
            reached["bars passed at once"] += passed
            reached["bars where they may be"] += int(whole.run.bars)
        if not words:
            drawn = draw_shocks(seed, asked.bars)
            words, shaken = difference(seed, asked.bars, drawn)
            words = words or apart(seed, asked.bars, drawn)[0]
            reached["trades of conditional slippage"] += len(shaken.trades)
        if words:
            print(words)
            return 1
        reached["bars"] += int(result.run.bars)
        reached["trades"] += len(result.trades)
        reached.update(f"exit {reason_of(trade, MES)}" for trade in result.trades)
        reached.update(f"hold {row.hold.code}" for row in result.holds)
    print(f"{asked.sets} sets agree: " + ", ".join(f"{count:,} {name}" for name, count in sorted(reached.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
