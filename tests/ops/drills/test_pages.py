"""The Operations pages: what they show, who may press, and what they say when half of the desk does not answer."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse
from django.utils import timezone

from desk.ops import selectors, tasks
from desk.ops.drills import record
from desk.ops.models import DrillRun
from desk.ops.pages.summary import by_case, stages
from marketdata.models import ImportRun

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
PAGES = ("/ops/", "/ops/latency/", "/ops/drills/")


@pytest.fixture
def alice() -> User:
    """An operator."""
    person = User.objects.create_user("alice")
    person.groups.add(Group.objects.get(name="operator"))
    return person


@pytest.fixture
def victor() -> User:
    """Who only reads."""
    return User.objects.create_user("victor")


def finished(kind: str = "kill", **more: Any) -> int:
    recorder = record.begin(kind, "alice", {"times": 3})
    for number in range(1, 4):
        recorder.add(
            record.row("button, dead: redis", 800.0 + number, "ms to flat", ok=True, goal=5000.0, road="guard", **more)
        )
    recorder.finish()
    return recorder.run_id


def bench() -> int:
    recorder = record.begin("bench", "alice", {"profile hash": "abc"})
    recorder.add(record.row("market event → exit order sent (2 hops), p50", 1.0, "ms", ok=True, goal=1.2))
    recorder.add(record.row("market event → exit order sent (2 hops), p99", 9.0, "ms", ok=False, goal=6.0))
    recorder.finish()
    return recorder.run_id


@pytest.mark.parametrize("page", PAGES)
def test_everybody_signed_in_reads_and_nobody_else(client: "Client", victor: User, page: str) -> None:
    answer = client.get(page)
    assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/sign-in/")
    client.force_login(victor)
    assert client.get(page).status_code == 200


def test_empty_pages_say_what_will_stand_there(client: "Client", victor: User) -> None:
    client.force_login(victor)
    page = client.get("/ops/drills/").content.decode()
    assert "The kill was never drilled here" in page
    assert "An operator runs the first one." in page
    assert '<form method="post" action="/ops/drills/start/"' not in page
    assert "make bench" in client.get("/ops/latency/").content.decode()


def test_a_half_dead_desk_shows_the_living_half(client: "Client", victor: User, settings: Any, free_port: int) -> None:
    """No Redis, no supervisor, no guard here: each panel names its fault, the others have their rows."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port}/0"
    client.force_login(victor)
    page = client.get("/ops/").content.decode()
    assert page.count("Does not answer") >= 2
    assert "The desk was not started by make run" in page
    assert "free on the disk" in page
    assert re.search(r"■</span> bus \(Redis\)", page)
    assert re.search(r"(●|▲)</span> database", page)


def test_the_runs_are_listed_with_their_times_and_verdicts(client: "Client", victor: User) -> None:
    finished()
    failed = record.begin("load", "bob", {})
    failed.add(record.row("age, p99", 180.0, "ms", ok=False, goal=100.0))
    failed.finish()
    client.force_login(victor)
    page = client.get("/ops/drills/").content.decode()
    assert "Last drill: ok" in page
    assert "slowest flat 803 ms" in page
    assert "1 of 1 rows failed" in page
    only = client.get("/ops/drills/?kind=load").content.decode()
    assert "Browsers under load" in only
    assert "803 ms</td>" not in only
    assert client.get("/ops/drills/?kind=nonsense").status_code == 404


def test_a_run_shows_its_cases_and_rows(client: "Client", victor: User) -> None:
    run = finished()
    client.force_login(victor)
    page = client.get(f"/ops/drills/{run}/").content.decode()
    assert page.count("button, dead: redis") == 4, "one case, three rows"
    assert "times" in page
    assert selectors.run_detail(run)["hash"][:16] in page
    assert client.get("/ops/drills/999/").status_code == 404


def test_csv_carries_every_row_and_no_formula(client: "Client", victor: User) -> None:
    run = finished()
    client.force_login(victor)
    answer = client.get(f"/ops/drills/{run}/?format=csv")
    lines = answer.content.decode().splitlines()
    assert answer["Content-Type"].startswith("text/csv")
    assert lines[0] == "name,number,value,unit,goal,ok,road,detail"
    assert lines[1].startswith('"button, dead: redis",,801.0,ms to flat,5000.0,True,guard')
    evil = record.begin("kill", "=cmd()", {})
    evil.add(record.row("x", -1.0, "ms", ok=True))
    evil.finish()
    listed = client.get("/ops/drills/?format=csv").content.decode()
    assert "'=cmd()" in listed
    assert "+00:00" in listed
    assert ",-1.0," in client.get(f"/ops/drills/{evil.run_id}/?format=csv").content.decode()


def test_latency_stands_against_its_budget(client: "Client", victor: User) -> None:
    bench()
    client.force_login(victor)
    for address in ("/ops/", "/ops/latency/"):
        page = client.get(address).content.decode()
        assert "market event → exit order sent (2 hops)" in page
        assert "missed" in page
        assert "≤ 6.0" in page


def test_only_operators_press(client: "Client", victor: User) -> None:
    run = record.ask("kill", "alice", {})
    client.force_login(victor)
    assert client.post("/ops/drills/start/", {"job": "matrix"}).status_code == 403
    assert client.post(f"/ops/drills/{run.pk}/cancel/").status_code == 403
    assert selectors.run_detail(run.pk)["state"] == "queued"
    assert client.get("/ops/drills/start/").status_code == 405


def test_the_button_needs_the_page_s_own_token(alice: User, collected_static: object) -> None:
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post("/ops/drills/start/", {"job": "matrix"}).status_code == 403
    assert DrillRun.objects.count() == 0


def test_without_a_queue_nothing_is_started_and_it_is_said(
    client: "Client", alice: User, settings: Any, free_port: int
) -> None:
    """No Redis here: the stored run is closed again, so that the next press is not refused."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port}/0"
    client.force_login(alice)
    answer = client.post("/ops/drills/start/", {"job": "matrix"}, follow=True)
    assert "the job queue does not answer" in answer.content.decode()
    assert [run["state"] for run in selectors.run_list().rows] == ["cancelled"]
    assert client.post("/ops/drills/start/", {"job": "nonsense"}).status_code == 404


def test_a_run_is_queued_shown_and_cancelled(client: "Client", alice: User, redis_client: Any) -> None:
    client.force_login(alice)
    answer = client.post("/ops/drills/start/", {"job": "rehearsal"})
    run = DrillRun.objects.get()
    assert answer["Location"] == reverse("ops-drill", args=[run.pk])
    assert redis_client.llen("batch") == 1
    assert (run.kind, run.by, selectors.run_detail(run.pk)["state"]) == ("rehearsal", "alice", "queued")
    page = client.get("/ops/drills/").content.decode()
    assert "Cancel this run" in page
    assert "RUN A DRILL" not in page
    again = client.post("/ops/drills/start/", {"job": "matrix"}, follow=True).content.decode()
    assert f"Not started: run {run.pk} " in again
    done = client.post(f"/ops/drills/{run.pk}/cancel/", follow=True).content.decode()
    assert "Cancel asked" in done
    assert selectors.run_detail(run.pk)["state"] == "cancelled"


def test_the_admin_reads_only(client: "Client") -> None:
    run = finished()
    client.force_login(User.objects.create_superuser("root"))
    assert client.get("/admin/ops/drillrun/").status_code == 200
    assert client.get("/admin/ops/drillrun/add/").status_code == 403
    page = client.get(f"/admin/ops/drillrun/{run}/change/")
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    assert client.post(f"/admin/ops/drillrun/{run}/delete/", {"post": "yes"}).status_code == 403


def test_every_job_is_a_command_that_parses() -> None:
    """The words of the button are the shell's."""
    from desk.ops.management.commands.drill import Command

    for job in tasks.JOBS.values():
        parser = Command().create_parser("manage.py", "drill")
        options = parser.parse_args([*job.words, "--run", "7", "--by", "alice"])
        assert (options.run, options.by) == (7, "alice")
        assert job.kind == ("rehearsal" if getattr(options, "here", False) else options.kind)


def test_cases_and_stages_fold_rows() -> None:
    rows = [record.row("a", float(n), "ms", ok=n != 2, goal=5.0, road="ring") for n in range(3)]
    rows.append(record.row("once", 1.0, "ms", ok=True))
    (case,) = by_case(rows)
    assert (case["count"], case["failed"], case["median"], case["worst"], case["roads"]) == (3, 1, 1.0, 2.0, "ring")
    figures = [
        record.row("  of it: fsync, p50", 1.0, "ms", ok=None),
        record.row("  of it: fsync, p99", 3.0, "ms", ok=True, goal=6.0),
        record.row("kernel", 30.0, "ns", ok=None),
    ]
    (stage,) = stages({"rows": figures})
    assert (stage["name"], stage["inner"], stage["share"], stage["ok"]) == ("of it: fsync", True, 0.5, True)
    assert stages(None) == []


def test_the_page_says_what_a_drill_would_wait_for(client: "Client", alice: User) -> None:
    """One batch worker: an import of an hour before a drill is no reason to wonder why it was given up."""
    client.force_login(alice)
    assert "The batch worker is at" not in client.get("/ops/drills/").content.decode()
    now = timezone.now()
    run = ImportRun.objects.create(
        folder="/in", file="ES.csv", symbol="ES", asked="1", by="olga", state="running", asked_at=now, beat_at=now
    )
    page = client.get("/ops/drills/").content.decode()
    assert f"The batch worker is at import {run.pk}, ES.csv" in page and f"within {selectors.QUEUE_S} s" in page
    ImportRun.objects.update(beat_at=now - timedelta(seconds=selectors.SIGN_S + 1))
    assert selectors.batch_busy() == "", "its process is gone"
