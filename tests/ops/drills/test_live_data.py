"""The live data engine on the Operations page: a real engine's picture on a real Redis, each number with its age."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import redis
from django.contrib.auth.models import User

from desk.ops.pages.universe import STALE_S, row
from tests.run.feeding.kit import SHARES, Driven
from tests.shell.frames import make_session
from trading.run.streams import Board

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


def test_a_picture_that_is_old_says_so(driven: Driven) -> None:
    seen = msgspec.json.decode(msgspec.json.encode(driven.engine.shown(driven.now)))
    at = seen["boot_ns"]
    fresh, old = row("s1", seen, at), row("s1", seen, at + int((STALE_S + 1) * 1e9))
    assert (fresh["stale"], fresh["age_s"]) == (False, 0.0)
    assert (old["stale"], old["age_s"]) == (True, STALE_S + 1)
    assert [one["book_s"] is not None for one in old["instruments"]] == [True] * 3, "old numbers stay in sight"
    assert fresh["held_s"] is None and fresh["market_s"] is None and fresh["market"]["volatility"] is None
