"""Books on the data pages and by the command: the estimate, what was found, gaps, deletion; manifests parsed once."""

import csv
import io
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client

from desk.accounts.roles import OPERATOR, VIEWER
from marketdata import imports
from marketdata.models import DONE, DataSet
from marketdata.selectors import data_set_path
from marketdata.services import delete_data_set
from marketdata.store import coverage
from marketdata.store.coverage import Parsed
from tests.data.kit import asked, signed_in, text_of
from tests.store.books.kit import recording
from tests.store.books.test_binance import SNAPSHOT, TRADED, said, update

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(inbox: Path) -> Path:
    """Books with a trade, a line of another stream, a hole, and the snapshot after it."""
    late = {**SNAPSHOT, "lastUpdateId": 30, "bids": [["99.00", "5"]]}
    lines = said(SNAPSHOT, update(), TRADED, {"e": "aggTrade", "s": "X"}, update(U=21, u=22), late, TRADED)
    return recording(inbox / "x.jsonl", lines)


@pytest.fixture
def books(source: Path) -> DataSet:
    run = imports.ask(asked(source.name, "SBER"), 7, "olga", lambda run_id: "")
    assert imports.run(run.pk) == DONE
    return DataSet.objects.get(kind="books")


def test_an_operator_imports_books_from_the_page(client: Client, source: Path) -> None:
    olga = signed_in(client, "olga", OPERATOR)
    assert "x.jsonl" in text_of(olga, "/data/import/")
    fields = {"folder": str(settings.IMPORT_FOLDERS[0]), "file": "x.jsonl", "symbol": "SBER"}
    page = text_of(olga, f"/data/import/?{urlencode(fields)}")
    assert "binance" in page and "Tick of a book" in page
    refused = text_of(olga, f"/data/import/?{urlencode({**fields, 'tick': 'x'})}", 422)
    assert "is not a decimal number like 0.001" in refused


def test_the_page_of_a_set_of_books_tells_what_was_found(client: Client, books: DataSet) -> None:
    assert (books.kind, books.rows, books.bar_ns) == ("books", 8, 0)
    victor = signed_in(client, "victor", VIEWER)
    page = text_of(victor, f"/data/{books.pk}/")
    assert "WHAT WAS FOUND" in page and "GAPS OF THE FEED" in page and "COVERAGE BY MONTH" in page
    assert "a line of another stream (aggTrade)" in page and "a recording, kept as it is" not in page
    assert f"manage.py backtest --books --data {books.pk} --symbol SBER" in page
    assert "1 gap" in page and "no book is known until the next snapshot" in page
    rows = list(csv.DictReader(io.StringIO(text_of(victor, f"/data/{books.pk}/verdicts.csv"))))
    found = {row["found"]: int(row["count"]) for row in rows}
    assert found["books"] == 4 and found["books that are not valid"] == 1 and found["snapshots taken"] == 2
    assert len(text_of(victor, f"/data/{books.pk}/gaps.csv").splitlines()) == 2
    line = next(csv.DictReader(io.StringIO(text_of(victor, "/data/all.csv"))))
    assert (line["schema"], line["gaps"], line["dropped"], line["fault"]) == ("books", "1", "1", "")


def test_a_list_parses_no_manifest_twice(client: Client, stored: DataSet, books: DataSet, monkeypatch) -> None:
    kept = Parsed(coverage.PARSED_BYTES)
    monkeypatch.setattr(coverage, "parsed", kept)
    victor = signed_in(client, "victor", VIEWER)
    first = text_of(victor, "/data/")
    assert f"/data/{books.pk}/" in first and f"/data/{stored.pk}/" in first and kept.count == 2
    text_of(victor, "/data/")
    text_of(victor, "/data/all.csv")
    text_of(victor, f"/data/{stored.pk}/?day=2024-01-02")
    assert kept.count == 2


def test_the_command_reports_and_the_set_goes_whole(source: Path) -> None:
    out = io.StringIO()
    call_command("import_history", str(source), "--symbol", "SBER", "--lot", "0.5", stdout=out)
    text = out.getvalue()
    assert "left out 1: a line of another stream (aggTrade)" in text and "books that are not valid: 1" in text
    assert "1 gaps of the feed, the first from" in text
    call_command(
        "import_history", str(source), "--symbol", "SBER", "--estimate-only", "--json", stdout=(out := io.StringIO())
    )
    told = json.loads(out.getvalue())
    assert (told["format"], told["rows"]) == ("binance", 7) and told["disk_bytes"] > 0 and told["load_bytes"] > 0
    (row,) = DataSet.objects.all()
    folder = data_set_path(row).parent
    assert len(list(folder.iterdir())) == 2
    delete_data_set(row.pk, lambda found: [])
    assert list(folder.iterdir()) == [] and not DataSet.objects.exists()
