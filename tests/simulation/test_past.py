"""An account over two sessions of the real risk loop: what one leaves, whatever ended it, and how the next opens.

The journal is the truth: `closing.json` only spares a replay, and counts while it names the journal's last frame.
"""

import hashlib

import msgspec
import numpy as np
import pytest

from marketdata.core.records import NO_TIME
from risk.core.holds import BIT
from tests.redis_server import RedisServer
from tests.simulation.desk import Desk
from tests.simulation.kit import LIMITS, command, quote, score
from trading.core.records import (
    CONFIG,
    CONFIG_COMMIT,
    DECISION,
    FILL,
    HOLD_RAISED,
    LOCK,
    PAST,
    PAUSE,
    SUBMIT,
    TRADE_CLOSED,
)
from trading.run.bodies.risk_loop import RiskLoop
from trading.run.journal.closing import CLOSING_FILE, Closing, ClosingUnknown, past_of, read_closing
from trading.run.journal.segment import segment_path
from trading.run.journal.verify import verify_journal
from trading.run.spec import HeldSpec, PastSpec


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def first(tmp_path, server) -> Desk:
    """A session that lost a round trip, was paused and is flat."""
    desk = Desk(tmp_path, server)
    desk.make_ready()
    desk.give(score(desk.now()))
    desk.step()
    (entry,) = desk.journal(SUBMIT)
    desk.give(desk.answer(FILL, entry, 20_001))
    desk.step()
    stop = next(order for order in desk.journal(SUBMIT) if order["role"] == 2)
    desk.give(desk.answer(FILL, stop, 19_993), command(PAUSE, desk.now(), 5))
    desk.step()
    assert len(desk.journal(TRADE_CLOSED)) == 1
    return desk


def heir(desk: Desk, server: RedisServer, past: PastSpec | None = None) -> Desk:
    """The next session, in a folder of its own."""
    folder = desk.folder.parent / "next"
    folder.mkdir()
    past = past or past_of(read_closing(desk.folder, 7), 0, desk.spec.created_ns)
    return Desk(folder, server, past=past)


def test_the_loop_leaves_what_the_journal_says_again(first):
    """Written at its end, by the kernel in hand; made again from the journal it is the same, to the state's hash."""
    first.loop.close()
    stored = msgspec.json.decode((first.folder / CLOSING_FILE).read_bytes().partition(b"\n")[2], type=Closing)
    assert read_closing(first.folder, 7) == stored
    (first.folder / CLOSING_FILE).unlink()
    again = read_closing(first.folder, 7)
    assert again == stored
    assert stored.figures["balance_micros"] == LIMITS["capital_micros"] - 8 * 1_250_000
    assert [held.code for held in stored.holds] == ["OPERATOR_PAUSE"] and stored.flat
    assert stored.state_sha256 == verify_journal(first.folder).state_sha256


def test_a_killed_loop_leaves_its_journal_and_that_is_enough(first):
    assert not (first.folder / CLOSING_FILE).exists(), "nothing was closed, as after SIGKILL"
    closing = read_closing(first.folder, 7)
    assert closing.figures["streak"] == 1 and closing.figures["day_net_micros"] == -10_000_000
    assert (first.folder / CLOSING_FILE).exists(), "nobody has to replay it again"


@pytest.mark.parametrize("spoil", ["text", "older", "foreign"])
def test_a_closing_that_does_not_fit_the_journal_counts_for_nothing(first, spoil):
    good = read_closing(first.folder, 7)
    path = first.folder / CLOSING_FILE
    if spoil == "text":
        path.write_bytes(path.read_bytes().replace(b'"streak":1', b'"streak":0'))
    elif spoil == "older":
        first.give(command(LOCK, first.now(), 9))  # refused, but in the journal
        first.step()
    else:
        other = msgspec.structs.replace(good, session=8, figures=good.figures | {"streak": 0})
        body = msgspec.json.encode(other)
        path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    found = read_closing(first.folder, 7)
    assert found.figures == good.figures and found.session == 7
    assert found.seq >= good.seq


def test_a_journal_that_is_gone_or_altered_is_unknown_never_fresh(first, tmp_path):
    path = segment_path(first.folder, 1)
    data = bytearray(path.read_bytes())
    data[256 * 40 + 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(ClosingUnknown, match="cannot be read"):
        read_closing(first.folder, 7)
    with pytest.raises(ClosingUnknown, match="missing"):
        read_closing(tmp_path / "nowhere", 7)


def test_a_session_that_is_not_flat_leaves_nothing_known(tmp_path, server):
    desk = Desk(tmp_path, server)
    desk.make_ready()
    desk.give(score(desk.now()))
    desk.step()
    desk.give(desk.answer(FILL, desk.journal(SUBMIT)[0], 20_001))
    desk.step()
    with pytest.raises(ClosingUnknown, match="position open"):
        read_closing(desk.folder, 7)


def test_the_heir_opens_with_it_before_anything_else_happens_mes_risk_22(first, server):
    """In its own journal, before the first limits, with number and state hash of the source; replay gives the same."""
    desk = heir(first, server)
    kinds = desk.journal()["kind"]
    told = np.flatnonzero(kinds == PAST)
    assert told.tolist() == list(range(len(told))) and len(told) > 12, "the very first rows"
    source = desk.journal(PAST)[0]
    closing = read_closing(first.folder, 7)
    assert (source["ref"], source["order_number"]) == (7, closing.seq)
    words = np.array([source["value"], source["volume"], source["qty"], source["until_ns"]], "<i8")
    assert words.tobytes().hex() == closing.state_sha256
    assert desk.journal(HOLD_RAISED)["code"][0] == BIT["OPERATOR_PAUSE"]
    desk.make_ready()
    desk.give(score(desk.now()))
    desk.step()
    assert desk.journal(DECISION)["code"].tolist() == [100 + BIT["OPERATOR_PAUSE"]]
    assert desk.loop.kernel.state.account[0].balance_micros == closing.figures["balance_micros"]
    assert verify_journal(desk.folder).ok


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_takeover_of_the_opening_tells_the_same_past(first, server, monkeypatch, place):
    """A crash before the set-up is in the journal, or just after it: the next owner opens the account the same way."""
    past = past_of(read_closing(first.folder, 7), 0, first.spec.created_ns)

    class Crash(BaseException):
        pass

    journal = RiskLoop._journal

    def crash(self, frames, *rest):
        if place == "after":
            journal(self, frames, *rest)
        raise Crash

    folder = first.folder.parent / "next"
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(RiskLoop, "_journal", crash)
        with pytest.raises(Crash):
            Desk(folder, server, past=past)
    desk = Desk(folder, server, past=past, fence=1)
    assert (desk.journal(PAST)["ref"] == 7).all() and len(desk.journal(CONFIG_COMMIT)) == 1
    assert len(desk.journal(PAST)) == 1 + len(past.figures) + len(past.holds), "told once"
    assert desk.loop.kernel.state.account[0].day_net_micros == -10_000_000
    assert verify_journal(desk.folder).ok


def test_a_set_up_that_was_cut_in_the_middle_trades_nothing(first, server):
    """The past comes first: whatever of the set-up a power cut left, there are no limits without it."""
    desk = heir(first, server)
    desk.loop.close()
    commit = int(np.flatnonzero(desk.journal()["kind"] == CONFIG_COMMIT)[0])
    path = segment_path(desk.folder, 1)
    path.write_bytes(path.read_bytes()[: 256 * (1 + commit)])
    for snapshot in desk.folder.glob("snapshot-*.bin"):
        snapshot.unlink()
    server.client().flushall()  # the power cut took Redis along
    desk.start()
    assert len(desk.journal(CONFIG)) > 0 and desk.loop.kernel.state.account[0].version == 0
    desk.make_ready()
    desk.give(quote(desk.now()), score(desk.now()))
    desk.step()
    assert len(desk.journal(SUBMIT)) == 0


def test_a_past_that_nobody_can_read_opens_under_its_hold_mes_hold_state_unreadable(first, server):
    desk = heir(first, server, PastSpec(session=7, fault="its journal is missing"))
    assert desk.journal(HOLD_RAISED)["code"][0] == BIT["STATE_UNREADABLE"]
    desk.make_ready()
    desk.give(score(desk.now()))
    desk.step()
    assert desk.journal(DECISION)["code"].tolist() == [100 + BIT["STATE_UNREADABLE"]]


def test_a_lock_that_ended_meanwhile_is_not_raised(first, server):
    closing = read_closing(first.folder, 7)
    over = HeldSpec("OPERATOR_LOCK", 1, first.spec.created_ns, 0, 0)
    stands = HeldSpec("MISMATCH", 1, NO_TIME, 0, 0)
    past = past_of(msgspec.structs.replace(closing, holds=[over, stands]), 0, first.spec.created_ns)
    raised = heir(first, server, past).journal(HOLD_RAISED)["code"].tolist()
    assert BIT["MISMATCH"] in raised and BIT["OPERATOR_LOCK"] not in raised
