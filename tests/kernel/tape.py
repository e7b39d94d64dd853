"""A seeded random life of a kernel: market, scores, commands, links and a venue that answers as venues do.

Used by the parity test (jitted = plain interpreter), by the property test and, run as a script, by the interpreter half
of the parity test: it prints the SHA-256 of every input and output.
"""

import hashlib
import random
import sys
from collections.abc import Callable

import numpy as np

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE
from tests.kernel.desk import Desk, S
from trading.core import records as r

Check = Callable[[Desk, int, list[np.record]], None]
COMMANDS = (r.PAUSE, r.RESUME, r.CANCEL_ALL, r.FLATTEN_ALL, r.KILL, r.RESET_HALT)


class Tape:
    """One random sequence.  The same seed gives the same events, as answers depend on outputs only."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.desk = Desk({"qty_entry": self.random.randint(1, 3), "cooldown_exit_ns": S, "cooldown_entry_ns": S})
        self.price = 20_000
        self.waiting: list[tuple[int, int, int, int, int]] = []  # (kind, number, side, qty, role) still to be answered

    def run(self, steps: int, check: Check | None = None) -> str:
        digest = hashlib.sha256()
        for _ in range(steps):
            kind, outputs = self._one()
            for o in outputs:
                digest.update(o.tobytes())
            self.listen(outputs)
            if check is not None:
                check(self.desk, kind, outputs)
        digest.update(self.desk.kernel.snapshot())
        return digest.hexdigest()

    def settle(self, rounds: int = 400) -> None:
        """Time passes and the venue answers all that it was asked, without inventing: what it ended does not fill."""
        desk, rng = self.desk, self.random
        for _ in range(rounds):
            if not self.waiting:
                self.listen(desk.event(r.TIMER, wait_ns=S))
                self.listen(desk.quote(self.price, self.price + 1))
                if not self.waiting and not desk.live():
                    return
                continue
            asked = self.waiting.pop(rng.randrange(len(self.waiting)))
            if asked[1] in {int(o.number) for o in desk.live()}:
                self.listen(self._answer(asked)[1])
            elif asked[0] != r.SUBMIT:
                self.listen(desk.answer(r.REJECT, asked[1], code=r.REJECTED_UNKNOWN_ORDER))

    def listen(self, outputs: list[np.record]) -> None:
        for o in outputs:
            if o.kind in (r.SUBMIT, r.CANCEL, r.MODIFY):
                self.waiting.append((int(o.kind), int(o.order_number), int(o.side), int(o.qty), int(o.role)))

    def _one(self) -> tuple[int, list[np.record]]:
        desk, rng = self.desk, self.random
        dice = rng.random()
        if self.waiting and dice < 0.35:
            return self._answer(self.waiting.pop(0))
        if dice < 0.55:
            self.price += rng.choice((-3, -1, -1, 0, 1, 1, 3))
            return m.QUOTE, desk.quote(self.price, self.price + rng.choice((1, 1, 2, 6)), wait_ns=rng.randrange(1, S))
        if dice < 0.65:
            return m.TRADE, desk.event(m.TRADE, price_tick=self.price, qty=1, wait_ns=rng.randrange(1, S // 10))
        if dice < 0.80:
            return r.SCORE, desk.score(rng.choice((1, -1, 0)), rng.choice((500_000, 600_000, 900_000)))
        if dice < 0.90:
            return r.TIMER, desk.event(r.TIMER, wait_ns=rng.randrange(1, 3 * S))
        if dice < 0.93:
            return r.COMMAND, desk.command(rng.choice(COMMANDS))
        if dice < 0.96:
            link = rng.choice((r.LINK_DATABASE, r.LINK_STREAM))
            return r.LINK, desk.event(r.LINK, instrument=ACCOUNT_SCOPE, code=link, value=rng.choice((0, 1, 1)))
        return m.FEED, desk.event(m.FEED, code=rng.choice((m.FEED_GAP, m.FEED_UP, m.FEED_UP, m.FEED_BEAT)))

    def _answer(self, asked: tuple[int, int, int, int, int]) -> tuple[int, list[np.record]]:
        kind, number, side, qty, role = asked
        desk, rng = self.desk, self.random
        if kind == r.CANCEL:
            return r.CANCELLED, desk.answer(r.CANCELLED if rng.random() < 0.9 else r.REJECT, number)
        if kind == r.MODIFY:
            return r.ACK, desk.answer(r.ACK if rng.random() < 0.9 else r.REJECT, number)
        if rng.random() < 0.05:
            return r.REJECT, desk.answer(r.REJECT, number, code=r.REJECTED_BY_VENUE)
        if role in (r.ENTRY, r.EXIT) or rng.random() < 0.3:
            part = rng.randint(1, qty)
            if part < qty:
                self.waiting.append((kind, number, side, qty - part, role))
            fields = {"side": side, "qty": part, "price_tick": self.price, "fee_micros": 420_000 * part}
            return r.FILL, desk.answer(r.FILL, number, **fields)
        return r.ACK, desk.answer(r.ACK, number)


if __name__ == "__main__":
    print(Tape(int(sys.argv[1])).run(int(sys.argv[2])))
