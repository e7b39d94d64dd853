"""Trades over a day's prices: at their own second and price, all of them inside the picture, by result and in words."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from desk.backtests import prices
from desk.backtests.models import DONE, BacktestRun
from desk.data.looks import HEIGHT, WIDTH
from marketdata import imports
from marketdata.models import DataSet
from tests.data.kit import asked
from tests.data.recordings import FIRST_NS, minutes

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path: Path, settings: Any) -> BacktestRun:
    """A result over stored minutes; no row is written for it."""
    settings.VAR = tmp_path / "var"
    settings.IMPORT_FOLDERS = [tmp_path]
    minutes(tmp_path / "ES_1min.csv", count=200)
    made = imports.ask(asked("ES_1min.csv"), 200, "olga", lambda run_id: "")
    assert imports.run(made.pk) == DONE
    return BacktestRun(data_set=DataSet.objects.get(), symbol="MES")


def trades(*rows: tuple[str, str, str, str, str]) -> pl.DataFrame:
    """(entry, exit, prices of both, net) as the columns of trades.csv that are read."""
    names = ("entry_time", "exit_time", "entry_price", "exit_price", "net_pnl")
    told = [
        {**dict(zip(names, row, strict=True)), "trade_id": str(k + 1), "direction": "1", "contracts": "2"}
        for k, row in enumerate(rows)
    ]
    return pl.DataFrame(told)


def first_day() -> date:
    return date(1970, 1, 1) + timedelta(seconds=FIRST_NS // 10**9)


def test_a_trade_stands_at_its_second_and_price(run: BacktestRun) -> None:
    day = first_day()
    found = prices.day_picture(
        run, trades((f"{day}T06:00:00Z", f"{day}T18:00:00Z", "5010.00", "4990.00", "-100.620000")), day
    )
    (mark,) = found["marks"]
    assert (float(mark.x1), float(mark.x2)) == (WIDTH / 4, WIDTH * 3 / 4)
    assert float(mark.y1) < float(mark.y2) and mark.tone == "down"
    assert mark.words == "1: BUY 2, 5010.00 to 4990.00, -100.620000"
    assert found["count"] == 1 and found["chart"]["rows"] > 0


def test_a_price_beyond_the_bars_widens_the_picture(run: BacktestRun) -> None:
    """A stop that slipped below the day's lowest bar is not drawn outside, and the day's own extremes stay told."""
    day = first_day()
    at = f"{day}T06:00:00Z"
    found = prices.day_picture(run, trades((at, at, "4980.25", "5020.50", "201.000000")), day)
    (mark,) = found["marks"]
    assert all(0 <= float(y) <= HEIGHT for y in (mark.y1, mark.y2)) and mark.tone == "up"
    assert (found["chart"]["low"], found["chart"]["high"]) == ("4990.00", "5010.00")
    assert float(mark.x2) > float(mark.x1), "a trade of no length is a stroke"


def test_a_trade_over_midnight_is_on_both_days_and_at_their_edges(run: BacktestRun) -> None:
    day = first_day()
    after = day + timedelta(days=1)
    rows = trades((f"{day}T23:00:00Z", f"{after}T01:00:00Z", "5000.00", "5000.00", "0.000000"))
    (left,), (right,) = (prices.day_picture(run, rows, item).get("marks") or [None] for item in (day, after))
    assert left is not None and float(left.x2) == WIDTH and left.tone == "flat"
    assert right is None or float(right.x1) == 0
    assert prices.day_picture(run, rows, after)["count"] == 1
    assert prices.day_picture(run, rows, after + timedelta(days=1))["count"] == 0
    assert prices.days_of(rows) == [day]


def test_without_the_data_the_reason_stands_in_the_pictures_place(run: BacktestRun, tmp_path: Path) -> None:
    day = first_day()
    rows = trades((f"{day}T06:00:00Z", f"{day}T06:01:00Z", "5000.00", "5001.00", "5.000000"))
    run.data_set = None
    assert prices.day_picture(run, rows, day) == {"fault": "its data set was deleted"}
    run.data_set = DataSet.objects.get()
    (tmp_path / "var" / run.data_set.path).unlink()
    assert "is gone" in prices.day_picture(run, rows, day)["fault"]


def test_a_day_that_no_trade_reaches_is_not_looked_for() -> None:
    """Year 1 and year 9999 lie beyond int64 nanoseconds."""
    rows = trades(
        ("2024-01-02T15:00:00Z", "2024-01-02T15:01:00Z", "1", "1", "0"),
        ("2024-01-04T23:00:00Z", "2024-01-05T01:00:00Z", "1", "1", "0"),
    )
    asked = ("", "soon", "0001-01-01", "9999-12-31", "2024-01-01", "2024-01-03", "2024-01-05")
    reach = rows["entry_time"][0], rows["exit_time"][-1]
    found = [prices.chosen_day(reach, rows["entry_time"][1], text).day for text in asked]
    assert found == [4, 4, 4, 4, 4, 3, 5]
