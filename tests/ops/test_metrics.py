"""The text that a collector of metrics reads: who may, that it is well formed, and that a dead part is told as dead."""

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from django.contrib.auth.models import User

from desk.ops.pages import health, metrics
from desk.ops.pages.metrics import FAMILIES, PREFIX, Sample, text_of
from tests.run.feeding.kit import SHARES, Driven
from tests.shell.frames import make_session
from trading.run.streams import Board

if TYPE_CHECKING:
    from pathlib import Path

    import redis
    from django.test import Client

pytestmark = pytest.mark.django_db
TOKEN = "k" * 20
LINE = re.compile(r'scalpdesk_[a-z0-9_]+\{([a-z]+="(?:[^"\\\n]|\\.)*",?)*\} (-?[0-9][0-9.e+-]*|NaN|[+-]Inf)')


def test_numbers_stand_by_family_and_what_is_unknown_is_left_out() -> None:
    found = [
        Sample("queue_entries", 7, {"queue": 'a "b" \\ c\nd'}),
        Sample("loop_running", True, {"loop": "s1:feed"}),
        Sample("queue_age_seconds", None, {"queue": "a"}),
        Sample("universe_market", float("nan"), {"session": "s1", "indicator": "index"}),
        Sample("universe_market", float("-inf"), {"session": "s2", "indicator": "index"}),
        Sample("queue_entries", 0, {"queue": "e"}),
    ]
    text = text_of(found)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        'scalpdesk_loop_running{loop="s1:feed"} 1',
        'scalpdesk_queue_entries{queue="a \\"b\\" \\\\ c\\nd"} 7',
        'scalpdesk_queue_entries{queue="e"} 0',
        'scalpdesk_universe_market{session="s1",indicator="index"} NaN',
        'scalpdesk_universe_market{session="s2",indicator="index"} -Inf',
    ]
    assert all(LINE.fullmatch(line) for line in lines) and text.count("# TYPE") == 3


def test_only_who_is_signed_in_or_shows_the_token_reads(client: "Client", settings: Any) -> None:
    """MOEX-DATA-17: never open by default; an empty token opens nothing."""

    def status(**headers: str) -> int:
        return int(client.get("/metrics/", headers=headers).status_code)

    settings.METRICS_TOKEN = ""
    assert [status(), status(authorization="Bearer "), status(authorization="Bearer")] == [401] * 3
    settings.METRICS_TOKEN = TOKEN
    wrong = (f"Bearer {TOKEN}x", f"Bearer {TOKEN[1:]}", f"Basic {TOKEN}", TOKEN, "Bearer é")
    assert [status(authorization=words) for words in wrong] == [401] * len(wrong)
    assert status(authorization=f"Bearer {TOKEN}") == 200 and client.post("/metrics/").status_code == 405
    settings.METRICS_TOKEN = ""
    client.force_login(User.objects.create_user("victor"))
    assert status() == 200


def test_a_session_with_a_live_engine_is_told_whole(
    client: "Client", settings: Any, redis_server: str, redis_client: "redis.Redis", tmp_path: "Path"
) -> None:
    """MOEX-DATA-17: each share and the totals; a part of the desk that does not answer is told as such."""
    settings.REDIS_URL = redis_server
    client.force_login(User.objects.create_user("victor"))
    driven = Driven(tmp_path)
    try:
        driven.start()
        driven.run(8)
        session = make_session()
        Board(redis_client, session.key).put({"engine": msgspec.json.encode(driven.engine.shown(driven.now))})
    finally:
        driven.engine.close()
    redis_client.rpush(settings.STUDY_QUEUE, b"{}")
    answer = client.get("/metrics/")
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.content.decode().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    for name in ("spread_ratio", "samples", "book_age_seconds", "active"):
        told = [line for line in lines if line.startswith(f"{PREFIX}instrument_{name}{{")]
        assert len(told) == len(SHARES), name
    of = f'{{session="{session.key}",state="active"}}'
    assert f"{PREFIX}universe_members{of} 2" in lines
    assert f'{PREFIX}section_up{{section="universe"}} 1' in lines
    assert f'{PREFIX}section_up{{section="processes"}} 0' in lines, "no supervisor runs here"
    assert f'{PREFIX}queue_entries{{queue="{session.key} inbox"}} 0' in lines
    assert f'{PREFIX}queue_entries{{queue="{health.JOBS[settings.STUDY_QUEUE]}"}} 1' in lines
    assert {line.partition("{")[0].removeprefix(PREFIX) for line in lines} <= set(FAMILIES)


def test_every_family_that_is_told_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number without a family would be lost in silence."""
    loop = {
        "name": "s1:feed",
        "age_s": 0.1,
        "state": "running",
        "restarts": 1,
        "detail": {"a": 1, "b": {"c": 2}, "d": ""},
    }
    parts = {
        "loops": [loop],
        "hops": [{"hop": "bus", "ms": 1.5, "ok": True}],
        "queues": [{"queue": "q", "length": 1, "cap": 2, "age_ms": 3.0}],
        "processes": [{"name": "web", "ok": True, "memory_mb": 1.0, "up_s": 5}],
        "disk": [{"what": "free", "mb": 1.0}],
    }
    for name, rows in parts.items():
        monkeypatch.setattr(health, name, lambda rows=rows: rows)
    monkeypatch.setattr(metrics, "engines", list)
    stage = {"name": "gate", "unit": "µs", "p50": 2.0, "p99": 4.0}
    monkeypatch.setattr(metrics, "stages", lambda bench: [stage])
    found = list(metrics.samples())
    assert {sample.name for sample in found} <= set(FAMILIES)
    values = {(sample.name, *sample.labels.values()): sample.value for sample in found}
    assert values["loop_figure", "s1:feed", "b_c"] == 2 and values["hop_seconds", "bus"] == 0.0015
    assert values["stage_seconds", "gate", "0.99"] == pytest.approx(4e-6)
    assert values["process_resident_bytes", "web"] == 1 << 20
