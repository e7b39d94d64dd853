"""When a recorded contract takes exits only: the roll day by the expiry, until the data change (MES-DATA-23)."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from marketdata.feeds.port import FeedError
from marketdata.store.rolls import FAR_NS, Rolls, expiry, inactive_spans, open_rolls, roll_start_ns
from trading.run.spec import FeedSpec


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("name", "near", "last_day"),
    [
        ("MESH4", date(2024, 3, 1), date(2024, 3, 15)),
        ("MESM24", date(2024, 3, 1), date(2024, 6, 21)),
        ("ESZ2023", date(2024, 3, 1), date(2023, 12, 15)),
        ("mesu6", date(2026, 3, 4), date(2026, 9, 18)),
        ("MESH0", date(2019, 12, 30), date(2020, 3, 20)),
        ("MESZ9", date(2020, 1, 2), date(2019, 12, 20)),
        ("MESH99", date(2001, 1, 1), date(1999, 3, 19)),
    ],
)
def test_a_contracts_last_day_is_the_third_friday_of_its_month(name: str, near: date, last_day: date) -> None:
    assert expiry(name, near) == last_day and last_day.weekday() == 4 and 15 <= last_day.day <= 21


@pytest.mark.parametrize("name", ["", "MES", "MESF4", "17077", "SBER", "MESH", "MES H4", "MESH4-MESM4", "MESH12345"])
def test_what_is_no_quarterly_contract_has_none(name: str) -> None:
    assert expiry(name, date(2024, 3, 1)) is None


def test_the_roll_day_begins_with_its_session_eight_days_before_the_expiry() -> None:
    """18:00 New York on the evening before Thursday, 7 March 2024; the clocks have not changed yet."""
    assert roll_start_ns(date(2024, 3, 15)) == ns("2024-03-06T23:00")
    assert roll_start_ns(date(2024, 6, 21)) == ns("2024-06-12T22:00")


def test_the_old_contract_is_inactive_from_its_roll_day_to_the_change() -> None:
    change = ns("2024-03-11T23:00")
    spans = inactive_spans([(change, "MESH4", "MESM4")])
    assert spans == [(ns("2024-03-06T23:00"), change), (ns("2024-06-12T22:00"), FAR_NS)]
    rolls = Rolls({0: spans})
    for at, active in (("2024-03-06T22:59", True), ("2024-03-06T23:00", False), ("2024-03-11T22:59", False)):
        assert rolls.is_active(0, ns(at)) is active
    assert rolls.is_active(0, change) and not rolls.is_active(0, ns("2025-01-01T00:00"))
    assert rolls.is_active(1, ns("2024-03-10T00:00")), "nothing is known of another"


def test_a_series_that_changes_before_its_roll_day_is_never_inactive_for_it() -> None:
    change = ns("2024-03-04T00:00")
    assert inactive_spans([(change, "MESH4", "MESM4")]) == [(ns("2024-06-12T22:00"), FAR_NS)]
    assert inactive_spans([(change, "17077", "4916")]) == [], "ids say nothing of an expiry"
    assert inactive_spans([]) == []


def manifest(folder: Path, name: str, symbol: str, rolls: list[tuple[int, str, str]]) -> str:
    path = folder / f"{name}.json"
    parts = [{"file": "2024-03.parquet"}]
    shown = {"format": "scalpdesk-bars", "schema_version": 1, "symbol": symbol, "folder": name, "partitions": parts}
    path.write_text(json.dumps(shown | {"rolls": rolls}, indent=1))
    return str(path)


def test_a_feed_knows_the_rolls_of_its_data_sets(tmp_path: Path) -> None:
    change = ns("2024-03-11T23:00")
    futures = manifest(tmp_path, "mes", "MES", [(change, "MESH4", "MESM4")])
    still = manifest(tmp_path, "still", "MES", [])
    share = manifest(tmp_path, "sber", "SBER", [(change, "MESH4", "MESM4")])
    text = tmp_path / "bars.csv"
    text.write_text("time,open\n")
    found = open_rolls(FeedSpec("replay", ["MES"], path=futures))
    assert found is not None and list(found.inactive) == [0] and not found.is_active(0, ns("2024-03-08T00:00"))
    for path, symbol in ((still, "MES"), (share, "SBER"), (str(text), "MES"), (futures, "SBER")):
        assert open_rolls(FeedSpec("replay", [symbol], path=path)) is None
    assert open_rolls(FeedSpec("simulated", ["MES"])) is None
    (tmp_path / "broken.json").write_text('{\n "format": "scalpdesk-bars"')
    with pytest.raises(FeedError, match="damaged"):
        open_rolls(FeedSpec("replay", ["MES"], path=str(tmp_path / "broken.json")))
