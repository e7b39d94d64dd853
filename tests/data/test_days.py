"""A part of a day by its address: points for the script, the same as a file, faults in a sentence."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import pytest
from django.test import Client

from desk.accounts.roles import VIEWER
from desk.data.files import csv_file
from marketdata import imports
from marketdata.models import DONE, DataSet
from marketdata.selectors import data_set_path, market_data_sets
from tests.data.kit import HOLE, asked, signed_in, text_of
from tests.data.recordings import DAY_BARS, books
from tests.feeds.recordings import a_session, write_dbn
from tests.store.test_definitions import defined, write

pytestmark = pytest.mark.django_db
DAY = "day=2024-01-02"


@pytest.fixture
def victor(client: Client) -> Client:
    return signed_in(client, "victor", VIEWER)


def points(client: Client, row: DataSet, query: str, status: int = 200) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text_of(client, f"/data/{row.pk}/day.json?{query}", status))
    return found


def test_a_day_of_bars_has_its_candles_its_gap_and_no_quote(victor: Client, stored: DataSet) -> None:
    found = points(victor, stored, DAY)
    assert (found["symbol"], found["decimals"], found["step"], found["zone"]) == ("ES", 2, 60, "UTC")
    assert found["rows"] == len(found["candles"]) == DAY_BARS - len(HOLE) - 1 and found["quotes"] == []
    first = found["candles"][0]
    assert first == [1_704_207_600, 20_000, 20_040, 19_960, 20_000, 1]
    hole = [1_704_207_600 + 60 * HOLE.start, 1_704_207_600 + 60 * HOLE.stop]
    assert found["gaps"][0] == hole and all(not hole[0] <= row[0] < hole[1] for row in found["candles"])
    assert found["end"] - found["begin"] == 86_400 and found["cut"] is None and found["rolls"] == []


def test_a_part_of_a_day_in_the_exchanges_time(victor: Client, stored: DataSet) -> None:
    found = points(victor, stored, f"{DAY}&from=15:00&to=16:00&zone=exchange")
    assert (found["begin"], found["end"], found["zone"]) == (1_704_207_600, 1_704_211_200, "America/Chicago")
    assert len(found["candles"]) == 59, "one bar of the hour was off the grid"
    page = text_of(victor, f"/data/{stored.pk}/?{DAY}&from=15:00&to=16:00&zone=exchange")
    assert "2024-01-02, 15:00–16:00, UTC" in page and "times in America/Chicago; a day is a UTC day" in page
    assert f'data-points="/data/{stored.pk}/day.json?{DAY}&amp;from=15%3A00&amp;to=16%3A00&amp;zone=exchange"' in page


def test_the_same_points_are_a_file(victor: Client, stored: DataSet) -> None:
    rows = list(csv.DictReader(io.StringIO(text_of(victor, f"/data/{stored.pk}/day.csv?{DAY}"))))
    assert len(rows) == DAY_BARS - len(HOLE) - 1
    assert rows[0] == {
        "from": "2024-01-02T15:00:00+00:00", "open": "5000.00", "high": "5010.00", "low": "4990.00",
        "close": "5000.00", "volume": "1",
    }  # fmt: skip
    text_of(victor, f"/data/{stored.pk}/day.csv?day=soon", 404)


def test_addresses_that_ask_for_nothing_are_sentences(victor: Client, stored: DataSet) -> None:
    assert points(victor, stored, "day=2024-01-06")["candles"] == []
    for query in ("", "day=soon", "day=2024-02-31", "day=0001-01-01"):
        assert "Say which day" in points(victor, stored, query, 400)["error"]
    whole = points(victor, stored, DAY)
    for more in ("from=99:99", "from=15:00&to=14:00", "to=25", "zone=mars"):
        assert points(victor, stored, f"{DAY}&{more}") == whole
    text_of(victor, "/data/999/day.json?day=2024-01-02", 404)
    page = text_of(victor, f"/data/{stored.pk}/")
    assert "CHART OF A DAY" in page and "Choose a day: its chart stands here." in page and "day.js" not in page


def test_a_damaged_set_is_one_sentence(victor: Client, stored: DataSet) -> None:
    path = data_set_path(stored)
    (file,) = path.parent.glob(f"{path.stem}.1/ES/*.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    assert "import the source again" in points(victor, stored, DAY, 422)["error"]
    file.unlink()
    assert "is gone" in points(victor, stored, DAY, 422)["error"]
    assert "is gone" in text_of(victor, f"/data/{stored.pk}/day.csv?{DAY}", 422)


def test_a_recording_of_orders_has_its_best_prices(victor: Client, inbox: Path) -> None:
    write_dbn(inbox / "es.dbn.zst", dbn.Schema.MBO, a_session())
    assert imports.run(imports.ask(asked("es.dbn.zst"), 10, "olga", lambda run_id: "").pk) == DONE
    row = DataSet.objects.get()
    found = points(victor, row, f"{DAY}&from=15:00&to=15:59")
    assert found["quotes"][0][1:4] == [19_999, 20_001, 2] and found["gaps"] is None
    assert 'id="day-box"' in text_of(victor, f"/data/{row.pk}/?{DAY}")
    rows = list(csv.DictReader(io.StringIO(text_of(victor, f"/data/{row.pk}/day.csv?{DAY}&from=15:00&to=15:59"))))
    assert (rows[0]["last_bid"], rows[0]["last_ask"], rows[0]["widest_spread_ticks"]) == ("4999.75", "5000.25", "2")
    assert (rows[0]["lowest_bid"], rows[0]["highest_ask"]) == ("4999.75", "5000.25")
    assert rows[-1]["last_bid"] == rows[-1]["lowest_bid"] == "", "behind the end nothing is known"


def test_definitions_are_a_table_and_no_chart(victor: Client, inbox: Path) -> None:
    """One contract a line, from the page as a file; nothing that could be replayed."""
    write(inbox / "ES.dbn", [defined("ESH4", 17077), defined("ESM4", 4916, expiration=2**64 - 1)])
    assert imports.run(imports.ask(asked("ES.dbn"), 10, "olga", lambda run_id: "").pk) == DONE
    row = DataSet.objects.get()
    assert (row.kind, row.rows) == ("definition", 2)
    page = text_of(victor, f"/data/{row.pk}/?{DAY}")
    assert "CONTRACTS" in page and "50 USD" in page and "day-box" not in page and "Replay it on paper" not in page
    rows = list(csv.DictReader(io.StringIO(text_of(victor, f"/data/{row.pk}/contracts.csv"))))
    assert [(item["symbol"], item["id"], item["tick"], item["last"]) for item in rows] == [
        ("ESH4", "17077", "0.25", "2024-03-15T13:30:00+00:00"),
        ("ESM4", "4916", "0.25", ""),
    ]
    assert "hold no price" in points(victor, row, DAY, 422)["error"]
    assert "definition" in text_of(victor, "/data/") and not market_data_sets().exists(), "nothing to replay"


def test_books_have_a_line_a_spread_and_their_hole(victor: Client, inbox: Path) -> None:
    """A minute without a valid book is a hole in the lines and hatched as the import found it."""
    books(inbox / "SBER.jsonl", 1000, hole=400)
    assert imports.run(imports.ask(asked("SBER.jsonl", "SBER"), 1000, "olga", lambda run_id: "").pk) == DONE
    row = DataSet.objects.get()
    found = points(victor, row, f"{DAY}&from=15:00&to=16:00")
    assert (found["symbol"], found["step"], len(found["quotes"])) == ("SBER", 5, 720)
    page = " ".join(re.sub(r"<[^>]+>", " ", text_of(victor, f"/data/{row.pk}/?{DAY}")).split())
    assert "COVERAGE BY MONTH, UTC" in page and "DAYS OF 2024-01, UTC" in page and "▲ gaps of the feed" in page
    assert page.count(f"{row.rows:,} ▲ 1 gap") == 2, "the month and its day, with the hole"
    ((begin, end),) = found["gaps"]
    assert 59 <= end - begin <= 61
    for at, bid, ask, spread, count, invalid, low, high in found["quotes"]:
        if begin <= at and at + 5 <= end:
            assert (bid, ask, low, high, count, invalid) == (*[None] * 4, count, count), "no book is known in the hole"
        elif at + 5 <= begin or end <= at < found["begin"] + 195:
            assert low <= bid < ask <= high and spread >= ask - bid and count > 0 and invalid == 0
        elif at > found["begin"] + 205:
            assert (bid, ask, spread) == (None, None, None), "behind the end"


def test_a_price_below_zero_is_a_number_in_the_file() -> None:
    """A spread's price, and crude's of April 2020: only what a spreadsheet would run is quoted."""
    text = csv_file("x.csv", [["-37.63", "-1", "=1+1", "-1+cmd", "+7", "@x", "\tx", "\rx", "5.00"]]).content.decode()
    assert next(csv.reader(io.StringIO(text, newline=""))) == [
        "-37.63", "-1", "'=1+1", "'-1+cmd", "'+7", "'@x", "'\tx", "'\rx", "5.00",
    ]  # fmt: skip
