"""What only a person can do for an account: state figures, book money, give a session up (STATE_UNREADABLE)."""

import shutil
import uuid
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from marketdata.core.units import NANOS
from risk.core.holds import BIT
from tests.shell.account.kit import USD, lived, losing, made, spec_of
from tests.shell.frames import Tape, context_of, make_session, ring
from trading import services
from trading.accounts import remedies
from trading.control import running_specs, session_folder
from trading.core import records as kinds
from trading.core import states
from trading.core.past import PAST_STATED
from trading.models import Command, Session
from trading.run.clock import SessionClock, boot_ns, load_clock, save_clock
from trading.run.latch import clear_latch, write_latch
from trading.run.replica import Kernel
from trading.run.spec import load_spec, setup_events
from trading.run.streams import ZERO_ID
from trading.sinks import LedgerFollower

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]

# a person states the figures

FIGURES = {"balance_micros": 900 * USD, "peak_micros": 950 * USD, "reference_micros": 1_000 * USD}
WORDS = (
    "--balance",
    "900",
    "--peak",
    "950",
    "--reference",
    "1000",
    "--day-net",
    "-30.5",
    "--reason",
    "read at the broker",
)


def held_session(redis_url: str) -> Session:
    session = make_session(redis_url=redis_url)
    tape = Tape().add(kinds.HOLD_RAISED, code=BIT["STATE_UNREADABLE"], instrument=-1)
    LedgerFollower(context_of(session)).apply(tape.frames())
    return session


def test_stated_figures_go_in_between_a_pause_and_the_reset_mes_hold_state_unreadable(redis_server, redis_client):
    session = held_session(redis_server)
    inbox = ring(session, redis_client)
    call_command("sessions", "state", str(session.id), "--by", "alice", *WORDS)
    sent = [entry.events[0] for entry in inbox.read(ZERO_ID, 0, 9)]
    assert [int(e["kind"]) for e in sent] == [kinds.COMMAND, kinds.PAST, kinds.COMMAND]
    assert [int(sent[i]["code"]) for i in (0, 2)] == [kinds.PAUSE, kinds.RESET_HALT]
    stated = sent[1]
    assert int(stated["code"]) == PAST_STATED
    told = tuple(int(stated[name]) for name in ("value", "volume", "qty", "fee_micros"))
    assert told == (900 * USD, 950 * USD, 1_000 * USD, -30_500_000)
    assert int(sent[2]["value"]) == 1 << BIT["STATE_UNREADABLE"]
    assert [(c.kind, c.by) for c in Command.objects.order_by("id")] == [("pause", "alice"), ("reset_halt", "alice")]


@pytest.mark.parametrize(
    ("figures", "reason", "words"),
    [
        (FIGURES | {"day_net_micros": 0}, "short", "reason of 10 characters"),
        (FIGURES, "read at the broker", "state exactly these"),
        (FIGURES | {"day_net_micros": 0, "streak": 1}, "read at the broker", "state exactly these"),
        (FIGURES | {"day_net_micros": 2**61}, "read at the broker", "more money"),
        (FIGURES | {"day_net_micros": 0, "peak_micros": 1}, "read at the broker", "the peak is the highest"),
    ],
)
def test_a_statement_that_makes_no_sense_is_refused(redis_server, redis_client, figures, reason, words):
    session = held_session(redis_server)
    inbox = ring(session, redis_client)
    with pytest.raises(services.CommandRefused, match=words):
        remedies.state_figures(session.id, figures, "alice", reason)
    assert inbox.length() == 0


def test_figures_are_stated_under_the_hold_alone(redis_server, redis_client):
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    with pytest.raises(CommandError, match="does not stand"):
        call_command("sessions", "state", str(session.id), *WORDS)
    with pytest.raises(CommandError, match=r"not an amount|not a number|is not"):
        call_command("sessions", "state", str(session.id), *WORDS[:1], "much", *WORDS[2:])
    assert inbox.length() == 0


def test_figures_are_not_stated_while_something_is_held_or_works(redis_server, redis_client):
    """The kernel would not hear it: the person is told before."""
    session = held_session(redis_server)
    inbox = ring(session, redis_client)
    tape = Tape().add(kinds.HOLD_RAISED, code=BIT["STATE_UNREADABLE"], instrument=-1)
    order = {"order_number": 1, "side": 1, "qty": 2, "order_type": kinds.LIMIT, "role": kinds.ENTRY, "value": 1}
    tape.add(kinds.SUBMIT, ref=1, **order)
    LedgerFollower(context_of(session)).apply(tape.frames())
    for _ in range(2):
        with pytest.raises(CommandError, match="NOT_FLAT"):
            call_command("sessions", "state", str(session.id), *WORDS)
        fill = {"order_number": 1, "side": 1, "qty": 2, "price_tick": 20_000, "fee_micros": 840_000}
        tape.add(kinds.FILL, ref=1, **fill)
        tape.add(kinds.ORDER_STATE, order_number=1, side=1, qty=2, volume=2, code=2, value=0)
        LedgerFollower(context_of(session)).apply(tape.frames())
    assert inbox.length() == 0


def test_money_is_booked_in_and_out_and_is_no_result_mes_risk_01(redis_server, redis_client):
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    call_command("sessions", "transfer", str(session.id), "--amount", "-250.5", "--reason", "rent is due today")
    (sent,) = [entry.events[0] for entry in inbox.read(ZERO_ID, 0, 9)]
    assert (int(sent["kind"]), int(sent["value"])) == (kinds.TRANSFER, -250_500_000)
    row = Command.objects.get(kind="transfer")
    assert (row.state, row.argument, row.by, row.seq) == (states.ACCEPTED, -250_500_000, "operator", None)
    tape = Tape().add(kinds.TRANSFER, value=-250_500_000, instrument=-1, ref=int(sent["ref"]))
    LedgerFollower(context_of(session)).apply(tape.frames())
    session.refresh_from_db()
    assert session.balance_micros == 10_000 * USD - 250_500_000
    row.refresh_from_db()
    assert (row.state, row.seq) == (states.DONE, 1), "the journal shows it"
    for amount, reason in ((0, "rent is due today"), (USD, "short")):
        with pytest.raises(services.CommandRefused):
            remedies.transfer(session.id, amount, "alice", reason)
    Session.objects.filter(id=session.id).update(status=states.ENDED)
    with pytest.raises(services.CommandRefused, match="money moves in a running one"):
        remedies.transfer(session.id, USD, "alice", "rent is due today")
    assert inbox.length() == 1


def test_one_key_books_once_and_what_redis_does_not_answer_is_unknown(redis_server, redis_client):
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    key, words = uuid.uuid4(), ("alice", "rent is due today")
    first, made = remedies.transfer(session.id, USD, *words, key)
    again, made_again = remedies.transfer(session.id, USD, *words, key)
    assert (first.pk, made, made_again, inbox.length()) == (again.pk, True, False, 1)
    with pytest.raises(services.CommandRefused, match="another transfer"):
        remedies.transfer(session.id, 2 * USD, *words, key)
    away = make_session(redis_url="redis://127.0.0.1:1/0")
    row, _ = remedies.transfer(away.id, USD, *words)
    assert row.state == states.UNKNOWN and "may be booked or not" in row.detail
    tape = Tape().add(kinds.TRANSFER, value=USD, instrument=-1, ref=row.ref)
    LedgerFollower(context_of(away)).apply(tape.frames())
    row.refresh_from_db()
    assert row.state == states.DONE, "it had arrived after all"


def test_a_session_that_can_never_end_is_given_up_under_the_latch_and_leaves_nothing_known():
    """Its journal does not replay any more, so no loop takes a stop: the account must not be locked up with it."""
    stuck = lived(losing(), status=states.RUNNING)
    shutil.rmtree(services.session_folder(stuck.id))
    spec = spec_of(stuck)
    words = ("sessions", "abandon", str(stuck.id), "--by", "alice", "--reason", "its journal does not replay")
    with pytest.raises(CommandError, match="NOT_LATCHED"):
        call_command(*words)
    write_latch(services.var(), "alice", "a stuck session")
    services.tell_guard(spec, True)
    with pytest.raises(CommandError, match="NOT_FLAT"):
        call_command(*words)  # no venue, no proof
    services.tell_guard(spec, False)
    call_command(*words)
    stuck.refresh_from_db()
    assert (stuck.status, stuck.reason) == (states.FAILED, "given up by alice: its journal does not replay")
    with pytest.raises(CommandError, match="is failed"):
        call_command(*words)
    assert running_specs() == [], "an unlock reads the spec of everything that the guard watches"
    clear_latch(services.var())
    second = made()
    services.start_session(second.id, "alice")
    heir = load_spec(services.session_folder(second.id))
    assert heir.past is not None and (heir.past.session, heir.past.fault) == (stuck.id, "its journal is missing")


# a person locks themselves out

START_NS = 1_772_636_400 * NANOS  # 2026-03-04 15:00 UTC


def test_a_lock_goes_to_the_kernel_with_its_hour_mes_hold_operator_lock(redis_server, redis_client):
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    save_clock(session_folder(session.id), SessionClock(START_NS, boot_ns(), 1.0))
    now_ns = load_clock(session_folder(session.id)).now()
    until = datetime.fromtimestamp(now_ns // NANOS + 7200, UTC)
    call_command("sessions", "lock", str(session.id), "--by", "alice", "--until", until.isoformat())
    (sent,) = [entry.events[0] for entry in inbox.read(ZERO_ID, 0, 9)]
    assert (int(sent["kind"]), int(sent["code"])) == (kinds.COMMAND, kinds.LOCK)
    assert int(sent["value"]) == int(until.timestamp()) * NANOS
    kernel = Kernel()
    kernel.apply(setup_events(spec_of(session)))
    for end in (sent["value"], sent["value"] - 3600 * NANOS):
        event = sent.reshape(1).copy()
        event["value"] = end
        kernel.apply(event)
    assert int(kernel.state.account[0].holds) >> BIT["OPERATOR_LOCK"] & 1
    assert int(kernel.state.holds[BIT["OPERATOR_LOCK"]].until_ns) == int(sent["value"]), "nothing shortens it"


def test_a_lock_that_is_none_is_refused(redis_server, redis_client):
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    save_clock(session_folder(session.id), SessionClock(START_NS, boot_ns(), 1.0))
    now_ns = load_clock(session_folder(session.id)).now()
    for until_ns in (now_ns - NANOS, 0, now_ns + 400 * 86_400 * NANOS):
        with pytest.raises(services.CommandRefused, match="after the session's clock"):
            remedies.lock_out(session.id, until_ns, "alice")
    with pytest.raises(CommandError, match="not a time with its offset"):
        call_command("sessions", "lock", str(session.id), "--until", "18:00")
    assert inbox.length() == 0
