"""An event list as a CSV file: whole or not at all, every bad line named, no time guessed (NEWS of MES-HOLD)."""

from datetime import UTC, datetime

import pytest

from marketdata.core.units import NANOS
from trading.news.csvfile import BYTES_MAX, NewsRefused, Row, moment, read, window

VENUES = ("cme", "moex")
HEAD = "starts,ends,venue,title,zone\n"


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * NANOS


def faults(body: str | bytes) -> list[str]:
    data = body if isinstance(body, bytes) else body.encode()
    with pytest.raises(NewsRefused) as refused:
        read(data, VENUES)
    return refused.value.faults


def test_offsets_and_zones_become_utc_and_the_order_of_the_columns_is_free() -> None:
    text = "\ufeffTitle,Venue,Starts,Ends,Zone\n"
    text += '"Rates, at last",cme,2026-03-18T13:55:00-04:00,2026-03-18T14:30:00-04:00,\n'
    text += "CPI,cme,2026-03-11 08:25,2026-03-11 08:45,America/New_York\n"
    text += "Ставка,moex,2026-03-20T13:25:00+03:00,2026-03-20T10:40:00Z,\n"
    assert read(text.encode(), VENUES) == [
        Row("cme", ns("2026-03-18T17:55:00+00:00"), ns("2026-03-18T18:30:00+00:00"), "Rates, at last"),
        Row("cme", ns("2026-03-11T12:25:00+00:00"), ns("2026-03-11T12:45:00+00:00"), "CPI"),
        Row("moex", ns("2026-03-20T10:25:00+00:00"), ns("2026-03-20T10:40:00+00:00"), "Ставка"),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("soon,2026-03-11T08:45:00Z,cme,CPI,", "'soon' is not a time"),
        ("2026-03-11T08:25:00,2026-03-11T08:45:00,cme,CPI,", "neither an offset nor a zone"),
        ("2026-03-11T08:25:00Z,2026-03-11T08:45:00Z,cme,CPI,UTC", "an offset and a zone"),
        ("2026-03-11 08:25,2026-03-11 08:45,cme,CPI,Mars/Base", "is no time zone"),
        ("2026-03-11 08:25,2026-03-11 08:45,cme,CPI,../../etc/passwd", "is no time zone"),
        ("2026-03-08 02:30,2026-03-08 04:00,cme,CPI,America/New_York", "twice or never"),
        ("2026-11-01 01:30,2026-11-01 04:00,cme,CPI,America/New_York", "twice or never"),
        ("2026-03-11T08:45:00Z,2026-03-11T08:45:00Z,cme,CPI,", "not after its start"),
        ("2026-03-01T08:45:00Z,2026-03-11T08:45:00Z,cme,CPI,", "longer than 7 days"),
        ("2026-03-11T08:25:00Z,2026-03-11T08:45:00Z,nyse,CPI,", "venue 'nyse' is unknown"),
        ("2026-03-11T08:25:00Z,2026-03-11T08:45:00Z,cme, ,", "a title has 1 to 120"),
        (f"2026-03-11T08:25:00Z,2026-03-11T08:45:00Z,cme,{'x' * 121},", "a title has 1 to 120"),
        ("2026-03-11T08:25:00Z,2026-03-11T08:45:00Z,cme,C\0PI,", "characters that can be read"),
        ("1970-03-11T08:25:00Z,1970-03-11T08:45:00Z,cme,CPI,", "outside 1980 to 2200"),
        ("0001-01-01T00:00:00+14:00,2026-03-11T08:45:00Z,cme,CPI,", "line 3"),
        ("2026-03-11T08:25:00Z,2026-03-11T08:45:00Z,cme,CPI,,more", "more values than columns"),
        ("2026-03-11T08:25:00Z", "line 3"),
    ],
)
def test_a_bad_line_refuses_the_file_and_is_named(row: str, words: str) -> None:
    good = "2026-03-11T08:25:00Z,2026-03-11T08:45:00Z,cme,CPI,\n"
    found = faults(f"{HEAD}{good}{row}\n{good}")
    assert len(found) == 1 and found[0].startswith("line 3:") and words in found[0]


def test_all_bad_lines_are_told_at_once() -> None:
    found = faults(HEAD + "a,b,cme,x,\n" * 30)
    assert [text.split(":")[0] for text in found] == [f"line {n}" for n in range(2, 32)]
    with pytest.raises(NewsRefused, match="and 10 more"):
        read((HEAD + "a,b,cme,x,\n" * 30).encode(), VENUES)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "line 1: the columns are"),
        ("starts,ends,venue\n", "line 1: the columns are"),
        ("starts,ends,venue,title,title\n", "line 1: the columns are"),
        ("starts,ends,venue,title,what\n", "line 1: the columns are"),
        (HEAD, "holds no window"),
        (HEAD.encode() + b"\xff\xfe,", "not UTF-8"),
        (HEAD + '"open', "line 2"),
        (b"x" * (BYTES_MAX + 1), "larger than"),
    ],
)
def test_what_is_no_list_is_refused(body: str | bytes, words: str) -> None:
    assert words in faults(body)[0]


def test_a_time_to_the_microsecond_is_exact() -> None:
    row = window("2026-03-11T08:25:00.123457Z", "2026-03-11T09:00:00Z", "cme", " CPI ", VENUES)
    assert row.starts_ns == ns("2026-03-11T08:25:00+00:00") + 123_457_000 and row.title == "CPI"
    assert moment("2026-03-11T08:25", "Europe/Moscow") == datetime(2026, 3, 11, 5, 25, tzinfo=UTC)
