"""A seeded random world around a desk: prices, scores, a person, the clock, configuration.  The venue is in `venue.py`.

Every event is a draw; what the desk sends comes back as the venue's answers.  The same seed gives the same life as long
as the desk says the same.  Most draws are ordinary, so that lives trade; the rest is what must not happen, and does.
"""

import random
from collections import deque
from collections.abc import Sequence

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE
from risk.core import codes
from tests.oracle import heritage
from tests.oracle.around import setup
from tests.oracle.around.venue import Venue
from tests.oracle.rules.commands import MAY_PASS
from tests.oracle.rules.desk import Desk
from tests.oracle.rules.facts import Event, S
from tests.oracle.rules.holds import BITS
from tests.oracle.rules.sending import Output
from trading.core import records as r

MINUTE, HOUR = 60 * S, 3600 * S
PERSON = (r.PAUSE, r.RESUME, r.CANCEL_ALL, r.FLATTEN_ALL, r.KILL, r.RESET_HALT, r.START, r.LOCK, r.PRESENCE, 99)
LEGS = (r.MOVE_STOP, r.MOVE_STOP, r.MOVE_TARGET)
NEVER_PASS = (0, -1, codes.RISK_DAILY, codes.DUPLICATE, codes.POSITION_LIMIT, 99, 100, 2**40)


class World:
    """One random life.  `next()` is the next event, `heard()` takes what the desk said about it."""

    def __init__(
        self, seed: int, desk: Desk, brought: Sequence[Event] = (), at: int = setup.T0, day: int = setup.DAY
    ) -> None:
        self.rng = random.Random(seed)
        self.pair = random.Random(seed ^ 0x27)  # two persons, beside the world's own dice
        self.desk = desk
        self.now = at
        self.calm = self.rng.random() < 0.5  # little happens but the market, scores and the clock
        self.limits, self.prices = self.draw_limits(), self.draw_prices()
        self.agenda: deque[Event] = deque(self.opening(at, day, brought))
        self.later: list[Event] = []  # what ends by itself after a while: a gap, a halt, a lost link
        self.prologue = len(self.agenda)
        self.venue = self.new_venue()
        self.bars = self.rng.choice((0.0, 0.0, 0.1, 0.5))  # share of bars among the prices
        first = at - at % MINUTE
        self.bar_end = [first + k * 7 * S for k in range(desk.count)]
        self.version = 1
        self.scored = self.now
        self.repeated = Event(r.SCORE, self.now)
        repeating = self.limits["score_age_ns_max"] == setup.REPEATS["score_age_ns_max"]
        self.repeats = 0.6 if repeating else 0.12  # how often a score comes again
        if repeating:
            self.venue.refuses = 0.6  # so that it finds the desk flat

    def draw_limits(self) -> dict[str, int]:
        return setup.draw_theme(self.rng) if self.calm else setup.draw_limits(self.rng)

    def draw_prices(self) -> list[int]:
        return [20_000, 30_000] if self.rng.random() < 0.95 else [12, 9]

    def draw_change(self) -> dict[str, int]:
        return setup.draw_change(self.rng, self.limits)

    def opening(self, at: int, day: int, brought: Sequence[Event]) -> list[Event]:
        return setup.prologue(self.rng, self.limits, self.prices, at, day, brought)

    def new_venue(self) -> Venue:
        return Venue(self.rng, self.desk.count)

    def next(self) -> Event:
        """The next thing that happens."""
        if self.agenda:
            e = self.agenda.popleft()
            self.now = max(self.now, e.ts)
            return e
        if self.later and self.later[0].ts <= self.now:
            return self.later.pop(0)
        if (self.venue.wire or self.venue.undelivered()) and self.rng.random() < 0.5:
            self._wait(S // 4)
            answer = self.venue.answer(self.now, self.prices)
            if answer is not None:
                return answer
        return self._happening()

    def heard(self, outputs: list[Output]) -> None:
        self.venue.hear(outputs)
        refused = [o for o in outputs if o[0] == r.DECISION and o[3] in MAY_PASS.values()]
        if refused and self.pair.random() < 0.5:
            self.agenda.append(self._override(refused[0][1], getattr(codes, refused[0][3])))
            if self.pair.random() < 0.8:  # and the same is asked again while it is open
                last = self.repeated
                again = Event(r.SCORE, self.now + 1, instrument=last.instrument, side=last.side, score=last.score)
                again.confidence, again.code = last.confidence, last.code
                self.agenda.append(again)
        if any(output[0] == r.DECISION and output[3] == "DUPLICATE" for output in outputs) and self.rng.random() < 0.8:
            last = self.repeated
            again = Event(r.SCORE, self.now + 1, instrument=last.instrument, side=last.side, score=last.score)
            again.confidence, again.venue_ts = last.confidence, last.venue_ts
            self.agenda.append(again)  # a scorer that repeats itself

    def _wait(self, most: int) -> None:
        self.now += self.rng.randrange(1, most)

    def _happening(self) -> Event:
        rng = self.rng
        dice = rng.random()
        if self.calm and 0.85 <= dice < 0.955 and rng.random() < 0.8:
            dice = rng.uniform(0, 0.85)
        self._wait(S // 5)
        if self._is_held() and rng.random() < 0.1:
            return self._person()
        if "STATE_UNREADABLE" in self.desk.holds and rng.random() < 0.05:
            return self._statement()
        if "MIN_BALANCE" in self.desk.holds and rng.random() < 0.03:
            return self._event(r.TRANSFER, instrument=ACCOUNT_SCOPE, value=700_000_001)
        if dice < 0.40:
            return self._market()
        if dice < 0.66:
            return self._score()
        if dice < 0.85:
            return self._timer()
        if dice < 0.885:
            return self._person()
        if dice < 0.915:
            return self._reconciliation()
        if dice < 0.924:
            return self._link()
        if dice < 0.939:
            return self._configuration()
        if dice < 0.949:
            return self._notice()
        if dice < 0.955:
            code = rng.choice((m.FEED_GAP, m.FEED_UP, m.FEED_UP, m.FEED_BEAT, m.FEED_DOWN))
            if code in (m.FEED_GAP, m.FEED_DOWN):
                self._ends(self._event(m.FEED, wait=S // 2, code=m.FEED_UP))
            return self._event(m.FEED, code=code)
        answer = self.venue.noise(self.now, self.prices)
        return self._market() if answer is None else answer

    def _ends(self, e: Event) -> None:
        """Something that comes by itself, at its own time."""
        self.later.append(e)
        self.later.sort(key=lambda later: later.ts)

    def _event(self, kind: int, wait: int = 0, **fields: int | None) -> Event:
        return Event(kind, self.now + wait, **fields)

    # --- the market -----------------------------------------------------------------------------------------------
    def _market(self) -> Event:
        rng = self.rng
        k = 0 if rng.random() < 0.75 else 1
        i = self.desk.instruments[k]
        step = rng.choice((-40, -9, 9, 40)) if rng.random() < 0.03 else rng.choice((-3, -1, -1, 0, 0, 1, 1, 3))
        self.prices[k] = price = max(2, self.prices[k] + step)
        if (i.stop is not None or i.target is not None) and rng.random() < 0.1:  # the market comes for the bracket
            self.prices[k] = price = (i.stop if rng.random() < 0.5 or i.target is None else i.target) or price
        flags = rng.choice((m.FLAG_BACKFILL, m.FLAG_INVALID)) if rng.random() < 0.02 else 0
        if rng.random() < 0.005:
            return self._event(m.TRADE, instrument=k, price=rng.choice((None, 0, -5, 2**31 + 1)), qty=1)
        dice = rng.random()
        if dice < (0.7 if self.limits["bar_mode"] == 1 else self.bars):
            return self._bar(k, price, flags)
        if dice < 0.7:
            bid, ask = price, price + rng.choice((1, 1, 1, 2) if rng.random() < 0.97 else (3, 5, 30, 0, -1))
            kind = m.QUOTE if rng.random() < 0.8 else m.BOOK
            one_sided = rng.random() < 0.01
            return self._event(kind, instrument=k, bid=None if one_sided else bid, ask=ask, flags=flags)
        if dice < 0.98:
            return self._event(m.TRADE, instrument=k, price=price, qty=1, flags=flags)
        if rng.random() < 0.8:
            self._ends(self._event(m.STATUS, wait=S, instrument=k, code=m.STATUS_OPEN))
        return self._event(m.STATUS, instrument=k, code=rng.choice((m.STATUS_HALTED, m.STATUS_CLOSED)))

    def _score(self) -> Event:
        rng = self.rng
        k = 0 if rng.random() < 0.75 else 1
        side = rng.choice((1, -1, 1, -1, 1, -1, 0))
        score = side * rng.choice((500_000, 500_000, 900_000, 50_000))
        confidence = rng.choice((500_000, 600_000, 700_000, 900_000, 1_000_000))
        venue_ts = self.now - rng.choice((0, 0, 0, S // 2, S, 3 * S))
        if rng.random() < 0.02:
            side, score, confidence, venue_ts = rng.choice(
                ((2, score, confidence, venue_ts), (side, 2_000_000, confidence, venue_ts), (side, score, -1, venue_ts),
                 (side, score, 1_000_001, venue_ts), (side, score, confidence, self.now + S))
            )  # fmt: skip
        if rng.random() < self.repeats:  # the same score again
            venue_ts = self.scored
        self.scored = venue_ts
        fields = {"flags": m.FLAG_INVALID} if rng.random() < 0.01 else {}
        if rng.random() < (0.1 if self.limits["sizing"] == 1 else 0.02):
            fields["qty"] = rng.choice((1, 1, 2, 5, 11))
        self.repeated = self._event(
            r.SCORE, instrument=k, side=side, score=score, confidence=confidence, venue_ts=venue_ts, **fields
        )
        return self.repeated

    def _timer(self) -> Event:
        dice = self.rng.random()
        if not self.desk.holds.keys().isdisjoint(self.desk.book.by_roll) and dice < 0.2:
            self._wait(30 * HOUR)
        elif dice < 0.03:
            self._wait(20 * S)
        elif dice < 0.037:
            self._wait(5 * MINUTE)
        elif dice < 0.04:
            self._wait(30 * HOUR)
        elif dice < 0.05:  # a stamp from the past changes no time
            return Event(r.TIMER, self.now - self.rng.randrange(1, 3 * S))
        return self._event(r.TIMER)

    # --- people and plumbing ----------------------------------------------------------------------------------------
    def _is_held(self) -> bool:
        holds = self.desk.holds
        return self.desk.latched or any(code in holds for code in self.desk.book.by_resume + self.desk.book.by_reset)

    def _move(self) -> Event:
        """A person moves a leg of what is held, often to where it may not go."""
        rng, i = self.rng, self.rng.choice(self.desk.instruments)
        near = rng.choice([tick for tick in (i.stop, i.target, i.bid, i.mark, 0) if tick is not None])
        value = near + rng.choice((-6, -2, -1, 0, 1, 2, 6))
        return self._event(r.COMMAND, instrument=i.index, code=rng.choice(LEGS), value=value, ref=1)

    def _person(self) -> Event:
        rng, holds, book = self.rng, self.desk.holds, self.desk.book
        if rng.random() < 0.5 and any(i.qty != 0 for i in self.desk.instruments):
            return self._move()
        code, value = rng.choice(PERSON), 0
        if rng.random() < 0.01:
            code = r.STOP_SESSION
        if rng.random() < 0.8 and any(c in holds for c in book.by_resume):
            code = r.RESUME
        elif rng.random() < 0.8 and (self.desk.latched or any(c in holds for c in book.by_reset)):
            code = r.RESET_HALT
        if code == r.KILL and rng.random() < 0.5:  # the latch on disk goes before the desk is told
            self._ends(self._event(r.LINK, wait=S // 2, instrument=ACCOUNT_SCOPE, code=r.LINK_LATCH))
        if code == r.LOCK:
            value = self.now + rng.choice((-S, S, 2 * S, 5 * S))
        if code in (r.RESUME, r.RESET_HALT) and rng.random() < 0.2:
            value = 1 << BITS[rng.choice(list(BITS))] | 1 << BITS[rng.choice(book.by_resume + book.by_reset)]
        ref = int(rng.random() < 0.9)  # 0: no person gave it
        return self._event(r.COMMAND, instrument=ACCOUNT_SCOPE, code=code, value=value, ref=ref)

    def _override(self, instrument: int, reason: int) -> Event:
        """Two persons let the next entry pass; now and then something about it is wrong (P-27)."""
        rng = self.pair
        fields = {"instrument": instrument, "value": reason, "ref": rng.randrange(1, 10**6)}
        fields["until"] = self.now + rng.choice((S, 10 * S, MINUTE, MINUTE))
        if rng.random() < 0.3:
            wrong = {"instrument": (ACCOUNT_SCOPE, 7, 31, 99), "value": (*NEVER_PASS, *MAY_PASS), "ref": (0,)}
            wrong["until"] = (0, self.now, self.now + MINUTE + 1, 2**62)
            name = rng.choice(list(wrong))
            fields[name] = rng.choice(wrong[name])
        return self._event(r.COMMAND, code=r.OVERRIDE, **fields)

    def _statement(self) -> Event:
        """A person states what nobody can read, not always in sense, and asks for the reset."""
        rng, usd = self.rng, setup.USD
        balance = rng.choice((9_000 * usd, 10_000 * usd, 10_000 * usd, 2**61))
        figures = {"volume": balance + rng.choice((0, 50 * usd, -1)), "qty": balance + rng.choice((0, 100 * usd))}
        figures |= {"value": balance, "fee": rng.choice((0, -40 * usd, 40 * usd))}
        scope = {"instrument": ACCOUNT_SCOPE}
        rows = [self._event(r.PAST, code=heritage.STATED, **figures, **scope)] if rng.random() < 0.9 else []
        value = rng.choice((0, 1 << BITS["STATE_UNREADABLE"]))
        rows.append(self._event(r.COMMAND, code=r.RESET_HALT, value=value, ref=1, **scope))
        self.agenda.extend(rows[1:])
        return rows[0]

    def _notice(self) -> Event:
        """What other loops, the event list and the books say."""
        rng = self.rng
        kind = rng.choice((r.MODEL, r.MODEL, r.ERROR, r.ERROR, r.NEWS, r.TRANSFER, r.LINK, r.CONDITION))
        if kind == r.MODEL:
            code = rng.choice((r.MODEL_READY, r.MODEL_BLOCKED))
            if code == r.MODEL_BLOCKED:
                self._ends(self._event(kind, wait=2 * S, instrument=ACCOUNT_SCOPE, code=r.MODEL_READY))
            return self._event(kind, instrument=ACCOUNT_SCOPE, code=code)
        if kind == r.ERROR:
            return self._event(kind, instrument=ACCOUNT_SCOPE, value=rng.choice((0, 1, 1, 2, 9)))
        if kind == r.NEWS:
            start = self.now + rng.choice((-S, S, 10 * S))
            if rng.random() < 0.02:  # a whole list, longer than the desk's memory, with a repeat
                spans = [(start + k * 2 * S, start + k * 2 * S + S) for k in (*range(17), 3)]
                rows = [self._event(kind, instrument=ACCOUNT_SCOPE, value=at, until=end) for at, end in spans]
                self.agenda.extend(rows[1:])
                return rows[0]
            return self._event(kind, instrument=ACCOUNT_SCOPE, value=start, until=start + rng.choice((0, 2 * S, 9 * S)))
        if kind == r.CONDITION:
            told = {"instrument": rng.choice((0, 0, 1, 7)), "code": BITS["RESTRICTED"]}
            if rng.random() < 0.3:
                told = {"instrument": ACCOUNT_SCOPE, "code": BITS["CLOCK_OFFSET"]}
            self._ends(self._event(kind, wait=2 * S, **told))
            return self._event(kind, value=1, **told)
        if kind == r.TRANSFER:
            return self._event(kind, instrument=ACCOUNT_SCOPE, value=rng.choice((-50_000_000, 10_000_000, 700_000_001)))
        which = rng.choice((ACCOUNT_SCOPE, 0, 1))
        self._ends(self._event(kind, wait=2 * S, instrument=which, code=r.LINK_CONTRACT, value=1))
        return self._event(kind, instrument=which, code=r.LINK_CONTRACT, value=0)

    def _bar(self, k: int, price: int, flags: int) -> Event:
        """A completed bar; its own clock runs ahead in jumps, so that minutes end within one life."""
        rng = self.rng
        size = rng.choice((S, S, S, 5 * S, MINUTE))
        step = rng.choice((0, 0, S, 20 * S, 59 * S, 60 * S, 61 * S, 299 * S, 300 * S, 301 * S, 302 * S, -S))
        start = self.bar_end[k] + (step if rng.random() < 0.5 else 40 * S)
        self.bar_end[k] = max(self.bar_end[k], start + size)
        wide = rng.choice((0, 1, 2, 3, 60)) if rng.random() < 0.3 else 2
        volume = rng.choice((0, 1, 500)) if rng.random() < 0.2 else 60
        if rng.random() < 0.1:
            flags |= m.FLAG_CARRIED
        low = price - rng.randint(0, wide)
        return self._event(
            m.BAR, instrument=k, close=price, high=low + wide, low=low, volume=volume, value=size, flags=flags,
            venue_ts=start + size,
        )  # fmt: skip

    def _reconciliation(self) -> Event:
        """What the venue answers about itself, in one go; now and then it is wrong, or incomplete."""
        rows = self.venue.delivery(self.now) if self.rng.random() < 0.7 else []
        rows += self.venue.truth(self.now)
        self.agenda.extend(rows[1:])
        return rows[0]

    def _link(self) -> Event:
        rng = self.rng
        code = rng.choice((r.LINK_EXECUTION, r.LINK_DATABASE, r.LINK_STREAM, r.LINK_LATCH))
        value = int(rng.random() < 0.5)
        link = self._event(r.LINK, instrument=ACCOUNT_SCOPE, code=code, value=value)
        if (value == 0) == (code != r.LINK_LATCH) and rng.random() < 0.9:
            self._ends(self._event(r.LINK, wait=S // 2, instrument=ACCOUNT_SCOPE, code=code, value=1 - value))
            if code == r.LINK_EXECUTION:
                for row in [*self.venue.delivery(self.now), *self.venue.truth(self.now)]:
                    row.ts = row.venue_ts = self.now + S // 2
                    self._ends(row)
        return link

    def _configuration(self) -> Event:
        rng = self.rng
        self.version += 1
        changed = self.draw_change()
        self.limits |= changed
        rows = setup.staged(self.now, changed)
        if rng.random() < 0.1:  # a specification that comes while the session trades is ignored
            rows.append(self._event(r.CONFIG, instrument=1, code=0, value=7))
        rows.append(self._event(r.CONFIG_COMMIT, instrument=ACCOUNT_SCOPE, ref=self.version))
        self.agenda.extend(rows[1:])
        return rows[0]
