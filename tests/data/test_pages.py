"""The data pages over Django's own client: who may what, the estimate, a set with its gaps."""

import csv
import errno
import io
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import databento_dbn as dbn
import pytest
from django.conf import settings
from django.test import Client

from desk.accounts.roles import OPERATOR, VIEWER
from desk.audit.models import AuditRecord
from marketdata import imports
from marketdata.memory.available import Available
from marketdata.models import DONE, WAITING, DataSet, ImportRun
from marketdata.selectors import data_set_path
from marketdata.services import estimate_import
from marketdata.store import estimates, folders
from marketdata.store.days.seconds import seconds_of
from tests.data.kit import HOLE, asked, signed_in, text_of
from tests.data.recordings import DAY_BARS, minutes
from tests.feeds.recordings import a_session, write_dbn
from tests.web.seed import PASSWORD

pytestmark = pytest.mark.django_db


def fields(file: str, **more: str) -> dict[str, str]:
    return {"folder": str(settings.IMPORT_FOLDERS[0]), "file": file, "symbol": "ES", **more}


def table_of(client: Client, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(client, path))))


# who may what


def test_a_viewer_reads_and_an_operator_imports_and_only_an_admin_deletes(client: Client, stored: DataSet) -> None:
    victor = signed_in(client, "victor", VIEWER)
    page = text_of(victor, "/data/")
    assert f"/data/{stored.pk}/" in page and "/data/import/" not in page
    assert "Delete…" not in text_of(victor, f"/data/{stored.pk}/")
    assert "Only an admin deletes data" in text_of(victor, f"/data/{stored.pk}/delete/")
    assert "Your role, viewer, does not include" in text_of(victor, "/data/import/", 403)
    posts = ["/data/import/start/", "/data/imports/1/cancel/", "/data/imports/1/again/", f"/data/{stored.pk}/delete/"]
    assert [victor.post(path).status_code for path in posts] == [403] * 4
    olga = signed_in(Client(), "olga", OPERATOR)
    assert "Delete…" not in text_of(olga, f"/data/{stored.pk}/")
    text_of(olga, "/data/import/")
    form = {"reason": "a newer file", "password": PASSWORD, "ticket": ""}
    assert olga.post(f"/data/{stored.pk}/delete/", form).status_code == 403
    assert DataSet.objects.count() == 1 and data_set_path(stored).exists()


def test_an_empty_store_says_what_to_do(client: Client) -> None:
    page = text_of(signed_in(client, "olga", OPERATOR), "/data/")
    assert "Here every stored data set will stand" in page and 'href="/data/import/"' in page
    victor = signed_in(Client(), "victor", VIEWER)
    assert "An operator imports the first one." in text_of(victor, "/data/")
    assert "Files that can be imported will stand here" in text_of(client, "/data/import/")
    text_of(client, "/data/7/", 404)
    text_of(client, "/data/imports/7/", 404)


# importing


def test_files_are_offered_by_name_and_the_instrument_is_read_off_it(client: Client, inbox: Path) -> None:
    for name in ("ES_1min.csv", "esh4_2024.csv", "nested/SBER_5min.csv", "notes.md"):
        (inbox / name).parent.mkdir(exist_ok=True)
        minutes(inbox / name, count=20)
    olga = signed_in(client, "olga", OPERATOR)
    page = text_of(olga, "/data/import/")
    assert "3 files" in page and "notes.md" not in page and str(inbox) in page
    assert "1 file<" in text_of(olga, "/data/import/?q=sber+5")
    assert "No file's name holds these words" in text_of(olga, "/data/import/?q=nothing")
    for name, symbol in (("ES_1min.csv", "ES"), ("esh4_2024.csv", "ES"), ("nested/SBER_5min.csv", "SBER")):
        page = text_of(olga, "/data/import/", data={"folder": str(inbox), "file": name})
        assert f"Import as {symbol}" in page, name
    (inbox / "bars.csv").write_text((inbox / "ES_1min.csv").read_text())
    page = text_of(olga, "/data/import/", data={"folder": str(inbox), "file": "bars.csv"})
    assert "Say whose prices it holds" in page and "start-import" not in page


def test_a_list_that_is_cut_says_so(client: Client, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minutes(inbox / "ES_1min.csv", count=20)
    olga = signed_in(client, "olga", OPERATOR)
    assert "hold more than is looked at" not in text_of(olga, "/data/import/")
    (inbox / "readme.md").touch()
    monkeypatch.setattr(folders, "NAMES_MAX", 1)
    assert "hold more than is looked at here, 5,000 recordings" in text_of(olga, "/data/import/")


def test_one_bad_name_or_folder_breaks_no_list(client: Client, inbox: Path, settings: Any) -> None:
    minutes(inbox / "ES_1min.csv", count=20)
    Path(os.fsdecode(os.fsencode(inbox) + b"/b\xe9.csv")).write_text("x")
    settings.IMPORT_FOLDERS = [inbox, *(inbox / ("x" * 300) / str(k) for k in range(12))]
    page = text_of(signed_in(client, "olga", OPERATOR), "/data/import/")
    assert "1 file<" in page and "ES_1min.csv" in page and "The name of 1 file is no UTF-8 text" in page
    assert page.count("is not there, or may not be read.") == 10 and "2 more folders may not be read." in page


@pytest.mark.parametrize("file", ["../secret.csv", "/etc/passwd", "link.csv", "gone.csv"])
def test_no_address_reads_a_file_outside(client: Client, inbox: Path, file: str) -> None:
    (inbox.parent / "secret.csv").write_text("timestamp\nsecret")
    (inbox / "link.csv").symlink_to(inbox.parent / "secret.csv")
    olga = signed_in(client, "olga", OPERATOR)
    for data in (fields(file), {"folder": str(inbox), "file": file}, fields(file) | {"folder": str(inbox.parent)}):
        page = text_of(olga, "/data/import/", 422, data=data)
        assert "The import was not started." in page and "start-import" not in page
        assert olga.post("/data/import/start/", data).status_code == 422
    assert not ImportRun.objects.exists()


def test_the_estimate_warns_above_70_percent_and_refuses_above_90(
    client: Client, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MES-MEM-04 for the blocks of the import and for a whole load: the numbers, and the way that streams."""
    minutes(inbox / "ES.csv")
    olga = signed_in(client, "olga", OPERATOR)
    page = text_of(olga, "/data/import/", data=fields("ES.csv")).partition("<main")[2]
    assert "192 MiB" in page and "■" not in page and "▲" not in page

    def room(mib: int) -> None:
        monkeypatch.setattr(estimates, "available", lambda: Available(mib << 20, 4096 << 20, "/sys/fs/cgroup/desk"))

    room(260)
    page = text_of(olga, "/data/import/", data=fields("ES.csv"))
    assert "more than 70%" in page and 'aria-disabled="true"' not in page.partition("<main")[2]
    room(200)
    page = text_of(olga, "/data/import/", data=fields("ES.csv"))
    assert "more than 90%" in page and "limited by /sys/fs/cgroup/desk" in page and 'aria-disabled="true"' in page
    assert "an import reads in blocks" in page
    answer = olga.post("/data/import/start/", fields("ES.csv"))
    assert answer.status_code == 422 and "more than 90%" in answer.content.decode()
    assert not ImportRun.objects.exists()
    monkeypatch.undo()
    plain, sort = (estimate_import(inbox / "ES.csv", options) for options in ({}, {"sort": "true"}))
    sizes = [float(str(size.import_verdict["estimated_mb"])) for size in (plain, sort)]
    assert sizes[1] > sizes[0], "what is sorted waits in memory"


def test_a_reader_s_refusal_is_one_sentence_and_what_was_typed_stays(client: Client, inbox: Path) -> None:
    (inbox / "ES.parquet").write_bytes(b"PAR1 cut")
    olga = signed_in(client, "olga", OPERATOR)
    page = text_of(olga, "/data/import/", 422, data=fields("ES.parquet", contract="ESH4"))
    assert "is cut or no Parquet file" in page and 'value="ESH4"' in page
    minutes(inbox / "ES.csv", count=20)
    page = text_of(olga, "/data/import/", 422, data=fields("ES.csv", bar_s="soon"))
    assert "is not a positive whole number" in page
    page = text_of(olga, "/data/import/", 422, data=fields("ES.csv") | {"symbol": "XX"})
    assert "Select a valid choice" in page


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b'{"bars": [' + bytes(1 << 20), "a line of more than 64 KiB"),
        (b"\x1f\x8b\x08\x00" + b"\xff" * 400, "is cut or damaged"),
    ],
)
def test_a_file_that_is_no_table_is_one_sentence_and_no_fault(
    client: Client, inbox: Path, content: bytes, words: str
) -> None:
    (inbox / "odd.csv").write_bytes(content)
    olga = signed_in(client, "olga", OPERATOR)
    for more in ({}, {"format": "csv"}):
        page = text_of(olga, "/data/import/", 422, data=fields("odd.csv", **more))
        assert words in page and "start-import" not in page


def test_started_from_the_page_watched_cancelled_and_begun_again(
    client: Client, inbox: Path, redis_client: Any
) -> None:
    minutes(inbox / "ES.csv")
    olga = signed_in(client, "olga", OPERATOR)
    answer = olga.post("/data/import/start/", fields("ES.csv", hours="any"))
    run = ImportRun.objects.get()
    assert answer.headers["location"] == f"/data/imports/{run.pk}/"
    assert (run.state, run.by, run.options) == (WAITING, "olga", {"hours": "any"}) and run.total > 1500
    assert redis_client.llen("batch") == 1
    page = text_of(olga, f"/data/imports/{run.pk}/")
    assert "waits for the batch worker" in page and "hours any" in page and "desk/ops" in page
    assert olga.post("/data/import/start/", fields("ES.csv", hours="any")).headers["location"].endswith(f"/{run.pk}/")
    other = olga.post("/data/import/start/", fields("ES.csv")).headers["location"]
    assert "waits behind 1 import" in text_of(olga, other)
    assert text_of(olga, "/data/").count("Cancel this import") == 2
    page = olga.post(f"/data/imports/{run.pk}/cancel/", follow=True).content.decode()
    assert "cancelled by olga before it began" in page and "Try again" in page
    again = olga.post(f"/data/imports/{run.pk}/again/").headers["location"]
    assert again != f"/data/imports/{run.pk}/" and ImportRun.objects.count() == 3
    assert imports.run(int(again.rstrip("/").rpartition("/")[2])) == DONE
    page = text_of(olga, again)
    assert f"Open data set {DataSet.objects.get().pk}" in page and "desk/ops" not in page
    actions = list(AuditRecord.objects.order_by("seq").values_list("action", "actor"))
    assert actions.count(("import_asked", "olga")) == 4 and ("import_cancelled", "olga") in actions


def test_a_queue_that_is_away_is_said_at_once(client: Client, inbox: Path, settings: Any, free_port: int) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port}/0"
    minutes(inbox / "ES.csv")
    olga = signed_in(client, "olga", OPERATOR)
    page = olga.post("/data/import/start/", fields("ES.csv"), follow=True).content.decode()
    assert "the queue does not answer" in page and "Try again" in page


# a set


def test_a_set_tells_what_it_covers_and_what_is_missing(client: Client, stored: DataSet) -> None:
    victor = signed_in(client, "victor", VIEWER)
    page = text_of(victor, f"/data/{stored.pk}/")
    assert stored.source_hash in page and "<dd>olga</dd>" in page
    gaps = table_of(victor, f"/data/{stored.pk}/gaps.csv")
    assert len(gaps) == 7, "six nights, and the hole"
    assert gaps[0] == {"from": "2024-01-02T16:40:00+00:00", "to": "2024-01-02T17:00:00+00:00", "seconds": "1200"}
    assert "▲ 7 gaps" in page and "20 min 00" in page
    dropped = table_of(victor, f"/data/{stored.pk}/dropped.csv")
    assert dropped == [{"reason": "a price is off the tick grid", "rows": "1"}]
    assert table_of(victor, f"/data/{stored.pk}/examples.csv")[0]["row"] == "9"
    (month,) = table_of(victor, f"/data/{stored.pk}/months.csv")
    assert (month["month"], month["rows"], month["gaps"]) == ("2024-01", "1979", "7")
    (line,) = table_of(victor, "/data/all.csv")
    assert (line["rows"], line["gaps"], line["dropped"], line["by"]) == ("1979", "7", "1", "olga")
    text_of(victor, f"/data/{stored.pk}/secrets.csv", 404)


def test_a_month_opens_its_days_and_a_day_its_chart(client: Client, stored: DataSet) -> None:
    victor = signed_in(client, "victor", VIEWER)
    page = text_of(victor, f"/data/{stored.pk}/?month=2024-01")
    cells = re.findall(r'\?day=(2024-01-\d\d)#day"><span class="sr">[^<]*</span><b>(\d+)</b>', page)
    days = {day: int(rows) for day, rows in cells}
    assert days["2024-01-02"] == DAY_BARS - len(HOLE) - 1 and days["2024-01-03"] == DAY_BARS
    assert sum(days.values()) == 1979 and "2024-01-06" not in days
    page = text_of(victor, f"/data/{stored.pk}/?day=2024-01-02")
    assert page.count("<polyline") == 2, "the line breaks at the hole"
    assert "lowest 4990.00, highest 5010.00, last 5000.75" in page
    assert "No bar on this day." in text_of(victor, f"/data/{stored.pk}/?day=2024-01-06")
    for odd in ("month=2024-13", "day=soon", "day=2024-02-31", "month=../../x", "from=99999", "day=0001-01-01"):
        text_of(victor, f"/data/{stored.pk}/?{odd}")


def test_a_damaged_set_says_so_and_breaks_no_page(client: Client, stored: DataSet) -> None:
    victor = signed_in(client, "victor", VIEWER)
    path = data_set_path(stored)
    (file,) = path.parent.glob(f"{path.stem}.1/ES/*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    assert "cannot be read" in text_of(victor, f"/data/{stored.pk}/?day=2024-01-02")
    file.unlink()
    assert "is gone: import ES_1min.csv again" in text_of(victor, f"/data/{stored.pk}/")
    assert "gone or damaged" in text_of(victor, "/data/")
    path.write_text('{"format": "scalpdesk-bars"')
    assert "is a damaged manifest" in text_of(victor, f"/data/{stored.pk}/")
    path.unlink()
    assert "is gone" in text_of(victor, f"/data/{stored.pk}/") and "is gone" in text_of(victor, "/data/all.csv")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ENOENT])
def test_a_set_that_cannot_be_read_breaks_no_page(
    client: Client, stored: DataSet, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """No right, a bad disk, a delete beside it: the row says so, and the other sets stand."""
    path, read = data_set_path(stored), Path.read_bytes
    twin = DataSet.objects.get()
    twin.pk, twin.path = None, "data/ES-60s-0123456789ab.json"
    twin.save()
    (path.parent / "ES-60s-0123456789ab.json").write_bytes(path.read_bytes())

    def refused(asked: Path) -> bytes:
        if asked == path:
            raise OSError(code, os.strerror(code), str(path))
        return read(asked)

    monkeypatch.setattr(Path, "read_bytes", refused)
    victor = signed_in(client, "victor", VIEWER)
    words = "is gone: import" if code == errno.ENOENT else f"cannot be read ({os.strerror(code)})"
    faults = [line["fault"] for line in table_of(victor, "/data/all.csv")]
    assert faults[0] == "" and words in faults[1]
    assert "gone or damaged" in text_of(victor, "/data/")
    for more in ("", "?day=2024-01-02"):
        assert words in text_of(victor, f"/data/{stored.pk}/{more}")


def test_a_recording_has_its_days_by_the_seconds_beside_it(client: Client, inbox: Path) -> None:
    """Of one that was stored before there were any no calendar is made up."""
    write_dbn(inbox / "es.dbn.zst", dbn.Schema.MBO, a_session())
    assert imports.run(imports.ask(asked("es.dbn.zst"), 10, "olga", lambda run_id: "").pk) == DONE
    victor = signed_in(client, "victor", VIEWER)
    row = DataSet.objects.get()
    page = text_of(victor, f"/data/{row.pk}/?month=2024-01")
    assert "a recording, kept as it is" in page and "COVERAGE BY MONTH" in page and "gaps not known" in page
    assert f'?day=2024-01-02#day"><span class="sr">2024-01-02: </span><b>{row.rows}</b>' in page
    seconds_of(data_set_path(row)).unlink()
    assert "COVERAGE" not in text_of(victor, f"/data/{row.pk}/?month=2024-01")
    assert "n/a" in text_of(victor, "/data/")


def test_names_that_a_spreadsheet_would_run_are_quoted(client: Client, inbox: Path) -> None:
    minutes(inbox / "=cmd()ES.csv", count=20)
    run = imports.ask(asked("=cmd()ES.csv"), 20, "olga", lambda run_id: "")
    assert imports.run(run.pk) == DONE
    victor = signed_in(client, "victor", VIEWER)
    assert table_of(victor, "/data/all.csv")[0]["source"] == "'=cmd()ES.csv"
    assert quote("=cmd()ES.csv") in text_of(signed_in(Client(), "olga", OPERATOR), "/data/import/")
