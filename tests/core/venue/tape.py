"""A seeded random tape of market events and requests through the venue, and the hash of all answers and of the state.

Run as a module it prints the hash, so that compiled code and the plain interpreter can be compared in two processes.
"""

import hashlib
import random
import sys

from tests.core.venue.kit import Floor
from trading.core.records import ENTRY, EXIT, STOP_LOSS, TARGET

ROLES = (ENTRY, EXIT, STOP_LOSS, TARGET)


def drive(floor: Floor, random_: random.Random, steps: int) -> None:
    """`steps` random moves of market, clock and orders."""
    now_s, mid, number = 100.0, 1000, 0
    for _ in range(steps):
        now_s += random_.choice((0.0, 0.01, 0.3, 1.0, 70.0 if random_.random() < 0.05 else 0.1))
        mid += random_.randint(-2, 2)
        instrument = random_.randint(0, 1)
        move = random_.randint(0, 9)
        if move <= 1:
            bids = [(mid - 1 - i, random_.randint(1, 9)) for i in range(random_.randint(0, 20))]
            asks = [(mid + 1 + i, random_.randint(1, 9)) for i in range(random_.randint(0, 20))]
            floor.book(now_s, bids, asks, instrument)
        elif move == 2:
            floor.trade(now_s, mid + random_.randint(-2, 2), random_.randint(1, 12), random_.randint(-1, 1), instrument)
        elif move == 3:
            open_, close = mid + random_.randint(-2, 2), mid + random_.randint(-2, 2)
            high, low = max(open_, close) + random_.randint(0, 3), min(open_, close) - random_.randint(0, 3)
            floor.bar(now_s, open_, high, low, close, instrument=instrument)
        elif move == 4:
            floor.advance(now_s)
        elif move <= 7:
            number += 1
            side, qty, role = random_.choice((-1, 1)), random_.randint(0, 9), random_.choice(ROLES)
            until = round((now_s + 5) * 1e9) if random_.random() < 0.3 else 0
            more = {"instrument": instrument, "until_ns": until}
            kind = random_.randint(0, 2)
            if kind == 0:
                floor.market(now_s, number, side, qty, role, **more)
            elif kind == 1:
                floor.limit(now_s, number, side, mid - side * random_.randint(-3, 5), qty, role, **more)
            else:
                floor.stop(now_s, number, side, mid + side * random_.randint(0, 5), qty, role, **more)
        elif move == 8:
            floor.cancel(now_s, random_.randint(1, number + 2))
        elif random_.random() < 0.95:
            tick = mid + random_.randint(-4, 4)
            floor.modify(now_s, random_.randint(1, number + 2), random_.randint(0, 12), tick, tick)
        else:
            floor.flatten()


def tape_hash(seed: int, steps: int) -> str:
    """Hash of all answers and final states over the three fill models."""
    digest = hashlib.sha256()
    for model in ("bar", "print", "book"):
        floor = Floor(model, latency_ns=50_000_000, slip_ticks=1)
        drive(floor, random.Random(seed), steps)
        for row in floor.rows:
            digest.update(row.tobytes())
        for table in floor.venue:
            digest.update(table.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    print(tape_hash(int(sys.argv[1]), int(sys.argv[2])))
