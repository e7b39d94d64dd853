"""/news/: who adds windows, by hand or by file, and who takes one out (NEWS of MES-HOLD, N9)."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from desk.accounts.roles import ADMIN, OPERATOR, VIEWER
from desk.audit.models import AuditRecord
from tests.shell.test_reset_page import PASSWORD, REASON, signed_in, ticket_of
from trading.news import services
from trading.news.csvfile import Row
from trading.news.models import NewsWindow

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]
ONE = {
    "deed": "add", "starts": "2026-03-11T08:25", "ends": "2026-03-11T08:45", "zone": "America/New_York",
    "venue": "cme", "title": "CPI",
}  # fmt: skip


def file(text: str) -> dict[str, object]:
    return {"deed": "import", "file": SimpleUploadedFile("march.csv", text.encode(), content_type="text/csv")}


def test_an_operator_adds_one_without_a_password(client: Client) -> None:
    olga = signed_in(client, "olga", OPERATOR)
    assert "NO WINDOW YET" in olga.get("/news/").content.decode()
    assert olga.post("/news/", ONE).status_code == 302
    row = NewsWindow.objects.get()
    assert (row.venue, row.title, row.by, row.source) == ("cme", "CPI", "olga", "page")
    assert (row.ends_ns - row.starts_ns) == 20 * 60 * 10**9
    page = olga.get("/news/").content.decode()
    assert "1 added, 0 stood already" in page and "Take out" not in page
    assert AuditRecord.objects.get(action="news_added").actor == "olga"


def test_a_bad_window_comes_back_with_its_sentence(client: Client) -> None:
    olga = signed_in(client, "olga", OPERATOR)
    for changed, words in (
        ({"zone": "Mars/Base"}, "is no time zone"),
        ({"ends": "2026-03-11T08:25"}, "not after its start"),
        ({"venue": "nyse"}, "nyse is not one of the available choices"),
        ({"title": ""}, "This field is required"),
    ):
        answer = olga.post("/news/", ONE | changed)
        assert answer.status_code == 422 and words in answer.content.decode()
        assert 'value="2026-03-11T08:25"' in answer.content.decode(), "what was typed stays"
    assert not NewsWindow.objects.exists()


def test_a_file_counts_whole_or_not_at_all(client: Client) -> None:
    olga = signed_in(client, "olga", OPERATOR)
    head = "starts,ends,venue,title\n"
    good = "2026-03-18T17:55:00Z,2026-03-18T18:30:00Z,cme,Rates\n"
    refused = olga.post("/news/", file(f"{head}{good}soon,later,cme,x\n"))
    assert refused.status_code == 422 and "line 3: &#x27;soon&#x27; is not a time" in refused.content.decode()
    assert not NewsWindow.objects.exists()
    assert olga.post("/news/", file(head + good)).status_code == 302
    assert olga.post("/news/", file(head + good)).status_code == 302
    assert NewsWindow.objects.get().source == "march.csv"
    large = olga.post("/news/", file("x" * 1_000_001))
    assert large.status_code == 422 and "larger than 1 MB" in large.content.decode()
    assert olga.post("/news/", {"deed": "import"}).status_code == 422


def test_an_admin_takes_one_out_with_reason_and_password(client: Client) -> None:
    services.add_one("2026-03-18T17:55:00Z", "2026-03-18T18:30:00Z", "cme", "Rates", by="bob", source="page")
    path = f"/news/{NewsWindow.objects.get().id}/remove/"
    ada = signed_in(client, "ada", ADMIN)
    assert path in ada.get("/news/").content.decode()
    form = {"reason": REASON, "ticket": ticket_of(ada.get(path).content.decode())}
    refused = ada.post(path, form)
    assert refused.status_code == 422 and NewsWindow.objects.exists()
    form = {"reason": REASON, "ticket": ticket_of(refused.content.decode()), "password": PASSWORD}
    assert ada.post(path, form).status_code == 302
    assert not NewsWindow.objects.exists()
    assert AuditRecord.objects.get(action="news_removed").detail["reason"] == REASON
    assert ada.get(path).status_code == 404


@pytest.mark.parametrize(("name", "role"), [("victor", VIEWER), ("olga", OPERATOR)])
def test_who_may_not_changes_nothing(client: Client, name: str, role: str) -> None:
    services.add_one("2026-03-18T17:55:00Z", "2026-03-18T18:30:00Z", "cme", "Rates", by="bob", source="page")
    person = signed_in(client, name, role)
    path = f"/news/{NewsWindow.objects.get().id}/remove/"
    assert "Only an admin takes windows out" in person.get(path).content.decode()
    assert person.post(path, {"reason": REASON, "password": PASSWORD}).status_code == 403
    if role == VIEWER:
        assert person.post("/news/", ONE).status_code == 403
        assert "Only an operator or an admin adds windows" in person.get("/news/").content.decode()
    assert NewsWindow.objects.count() == 1


def test_the_list_comes_in_pages(client: Client) -> None:
    rows = [Row("cme", 10**18 + n * 10**9, 10**18 + n * 10**9 + 1, f"window {n:02}") for n in range(52)]
    services.add(rows, by="bob", source="test")
    olga = signed_in(client, "olga", OPERATOR)
    first = olga.get("/news/").content.decode()
    assert "window 51" in first and "window 01" not in first and "?from=50" in first
    second = olga.get("/news/?from=50").content.decode()
    assert "window 01" in second and "window 51" not in second and "End of the list" in second
