"""How a session ends and how its halts are lifted: by the venue's proof, a flat ledger, names and a reason."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.utils import timezone

from risk.core.holds import BIT
from tests.shell.frames import make_session, ring
from trading import services
from trading.accounts import remedies
from trading.core import records as kinds
from trading.core import states
from trading.leases import want_loops
from trading.models import Command, Fill
from trading.run import guard
from trading.run.clock import CLOCK_FILE
from trading.run.context import LOOPS
from trading.run.spec import load_spec
from trading.run.streams import ZERO_ID

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]


def test_a_stopping_session_ends_only_after_the_venue_proved_flat(redis_server, redis_client):
    """UI-13: with the venue away nothing is proved, and the session goes on stopping."""
    session = make_session(redis_url=redis_server)
    ring(session, redis_client)
    spec = load_spec(services.session_folder(session.id))
    services.tell_guard(spec, True)
    want_loops(session.id, LOOPS, True)
    services.stop_session(session.id, "alice", "enough")
    session.refresh_from_db()
    assert session.status == states.STOPPING
    Command.objects.filter(kind="stop").update(state=states.DONE)
    assert services.finish_if_flat(session.id) is False
    session.refresh_from_db()
    assert session.status == states.STOPPING, "no venue, no proof, no end"


def test_a_reset_names_its_halts_and_pauses_first_mes_risk_13(redis_server, redis_client):
    """MES-RISK-13: who lifts one halt lifts no other, the kill is unlock's, and nothing trades by itself afterwards."""
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    for codes, reason in (
        (["NAKED_POSITION"], "short"),
        ([], "looked at the broker"),
        (["KILL_SWITCH"], "looked at it"),
    ):
        with pytest.raises(services.CommandRefused):
            remedies.lift(session.id, codes, "alice", reason)
    assert inbox.length() == 0
    call_command(
        "sessions", "reset", str(session.id), "--hold", "NAKED_POSITION", "--hold", "EQUITY_KILL",
        "--by", "alice", "--reason", "looked at the broker: flat",
    )  # fmt: skip
    sent = [entry.events[0] for entry in inbox.read(ZERO_ID, 0, 9)]
    assert [kinds.COMMANDS[int(event["code"])] for event in sent] == ["pause", "reset_halt"]
    assert int(sent[1]["value"]) == 1 << BIT["NAKED_POSITION"] | 1 << BIT["EQUITY_KILL"]


def test_a_stopping_session_ends_only_with_a_flat_ledger():
    """UI-13: the venue's proof may come before the ledger has the last fill."""
    session = make_session(status=states.STOPPING)
    Command.objects.create(
        key=uuid.uuid4(),
        ref=1,
        session=session,
        kind="stop",
        by="alice",
        state=states.DONE,
        requested_at=timezone.now(),
    )
    fill = {
        "order_number": 1,
        "instrument": 0,
        "symbol": "MES",
        "qty": 1,
        "price_tick": 20_000,
        "fee_micros": 0,
        "ts_ns": 1,
    }
    Fill.objects.create(session=session, seq=1, venue_ref=1, side=1, **fill)
    services.finish_if_flat(session.id)
    session.refresh_from_db()
    assert session.status == states.STOPPING, "nothing is watched, so the venue is flat; the ledger holds one"
    Fill.objects.create(session=session, seq=2, venue_ref=2, side=-1, **fill)
    services.finish_if_flat(session.id)
    session.refresh_from_db()
    assert session.status == states.ENDED


@pytest.mark.parametrize(
    ("status", "clock", "gone"),
    [
        (states.STARTING, False, True),
        (states.STOPPING, False, True),
        (states.FAILED, False, True),
        (states.STARTING, True, False),
        (states.RUNNING, True, False),
        (states.ENDED, False, False),
    ],
)
def test_only_a_session_without_a_clock_is_given_up(status: str, clock: bool, gone: bool):
    """A position may depend on the loops of one that has a clock: they are tried again."""
    session = make_session(status=status)
    folder = services.session_folder(session.id)
    spec = load_spec(folder)
    services.tell_guard(spec, True)
    want_loops(session.id, LOOPS, True)
    if clock:
        (folder / CLOCK_FILE).write_bytes(b"{}")
    command = Command.objects.create(
        key=uuid.uuid4(), ref=7, session=session, kind="start", by="alice", requested_at=timezone.now()
    )
    for _ in range(2):  # a second try after one that was cut off
        assert services.give_up(session.id, "no such file") is gone
    session.refresh_from_db()
    command.refresh_from_db()
    wanted = set(session.leases.filter(desired=True).values_list("loop", flat=True))
    watched = {target.key for target in guard.read_settings(services.var())}
    if gone:
        assert (session.status, command.state, wanted, watched) == (states.FAILED, states.COMMAND_FAILED, set(), set())
        assert status == states.FAILED or session.reason == "feed: no such file"
    else:
        assert (session.status, command.state) == (status, states.REQUESTED)
        assert (wanted, watched) == (set(LOOPS), {session.key})


def test_the_guards_list_has_one_writer_at_a_time(tmp_path):
    """A target that another thread puts on the list meanwhile is never lost: neither road of a kill would know it."""
    targets = [guard.Target(i, f"s{i}", f"s{i}", "venue.sock") for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda target: guard.watch(tmp_path, target, True), targets))
    assert {target.session for target in guard.read_settings(tmp_path)} == set(range(40))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda target: guard.watch(tmp_path, target, False), targets[1:]))
    assert guard.read_settings(tmp_path) == targets[:1]


def test_nothing_is_lifted_without_a_pause_before_it():
    """MES-RISK-13: with Redis away the pause does not arrive; a reset that came through alone would let it trade."""
    session = make_session()
    with pytest.raises(services.CommandRefused, match="could not be paused first"):
        remedies.lift(session.id, ["NAKED_POSITION"], "alice", "looked at the broker")
    assert [command.kind for command in Command.objects.all()] == ["pause"]
