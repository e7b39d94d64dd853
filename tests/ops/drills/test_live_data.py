"""The live data engine on the Operations page: a real engine's picture on a real Redis, each number with its age."""

import re
import threading
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import redis
from django.contrib.auth.models import User
from django.core.management import call_command

from desk.accounts.roles import OPERATOR
from desk.audit.models import AuditRecord
from desk.ops.pages.universe import STALE_S, row
from marketdata.core.universe.records import ACTIVE, MONITORED
from tests.data.kit import signed_in
from tests.run.feeding.kit import SHARES, Driven
from tests.shell.frames import make_session
from trading.control import CommandRefused, session_folder
from trading.live import universe
from trading.run.feeding.wishes import TOO_LATE, WAITING_MAX, Wish, Wishes
from trading.run.spec import SPEC_FILE, SessionSpec
from trading.run.streams import Board, StreamFull

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Driven]:
    driven = Driven(tmp_path)
    driven.start()
    driven.run(8)
    yield driven
    driven.engine.close()


def page(client: "Client") -> str:
    text = client.get("/ops/").content.decode()
    found = re.search(r'aria-labelledby="h-engines".*?</section>', text, re.S)
    assert found is not None
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0]))


def test_the_page_shows_who_is_watched_and_what_holds_moex_data_17(
    client: "Client", settings: Any, redis_server: str, redis_client: "redis.Redis", driven: Driven
) -> None:
    settings.REDIS_URL = redis_server
    client.force_login(User.objects.create_user("victor"))
    assert "No running session has a live data engine" in page(client)
    session = make_session()
    assert "No running session has a live data engine" in page(client), "this one has none"
    board = Board(redis_client, session.key)
    board.put({"engine": msgspec.json.encode(driven.engine.shown(driven.now))})
    words = page(client)
    for symbol in SHARES:
        assert f" {symbol} " in words
    assert "2 of 3" in words and "9 of 9 streams confirmed" in words
    assert words.count("● active") == 2 and " monitored " in words
    assert "● passed" in words and "indicators are not known" in words
    driven.engine.lost(driven.now)
    board.put({"engine": msgspec.json.encode(driven.engine.shown(driven.now))})
    assert "▲ held" in page(client)


def put_spec(spec: SessionSpec) -> None:
    """In the place of the one that `make_session` wrote."""
    (session_folder(spec.id) / SPEC_FILE).write_bytes(msgspec.json.encode(spec))


def answering(client: "redis.Redis", key: str, driven: Driven) -> threading.Thread:
    """A feed loop that answers one wish."""

    def work() -> None:
        wishes, deadline = Wishes(client, key), time.monotonic() + 30
        while time.monotonic() < deadline:
            if (wish := wishes.take()) is not None:
                wishes.answer(wish, driven.engine.asked(wish, driven.now))
                return
            time.sleep(0.005)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_an_operator_replaces_a_share_and_resyncs_moex_data_11_moex_data_15(
    client: "Client", settings: Any, redis_server: str, redis_client: "redis.Redis", driven: Driven, tmp_path: Path
) -> None:
    """From the page and from the shell: the engine's own answer, and an audit row of each wish."""
    settings.REDIS_URL, settings.VAR = redis_server, tmp_path
    session = make_session()
    put_spec(msgspec.structs.replace(driven.spec, id=session.id, key=session.key))
    first, _, third = SHARES
    body = {"current": first, "replacement": third, "reason": "wide for days"}
    client.force_login(User.objects.create_user("victor"))
    assert client.post(f"/ops/live/{session.id}/replace/", body).status_code == 403
    signed_in(client, "olga", OPERATOR)
    thread = answering(redis_client, session.key, driven)
    told = client.post(f"/ops/live/{session.id}/replace/", body, follow=True).content.decode()
    thread.join()
    assert "Nothing was done: the instrument to replace has not been active for long enough." in told
    driven.run(300)
    Board(redis_client, session.key).put({"engine": msgspec.json.encode(driven.engine.shown(driven.now))})
    words = page(client)
    assert "Replace" in words and "an active one" in words
    thread = answering(redis_client, session.key, driven)
    out = StringIO()
    line = ["replace", str(session.id), "--current", first, "--replacement", third.lower(), "--reason", "wide"]
    call_command("sessions", *line, "--by", "olga", stdout=out)
    thread.join()
    assert "done=replace" in out.getvalue() and driven.states()[0] == MONITORED and driven.states()[2] == ACTIVE
    thread = answering(redis_client, session.key, driven)
    told = client.post(f"/ops/live/{session.id}/resync/", {"reason": ""}, follow=True).content.decode()
    thread.join()
    assert "Live data begin anew" in told and driven.engine.counts["asked_resync"] == 1
    rows = AuditRecord.objects.filter(action__startswith="universe_").order_by("seq")
    assert [row.action for row in rows] == ["universe_replace_refused", "universe_replace", "universe_resync"]
    assert rows[1].detail == {"current": first, "replacement": third, "reason": "wide"}


def test_a_wish_that_nobody_hears_is_refused_and_never_done_later(
    settings: Any, redis_server: str, redis_client: "redis.Redis", driven: Driven, tmp_path: Path, monkeypatch: Any
) -> None:
    settings.REDIS_URL, settings.VAR = redis_server, tmp_path
    monkeypatch.setattr(universe, "ANSWER_S", 0.05)
    session = make_session()
    spec = msgspec.structs.replace(driven.spec, id=session.id, key=session.key)
    put_spec(msgspec.structs.replace(spec, universe=None))
    with pytest.raises(CommandRefused, match="has no live data engine"):
        universe.resync(session.id, "olga", "")
    put_spec(spec)
    with pytest.raises(CommandRefused, match="did not answer"):
        universe.replace(session.id, SHARES[0], SHARES[2], "olga", "wide")
    with pytest.raises(CommandRefused, match="needs a reason"):
        universe.replace(session.id, SHARES[0], SHARES[2], "olga", " ")
    wishes = Wishes(redis_client, session.key)
    monkeypatch.setattr("trading.run.feeding.wishes.LIFE_S", 0.0)
    assert wishes.take() is None, "too late"
    old = Wish("a", "resync", 0)
    wishes.ask(old)
    assert wishes.take() is None and wishes.answer_of(old) == TOO_LATE
    for _ in range(WAITING_MAX):
        wishes.ask(old)
    with pytest.raises(StreamFull):
        wishes.ask(old)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(CommandRefused, match="cannot be asked"):
        universe.resync(session.id, "olga", "")


def test_a_picture_that_is_old_says_so(driven: Driven) -> None:
    seen = msgspec.json.decode(msgspec.json.encode(driven.engine.shown(driven.now)))
    at = seen["boot_ns"]
    fresh, old = row("s1", seen, at), row("s1", seen, at + int((STALE_S + 1) * 1e9))
    assert (fresh["stale"], fresh["age_s"]) == (False, 0.0)
    assert (old["stale"], old["age_s"]) == (True, STALE_S + 1)
    assert [one["book_s"] is not None for one in old["instruments"]] == [True] * 3, "old numbers stay in sight"
    assert fresh["held_s"] is None and fresh["market_s"] is None and fresh["market"]["volatility"] is None
