"""A venue that is killed comes back as it last stored itself, and the market goes on without it: what it missed is in
the journal, and its fills come out again (MES-BT-01).

The venue's account is the real one, without its process: it is dropped where it stands, as by SIGKILL.
"""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from marketdata.core.records import new_events
from marketdata.engine.telling import METRIC_MISSED, missed
from marketdata.feeds.registry import open_feed
from tests.simulation.kit import make_spec
from trading.brokers.paper import terms_of
from trading.brokers.paper_account import Account
from trading.brokers.wire import events_of
from trading.core.records import CANCELLED, CANCELLED_UNSENT, ENTRY, EXIT, FILL, LIMIT, MARKET, PASSIVE, SUBMIT
from trading.reports.parity.record import LOST, Reading
from trading.reports.parity.tape import TapeAgain
from trading.reports.parity.venue import VenueAgain
from trading.run.bodies.feed_loop import cut
from trading.run.spec import SessionSpec

TAPE = 6_000
BEFORE, KILLED, BACK = 1_000, 1_500, 1_800  # places of the tape: last stored, killed, reached again


class Session:
    """One account at the venue, its market, and the journal of both."""

    def __init__(self, folder: Path, spec: SessionSpec) -> None:
        self.path = folder / "s7.account"
        self.account = Account.create(self.path, terms_of(spec))
        feed = open_feed(spec.feed)
        feed.backfill()
        self.tape = feed.read(2**62, TAPE)
        feed.close()
        self.journal: list[np.ndarray] = []
        self.at = self.told = self.stored = 0

    def market(self, end: int, away: bool = False) -> None:
        """The tape up to a place; `away`: the desk hears it, the venue does not."""
        for start in range(self.at, end, 256):
            part = cut(self.tape, start, min(start + 256, end), min(start + 256, end))
            if not away:
                self.account.market(
                    part.events.tobytes(), part.depths.tobytes(), part.depth_of.tobytes(), part.position
                )
            self.journal.append(part.events)
            self._store()
        self.at = end

    def submit(self, number: int, side: int, order_type: int = MARKET, tick: int = 0, after_ns: int = 0) -> None:
        """An order of five contracts, now."""
        order = new_events(1)
        order["kind"], order["order_number"], order["side"], order["qty"] = SUBMIT, number, side, 5
        order["order_type"], order["role"] = order_type, EXIT if side < 0 else ENTRY
        order["ts_ns"] = order["ts_venue_ns"] = self.now()
        order["ts_venue_ns"] += after_ns
        order["until_ns"] = order["ts_venue_ns"] + 60 * 10**9
        if tick:
            order["price_tick"] = tick
        self.journal.append(order)
        self.account.request(order.tobytes(), SUBMIT)
        self._store()

    def kill(self) -> None:
        """Nothing is stored; the next process opens what is on disk."""
        self.account.store.close()
        self.account = Account.open(self.path)
        self.stored = int(self.account.venue.account[0].market_position)
        self.account.drop_kept()
        self._store()

    def now(self) -> int:
        return int(self.tape.events["ts_venue_ns"][self.at - 1])

    def best(self, side: str) -> int:
        books = np.flatnonzero(self.tape.depth_of[: self.at] >= 0)
        return int(self.tape.depths[side][self.tape.depth_of[books[-1]], 0])

    def _store(self) -> None:
        """As the venue's process: only what somebody may have heard of is on disk (market data alone is not)."""
        if not self.account.changed:
            return
        self.account.commit()
        answers = events_of(self.account.since(self.told))
        answers["ts_ns"] = np.maximum(answers["ts_ns"], self.now())
        self.journal.append(answers)
        self.told += len(answers)

    def proven(self, spec: SessionSpec) -> tuple[VenueAgain, Reading]:
        """The venue once more."""
        events = np.concatenate(self.journal)
        events["seq"] = np.arange(len(events)) + 1
        reading = Reading()
        reading.note(events)
        again = VenueAgain(spec, reading.found(len(events)), TapeAgain(spec.feed, lambda batch, past: None))
        again.follow(events)
        return again, reading


def _ended(session: Session, kinds: int) -> np.ndarray:
    events = np.concatenate(session.journal)
    return events[events["kind"] == kinds]


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_fills_of_a_venue_that_lost_its_market_come_out_again(tmp_path: Path, told: bool) -> None:
    """It fills on the book that it has stored, until the market reaches it again; untold, that is a difference."""
    spec = make_spec()
    session = Session(tmp_path, spec)
    session.market(BEFORE)
    session.submit(1, 1)
    session.market(KILLED)
    session.kill()
    session.submit(2, -1)
    session.market(BACK, away=True)
    session.submit(3, 1)
    if told:
        session.journal.append(missed(session.stored, BACK - session.stored, session.now()))
    session.market(4_000)
    session.submit(4, -1)
    session.market(TAPE)
    again, reading = session.proven(spec)
    fills = _ended(session, FILL)
    assert set(fills["order_number"].tolist()) == {1, 2, 3, 4}
    if told:
        assert again.equal == again.compared == session.told and again.first is None and not again.why
        assert session.stored == BEFORE and reading.found(0).beside[LOST] == BACK - BEFORE
    else:
        assert again.first is not None and again.first.told["order_number"][0] in (2, 3), "on another book"


def test_a_resting_order_keeps_the_place_in_the_queue_that_the_venue_stored(tmp_path: Path) -> None:
    spec = make_spec()
    session = Session(tmp_path, spec)
    session.market(BEFORE)
    session.submit(1, 1, LIMIT, session.best("bid_tick"))
    session.market(BEFORE + 60)
    session.kill()
    assert session.stored == BEFORE, "market data alone is not stored"
    session.market(BEFORE + 70, away=True)
    session.journal.append(missed(BEFORE, 70, session.now()))
    session.market(TAPE)
    again, _ = session.proven(spec)
    assert len(_ended(session, FILL)) > 0, "it was filled"
    assert again.equal == again.compared == session.told and not again.why


def test_kept_children_end_with_who_kept_them_at_the_record_s_word(tmp_path: Path) -> None:
    """MOEX-ROUTE-04; the other child of the same order goes its way."""
    spec = make_spec()
    feed = msgspec.structs.replace(spec.feed, symbols=["SBER"])
    spec = msgspec.structs.replace(spec, feed=feed)
    session = Session(tmp_path, spec)
    session.market(BEFORE)
    session.submit(1, 1)
    session.submit(2, 1, PASSIVE, session.best("ask_tick"), after_ns=60 * 10**9)
    session.kill()
    session.market(2_000)
    session.submit(3, -1)
    session.market(3_000)
    again, _ = session.proven(spec)
    (ended,) = _ended(session, CANCELLED)
    assert ended["order_number"] == 2 and ended["code"] == CANCELLED_UNSENT
    assert again.dropped == 1 and again.equal == again.compared == session.told and not again.why


def test_what_was_missed_is_joined_and_counted_once() -> None:
    """A venue that dies again before it stored anything tells its place again, and a longer stretch."""
    reading = Reading()
    rows = [missed(100, 50, 7), missed(100, 90, 8), missed(190, 10, 9), missed(500, 1, 10)]
    assert {int(row["code"][0]) for row in rows} == {METRIC_MISSED}
    reading.note(np.concatenate(rows))
    found = reading.found(4)
    assert found.missed == [(100, 200), (500, 501)] and found.beside[LOST] == 101
