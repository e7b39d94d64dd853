"""One sequence: a life played on the oracle, compared with the kernel, and made small when they disagree."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tests.oracle.around import setup
from tests.oracle.around.life import World
from tests.oracle.compare import Batch, Difference, compare, heritage, oracle_row, told
from tests.oracle.heritage import FIGURES, left
from tests.oracle.invariants import Broken, Watch
from tests.oracle.rules.commands import MAY_PASS
from tests.oracle.rules.desk import Desk
from tests.oracle.rules.facts import Event, S
from tests.oracle.rules.sending import Output
from trading.core import records as r

Crashes = Sequence[tuple[int, int]]


class Profile(NamedTuple):
    """Whose rules a life is lived under: the desk, the world around it, and who watches it."""

    name: str
    desk: type[Desk]
    world: type[World]
    watch: type[Watch]


FUTURES = Profile("mes", Desk, World, Watch)


class Life:
    """What happened, what the oracle said after each event, and its figures then."""

    def __init__(self, profile: Profile = FUTURES) -> None:
        self.profile = profile
        self.events: list[Event] = []
        self.said: list[list[Output]] = []
        self.rows: list[tuple[int, ...]] = []
        self.crashes: list[tuple[int, int]] = []
        self.broken = ""
        self.prologue = 0
        self.brought: list[Event] = []  # what its account came with
        self.began = 0
        self.desk = profile.desk()

    def lived(self, e: Event, watch: Watch) -> list[Output]:
        """One event more, watched; what the desk says about it.  Staging the first version moves nothing."""
        staged = e.kind == r.CONFIG and self.desk.version == 0 and bool(self.rows)
        if not staged:
            watch.before()
        outputs = self.desk.apply(e)
        self.events.append(e)
        self.said.append(outputs)
        self.rows.append(self.rows[-1] if staged else oracle_row(self.desk))
        if not staged:
            try:
                watch.after(e, outputs)
            except Broken as broken:
                self.broken = f"event {len(self.events) - 1} {e!r}: {broken}"
        return outputs

    def count(self, reached: Counter[str]) -> None:
        """What this life reached: refusals, holds, orders, outcomes."""
        for outputs in self.said:
            for output in outputs:
                kind, code, role = output[0], output[3], output[5]
                if kind == r.DECISION:
                    reached[f"decision {code}"] += 1
                    if role:
                        reached[f"passed {MAY_PASS[role]}"] += 1
                elif kind in (r.HOLD_RAISED, r.HOLD_CLEARED):
                    reached[f"{'raised' if kind == r.HOLD_RAISED else 'cleared'} {code}"] += 1
                elif kind == r.TRADE_CLOSED:
                    reached[f"closed {code}"] += 1
                else:
                    reached[f"{r.KIND_NAMES[kind].lower()} {r.ROLES.get(role, '')}".strip()] += 1


def live(
    seed: int, events: int, brought: Sequence[Event] = (), at: int = setup.T0, day: int = setup.DAY,
    profile: Profile = FUTURES,
) -> Life:  # fmt: skip
    """A random life of `events` events after its set-up, on the oracle alone, its invariants watched."""
    life = Life(profile)
    desk, life.brought, life.began = life.desk, list(brought), at
    world = profile.world(seed, desk, brought, at, day)
    watch = profile.watch(desk)
    life.prologue = world.prologue
    for _ in range(world.prologue + events):
        e = world.next()
        outputs = life.lived(e, watch)
        world.heard(outputs)
        if life.broken:
            break
    life.crashes = draw_crashes(random.Random(seed ^ 0x5EED), len(life.events))
    return life


def sessions(seed: int, events: int, profile: Profile = FUTURES) -> list[Life]:
    """One account in two or three sessions: each opens with what the one before left, now and then not all of it.

    The next clock goes on, begins again at the same time, on another day, or on an earlier one.
    """
    rng = random.Random(seed ^ 0xACC7)
    found = [live(seed, events, profile=profile)]
    for number in range(1, rng.choice((2, 3))):
        before = found[-1].desk
        today = max(setup.DAY, before.trading_day)
        at, day = rng.choice(
            (
                (setup.T0, setup.DAY),
                (before.now + S, today),
                (before.now + S, today),
                (before.now + 20 * 3600 * S, today + 1),
                (setup.T0, setup.DAY - 5),
            )
        )
        brought = left(before, number, at)
        if rng.random() < 0.1:
            brought.pop(rng.randrange(1, 1 + len(FIGURES)))
        found.append(live(seed + 1_000_003 * number, events, brought, at, day, profile))
    return found


def again(events: Sequence[Event], profile: Profile = FUTURES) -> Life:
    """The same events on a fresh oracle."""
    life = Life(profile)
    desk = life.desk
    watch = profile.watch(desk)
    for e in events:
        life.lived(e, watch)
        if life.broken:
            break
    return life


def draw_crashes(rng: random.Random, events: int) -> list[tuple[int, int]]:
    """Where the process dies: a snapshot somewhere, the end somewhere after it; most lives die once."""
    cuts = sorted(rng.randrange(events + 1) for _ in range(rng.choice((0, 2, 2, 2, 4))))
    return list(zip(cuts[::2], cuts[1::2], strict=True))


def fault(life: Life, batch: Batch) -> str:
    """What is wrong with a life: a broken invariant, or the first difference; empty when nothing is."""
    if life.broken:
        return f"invariant: {life.broken}"
    difference: Difference | None = compare(batch, life.events, life.said, life.rows, life.crashes)
    return "" if difference is None else f"difference: {difference}"


def heirs_fault(lives: Sequence[Life], batch: Batch) -> str:
    """What is wrong with an account's sessions: one of them, or what the product hands from one to the next."""
    for number, life in enumerate(lives, 1):
        if text := fault(life, batch):
            return text if len(lives) == 1 else f"session {number} of {len(lives)}: {text}"
        if number < len(lives) and len(lives[number].brought) == len(left(life.desk, number, lives[number].began)):
            ours, theirs = (
                heritage(batch.last, number, lives[number].began, batch.desk.book.rules),
                told(lives[number].brought),
            )
            if ours != theirs:
                return f"heritage of session {number}:\n  product: {ours}\n  oracle: {theirs}"
    return ""


def kind_of(text: str) -> str:
    """The kind of a fault, for keeping the same fault while its sequence is made small."""
    return text.split(":", 1)[0]


def shrink(life: Life, batch: Batch, seconds: float = 20.0) -> tuple[list[Event], str]:
    """The shortest sequence found that still fails in the same kind: events are left out, larger runs first.

    The set-up stays: a desk without it is another question.
    """
    until = time.monotonic() + seconds
    events = list(life.events)
    text = fault(life, batch)
    wanted = kind_of(text)
    size = max(1, (len(events) - life.prologue) // 2)
    while size >= 1 and time.monotonic() < until:
        at, removed = life.prologue, False
        while at < len(events) and time.monotonic() < until:
            fewer = events[:at] + events[at + size :]
            found = fault(again(fewer, life.profile), batch)
            if found and kind_of(found) == wanted:
                events, text, removed = fewer, found, True
            else:
                at += size
        if size == 1 and not removed:
            break
        size = max(1, size // 2) if not removed or size > 1 else size
    return events, text
