"""The page "why, or why not", and the impact preview's pages and job, over Django's own client."""

import csv
import io
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django import conf
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.utils import timezone

from desk.config import previews
from desk.config.models import CANCELLED, DONE, FAILED, RUNNING, ImpactRun
from desk.config.tasks import run_impact
from desk.dashboard.pages import why as why_page
from marketdata.jobs import places
from risk.core.gate import RULES
from tests.kernel.desk import Desk, S
from tests.shell.frames import make_session
from tests.why.recorded import shown_session, write_frames
from trading import configs, services
from trading.core import records as r
from trading.models import ConfigVersion, Decision, Order, Session
from trading.run.replica import Kernel

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(client: Client) -> Client:
    """Victor, who may only read."""
    client.force_login(User.objects.create_user("victor"))
    return client


@pytest.fixture
def operator(client: Client) -> Client:
    olga = User.objects.create_user("olga")
    olga.groups.add(Group.objects.get(name="operator"))
    client.force_login(olga)
    return client


@pytest.fixture
def session() -> Session:
    """A session with the journal of `shown_session`."""
    made = make_session(status="ended")
    write_frames(services.session_folder(made.id), frames())
    return made


def frames() -> np.ndarray:
    return Kernel().apply(np.concatenate(shown_session()))


def decisions() -> np.ndarray:
    rows = frames()
    return rows[rows["kind"] == r.DECISION]


def test_the_page_answers_by_number_and_by_time(reader: Client, session: Session) -> None:
    """N6: the refusal in words, every rule, gauges, what was held; the next decision one link away."""
    seqs = [int(seq) for seq in decisions()["seq"]]
    text = reader.get(f"/sessions/{session.id}/why/?seq={seqs[-1]}").content.decode()
    assert "Refused: operator pause" in text and "would refuse" in text
    assert f"?seq={seqs[-2]}" in text and "No later decision near" in text
    assert "Spread ticks max" in text and "5 ticks over" in text
    assert text.count('<th scope="row" class="asks">') == len(RULES)
    at = int(decisions()["ts_ns"][0]) // 1000
    first = reader.get(f"/sessions/{session.id}/why/?at={at}").content.decode()
    assert "Taken" in first and "Every rule of the gate passed." in first
    assert f"?seq={seqs[1]}" in first and "No earlier decision near" in first


def test_a_folded_row_of_the_ledger_says_how_often(reader: Client, session: Session) -> None:
    seqs = [int(seq) for seq in decisions()["seq"]]
    shared = {"symbol": "MES", "instrument": 0, "side": 1, "score_ppm": 1, "confidence_ppm": 1}
    Decision.objects.create(
        session=session, seq=seqs[1], last_seq=seqs[3], same=3, ts_ns=10**18, last_ns=10**18 + S, code=13, **shared
    )
    text = reader.get(f"/sessions/{session.id}/why/?seq={seqs[2]}").content.decode()
    assert "The same was said 3 times in a row" in text and f"?seq={seqs[3]}" in text


def test_a_silence_is_explained(reader: Client, session: Session) -> None:
    last = int(frames()["ts_ns"][-1]) // 1000
    text = reader.get(f"/sessions/{session.id}/why/?at={last}").content.decode()
    assert "NO DECISION WITHIN A MINUTE" in text and "The feed was silent for" in text


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("?at=soon", 422, "is not a time like"),
        ("?seq=1", 404, "is no decision"),
        ("?seq=99999999", 404, "is no decision"),
        ("?at=2026-03-04T05:00:00&zone=venue", 200, "NO DECISION"),
        ("", 200, "Refused"),
        ("?at=9999-12-31T23:59:59-05:00", 422, "is beyond the calendar"),
    ],
)
def test_what_cannot_be_answered_says_why(
    reader: Client, session: Session, query: str, status: int, words: str
) -> None:
    answer = reader.get(f"/sessions/{session.id}/why/{query}")
    assert answer.status_code == status
    assert words in answer.content.decode()
    file = reader.get(f"/sessions/{session.id}/why/rules.csv{query}")
    assert file.status_code == (200 if status == 200 else 404)


def sent(session: Session, row: np.record) -> Order:
    """The ledger's row of a SUBMIT."""
    seq = int(row["seq"])
    own: dict[str, Any] = {"number": int(row["order_number"]), "seq": seq, "last_seq": seq, "version_id": 1}
    own |= {"instrument": 0, "symbol": "MES", "side": int(row["side"]), "order_type": int(row["order_type"])}
    own |= {"role": int(row["role"]), "status": 0, "request": 0, "qty": int(row["qty"])}
    return Order.objects.create(session=session, sent_ns=int(row["ts_ns"]), changed_ns=int(row["ts_ns"]), **own)


def test_an_order_leads_to_the_decision_that_made_it(reader: Client, session: Session) -> None:
    """By its number, not by its time: others may have been decided at the same one."""
    rows = frames()
    submits = rows[rows["kind"] == r.SUBMIT]
    entry, leg = (sent(session, submits[submits["role"] == role][0]) for role in (r.ENTRY, r.STOP_LOSS))
    seq = int(decisions()["seq"][0])
    found = reader.get(f"/sessions/{session.id}/why/?order={entry.number}")
    assert found.status_code == 200 and "Taken" in found.content.decode()
    assert found.context["d"].seq == seq
    file = reader.get(f"/sessions/{session.id}/why/rules.csv?order={entry.number}")
    assert f"why-{seq}.csv" in file["Content-Disposition"]
    refused = reader.get(f"/sessions/{session.id}/why/?order={leg.number}")
    assert refused.status_code == 404 and "protects or closes what is held" in refused.content.decode()
    unknown = reader.get(f"/sessions/{session.id}/why/?order=999")
    assert unknown.status_code == 404 and "no order of this number" in unknown.content.decode()


def test_two_moments_are_looked_up_at_once(reader: Client, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A far moment replays for seconds in the process that serves KILL: a third one is asked to wait."""
    monkeypatch.setattr(why_page, "WAIT_S", 0.01)
    address = f"/sessions/{session.id}/why/"
    with why_page.AT_ONCE, why_page.AT_ONCE:
        for path in (address, f"{address}rules.csv"):
            answer = reader.get(path)
            assert answer.status_code == 503 and "Ask again in a few seconds" in answer.content.decode()
    assert reader.get(address).status_code == 200


def test_a_session_that_never_ran_and_one_that_does_not_exist(reader: Client) -> None:
    made = make_session(status="created")
    answer = reader.get(f"/sessions/{made.id}/why/")
    assert answer.status_code == 404 and "has not run" in answer.content.decode()
    assert reader.get("/sessions/99999/why/").status_code == 404


def test_a_damaged_journal_shows_nothing_of_it(reader: Client, session: Session) -> None:
    path = next(services.session_folder(session.id).glob("journal-*.seg"))
    data = bytearray(path.read_bytes())
    data[256 * 30] ^= 1
    path.write_bytes(data)
    seq = int(decisions()["seq"][0])
    answer = reader.get(f"/sessions/{session.id}/why/?seq={seq}")
    text = answer.content.decode()
    assert answer.status_code == 500 and "cannot be read to the end" in text and "SHA-256 of everything" not in text


def test_the_rules_as_csv(reader: Client, session: Session) -> None:
    seq = int(decisions()["seq"][-1])
    answer = reader.get(f"/sessions/{session.id}/why/rules.csv?seq={seq}")
    assert answer["Content-Type"] == "text/csv; charset=utf-8" and f"why-{seq}.csv" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["reason"] for row in rows if row["verdict"] == "refuses" and row["reached"] == "true"] == [
        "OPERATOR_PAUSE"
    ]


def test_the_report_and_its_rows_lead_there(reader: Client, session: Session) -> None:
    seq = int(decisions()["seq"][0])
    Decision.objects.create(
        session=session, seq=seq, last_seq=seq, ts_ns=10**18, last_ns=10**18, code=0, symbol="MES", instrument=0,
        side=1, score_ppm=1, confidence_ppm=1,
    )  # fmt: skip
    text = reader.get(f"/sessions/{session.id}/?list=decisions").content.decode()
    assert f'href="/sessions/{session.id}/why/"' in text and f'href="/sessions/{session.id}/why/?seq={seq}"' in text


# impact


@pytest.fixture
def draft(session: Session) -> ConfigVersion:
    """A tighter draft of the session's profile; the session has run."""
    Session.objects.filter(id=session.id).update(started_at=timezone.now())
    active = ConfigVersion.objects.get(id=session.version_id)
    text = configs.to_yaml(configs.profile_of(active)).replace("spread_ticks_max: ", "spread_ticks_max: 1 # ")
    return configs.store(configs.parse_yaml(text, "draft"), author="olga", reason="a tighter spread")


def ask(version: ConfigVersion, sessions: int = 3) -> ImpactRun:
    """A waiting run, as the page makes one, without a queue."""
    now, code = timezone.now(), conf.settings.CODE_HASH
    return ImpactRun.objects.create(version=version, sessions=sessions, by="olga", asked_at=now, beat_at=now, code=code)


def test_a_run_goes_from_waiting_to_its_result(operator: Client, draft: ConfigVersion, session: Session) -> None:
    """N8: asked, watched, done; the activation page shows it, the CSV holds it, a second message finds it taken."""
    run = ask(draft)
    address = f"/admin/trading/configversion/{draft.id}/impact/"
    page = operator.get(address).content.decode()
    assert "Waits for the batch worker" in page and 'http-equiv="refresh"' in page
    assert previews.run(run.pk) == DONE
    assert previews.run(run.pk) == "", "a message that comes twice"
    run.refresh_from_db()
    assert (run.state, run.done, run.total) == (DONE, 1, 1) and run.finished_at is not None
    assert [row["key"] for row in run.result["rows"]] == [session.key]
    page = operator.get(address).content.decode()
    assert "Would have blocked" in page and 'http-equiv="refresh"' not in page and session.key in page
    activation = operator.get(f"/admin/trading/configversion/{draft.id}/activate/").content.decode()
    assert "Would have blocked" in activation and "simulated venue" in activation
    ImpactRun.objects.update(code="another")
    activation = operator.get(f"/admin/trading/configversion/{draft.id}/activate/").content.decode()
    assert "Would have blocked" not in activation, "what other code found is not what would happen"
    ImpactRun.objects.update(code=conf.settings.CODE_HASH)
    rows = list(csv.DictReader(io.StringIO(operator.get(f"{address}rows.csv").content.decode())))
    assert [row["session"] for row in rows] == [session.key]


def test_a_worker_that_sees_another_folder_previews_nothing(
    draft: ConfigVersion, settings: Any, tmp_path: Path
) -> None:
    """Its sessions of these numbers are another desk's."""
    place, run = places.here(), ask(draft)
    settings.VAR = tmp_path / "elsewhere"
    assert run_impact(run_id=run.pk, place=place) == FAILED
    run.refresh_from_db()
    assert run.state == FAILED and "does not see this desk's runtime folder" in run.detail
    assert run_impact(run_id=run.pk, place=place) == "", "a message that comes twice"


def test_before_a_preview_the_activation_page_offers_one(operator: Client, draft: ConfigVersion) -> None:
    text = operator.get(f"/admin/trading/configversion/{draft.id}/activate/").content.decode()
    assert "Not replayed yet" in text and f"/admin/trading/configversion/{draft.id}/impact/ask/" in text
    assert operator.get(f"/admin/trading/configversion/{draft.id}/impact/rows.csv").status_code == 404


def test_a_queue_that_is_away_fails_the_run_at_once(
    operator: Client, draft: ConfigVersion, settings: Any, free_port: int
) -> None:
    """No Redis runs there: the row says so, and nothing waits for ever."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port}/0"
    answer = operator.post(f"/admin/trading/configversion/{draft.id}/impact/ask/", {"sessions": "2"}, follow=True)
    run = ImpactRun.objects.get(version=draft)
    assert run.state == FAILED and "queue does not answer" in run.detail
    assert "queue does not answer" in answer.content.decode()


@pytest.mark.parametrize("sessions", ["0", "21", "many", ""])
def test_the_number_of_sessions_is_bounded(operator: Client, draft: ConfigVersion, sessions: str) -> None:
    answer = operator.post(f"/admin/trading/configversion/{draft.id}/impact/ask/", {"sessions": sessions}, follow=True)
    assert "Ask for 1 to 20 sessions." in answer.content.decode()
    assert not ImpactRun.objects.exists()


def test_one_open_run_a_version_and_a_cancelled_one_stops(
    operator: Client, draft: ConfigVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ask(draft)
    again = previews.ask(draft, 5, "olga")
    assert again.pk == run.pk and ImpactRun.objects.count() == 1
    monkeypatch.setattr(previews, "BEAT_S", 0.0)
    ImpactRun.objects.filter(id=run.pk).update(state=RUNNING)
    beat = previews._Beat(run.pk)
    beat.show(0, 1, "s1")
    operator.post(f"/admin/trading/configversion/{draft.id}/impact/cancel/")
    with pytest.raises(previews.Ended):
        beat.show(0, 1, "s1")
    run.refresh_from_db()
    assert run.state == CANCELLED and run.detail == "cancelled by olga"
    assert not previews.cancel(run.pk, "olga")


def test_an_open_run_that_ends_while_another_is_asked_for_makes_room(
    draft: ConfigVersion, settings: Any, free_port: int
) -> None:
    """Between the refused insert and the look for who stood in the way that run is closed, as another process would."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port}/0"
    first = ask(draft)
    inserts: list[str] = []

    def close_in_between(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT INTO") and "impactrun" in sql:
            inserts.append(sql)
        elif sql.startswith("SELECT") and "impactrun" in sql and len(inserts) == 1:
            inserts.append("closed")
            ImpactRun.objects.filter(id=first.pk).update(state=CANCELLED, finished_at=timezone.now())
        return execute(sql, params, many, context)

    with connection.execute_wrapper(close_in_between):
        run = previews.ask(draft, 5, "olga")
    assert run.pk != first.pk and run.sessions == 5
    assert inserts[1] == "closed" and len(inserts) == 3, "refused, closed, asked again"


def test_a_run_that_lost_its_process_is_not_waited_for(draft: ConfigVersion) -> None:
    run = ask(draft)
    long_ago = timezone.now() - timedelta(seconds=previews.QUEUE_S + 1)
    ImpactRun.objects.filter(id=run.pk).update(asked_at=long_ago)
    shown = previews.latest(draft)
    assert shown is not None and (shown.state, shown.detail) == (FAILED, "no batch worker took it")
    ImpactRun.objects.filter(id=run.pk).update(state=RUNNING, beat_at=long_ago)
    shown = previews.latest(draft)
    assert shown is not None and (shown.state, shown.detail) == (FAILED, "its process ended without a result")
    assert ImpactRun.objects.get(id=run.pk).state == RUNNING, "looking writes nothing"
    previews._close_lost()
    assert ImpactRun.objects.get(id=run.pk).state == FAILED


def test_a_run_that_was_given_up_is_not_done_when_its_turn_comes(draft: ConfigVersion) -> None:
    run = ask(draft)
    long_ago = timezone.now() - timedelta(seconds=previews.QUEUE_S + 1)
    ImpactRun.objects.filter(id=run.pk).update(asked_at=long_ago)
    assert previews.run(run.pk) == FAILED
    run.refresh_from_db()
    assert (run.state, run.detail, run.done) == (FAILED, "no batch worker took it", 0)
    assert previews.run(run.pk) == "", "a message that comes twice"


@pytest.mark.django_db(transaction=True)
def test_a_first_compile_is_no_lost_process(draft: ConfigVersion) -> None:
    """Nothing calls back while the first chunk is compiled; a thread shows that the process lives, until it ends."""
    run = ask(draft)
    long_ago = timezone.now() - timedelta(seconds=previews.LOST_S + 1)
    ImpactRun.objects.filter(id=run.pk).update(state=RUNNING, beat_at=long_ago)
    lost = previews.latest(draft)
    assert lost is not None and lost.state == FAILED
    deadline = time.monotonic() + 120
    with previews.Compiling(run.pk, every_s=0.01) as compiling:
        while compiling.signs == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)  # the thread is at work: there is no clock to inject
    shown = previews.latest(draft)
    assert shown is not None and (shown.state, shown.beat_at > long_ago) == (RUNNING, True)


def test_the_signs_end_with_the_first_replayed_chunk(draft: ConfigVersion) -> None:
    """Also when sessions before it were left out: only a session that is named twice has been replayed at all."""
    run = ask(draft)
    ImpactRun.objects.filter(id=run.pk).update(state=RUNNING)
    compiling = previews.Compiling(run.pk)
    beat = previews._Beat(run.pk, compiling)
    for done, over in ((0, False), (1, False), (1, True)):
        beat.show(done, 2, f"s{done}")
        assert compiling._ended.is_set() == over


def test_a_reader_may_look_and_not_ask(reader: Client, draft: ConfigVersion) -> None:
    assert reader.get(f"/admin/trading/configversion/{draft.id}/impact/").status_code == 200
    assert reader.post(f"/admin/trading/configversion/{draft.id}/impact/ask/", {"sessions": "1"}).status_code == 403
    assert reader.post(f"/admin/trading/configversion/{draft.id}/impact/cancel/").status_code == 403
    assert not ImpactRun.objects.exists()


def test_a_live_desk_of_this_kernel_is_what_the_pages_read(session: Session) -> None:
    """The journal of these tests is the kernel's own, not made up."""
    desk = Desk()
    assert desk.enter() == 1 and int(frames()["seq"][-1]) == len(frames())
