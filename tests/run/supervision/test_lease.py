"""The lease: one holder at a time, a fence that only grows, and a database that is away is not a lost lease."""

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from tests.shell.frames import make_session
from trading.leases import DatabaseLeases, age_s, lease_name, probe_write, short_wait, want_loops, wanted_loops
from trading.models import LoopLease
from trading.run.clock import boot_id, boot_ns
from trading.run.loops import Lease, Renewal, StoreAway
from trading.worker import HOLDERS_FIRST_S, Holder, Supervisor

pytestmark = pytest.mark.django_db
SECOND = 1_000_000_000


class Clock:
    """A boot clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def name() -> str:
    session = make_session()
    want_loops(session.id, ("risk",), True)
    return lease_name(session.key, "risk")


def lease(owner: str, name: str, clock: Clock) -> Lease:
    return Lease(DatabaseLeases(owner), name, clock=clock)


def test_two_deliveries_of_one_message_make_one_holder(name, clock):
    """Redelivery after the visibility timeout, or two beats: the second finds the lease taken."""
    a, b = lease("a", name, clock), lease("b", name, clock)
    assert (a.acquire(), b.acquire()) == (True, False)
    clock.wait(2.9)
    assert not b.acquire()


def test_a_run_out_lease_goes_to_the_next_with_a_higher_fence(name, clock):
    a, b = lease("a", name, clock), lease("b", name, clock)
    a.acquire()
    clock.wait(3.1)
    assert a.overdue()
    assert b.acquire()
    assert (a.fence, b.fence) == (1, 2)
    assert a.renew({}) is Renewal.LOST, "the old holder hears of it at its next renewal"
    assert b.renew({}) is Renewal.KEPT


def test_a_release_frees_at_once_and_never_frees_anothers_lease(name, clock):
    a, b = lease("a", name, clock), lease("b", name, clock)
    a.acquire()
    a.release({"state": "stopped"})
    assert b.acquire()
    a.release({"state": "late"})
    assert b.renew({}) is Renewal.KEPT


def test_an_owner_takes_its_own_lease_again_with_a_new_fence(name, clock):
    a = lease("a", name, clock)
    assert a.acquire() and a.acquire()
    assert a.fence == 2


def test_a_loop_that_nobody_wants_is_not_taken_and_a_holder_is_told(name, clock):
    a = lease("a", name, clock)
    a.acquire()
    LoopLease.objects.update(desired=False)
    assert a.renew({}) is Renewal.UNWANTED
    a.release({})
    assert not lease("b", name, clock).acquire()


def test_a_restart_of_the_machine_ends_every_lease(name, clock):
    a = lease("a", name, clock)
    a.acquire()
    LoopLease.objects.update(boot_id="another boot", expires_boot_ns=10**18)
    assert [w.free_at_ns for w in wanted_loops(0)] == [0]
    assert lease("b", name, clock).acquire()
    assert age_s("another boot", 5) is None


def test_a_failed_loop_may_ask_others_to_wait(name, clock):
    a, b = lease("a", name, clock), lease("b", name, clock)
    a.acquire()
    a.release({"state": "failed"}, free_in_s=1.0)
    assert not b.acquire()
    clock.wait(1.1)
    assert b.acquire()


class AwayStore(DatabaseLeases):
    """A store whose database can be away."""

    away = False

    def renew(self, *args, **kwargs):
        if self.away:
            raise StoreAway("locked")
        return super().renew(*args, **kwargs)


def test_while_the_database_is_away_the_holder_goes_on_but_a_sleeper_is_overdue(name, clock):
    store = AwayStore("a")
    a = Lease(store, name, clock=clock)
    a.acquire()
    store.away = True
    for _ in range(30):  # thirty seconds
        clock.wait(1)
        assert a.renew({}) is Renewal.KEPT
        assert not a.overdue()
    assert a.away
    clock.wait(3.1)  # now nobody asked: the process slept
    assert a.overdue()
    store.away = False
    assert a.renew({}) is Renewal.KEPT, "nobody else took it meanwhile"
    assert not a.overdue() and not a.away


def test_a_database_that_takes_no_writes_makes_no_loop_change_hands(name, clock, monkeypatch):
    """Rows run out while nobody can renew; after the lock their holders come first, others bid later."""
    bids = []
    supervisor = Supervisor(Holder("b"), lambda *bid: bids.append(bid), own_loop="risk", clock=clock)
    clock.wait(10)
    locked = True

    def probe() -> None:
        if locked:
            raise StoreAway("database is locked")

    monkeypatch.setattr("trading.leases.probe_write", probe)
    for _ in range(20):
        supervisor.look()
        clock.wait(1)
    assert bids == []
    locked = False
    supervisor.look()
    assert bids == [], "the holders renew first"
    clock.wait(HOLDERS_FIRST_S)
    supervisor.look()
    assert [bid[2] for bid in bids] == ["risk"], "nobody renewed: its holder is dead"


def test_the_probe_is_a_write():
    with CaptureQueriesContext(connection) as queries:
        probe_write()
    assert any("UPDATE" in query["sql"] for query in queries)
    LoopLease.objects.count()


def test_errors_of_the_database_become_store_away():
    with pytest.raises(StoreAway), short_wait():
        raise OperationalError("database is locked")


def test_wanted_loops_are_those_wanted_and_not_held(name, clock):
    now = boot_ns()
    assert [w.name for w in wanted_loops(now)] == [name]
    real = Lease(DatabaseLeases("a"), name)
    real.acquire()
    assert wanted_loops(boot_ns()) == []
    row = LoopLease.objects.get()
    assert (row.boot_id, row.owner, row.fence) == (boot_id(), "a", 1)
    age = age_s(row.boot_id, row.beat_boot_ns)
    assert age is not None and age < 5
