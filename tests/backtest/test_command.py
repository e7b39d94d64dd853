"""`manage.py backtest` from outside: files of a fixed form, the same bytes, refusals in one sentence (MES-BT-26)."""

import csv
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from marketdata.core.instruments import instrument
from tests.backtest.market import at
from tests.backtest.parts import S
from tests.bootstrap import ROOT
from trading.config.schema import load_file
from trading.configs import FOLDER
from trading.management.commands.backtest import Command
from trading.run.backtest import outputs
from trading.run.backtest.plan import BacktestError, Calendar, check_data_close, plan_of

MODULE = '''
import numpy as np

def dips(bars):
    """Buy a fall of three ticks over ten bars."""
    side = np.zeros(len(bars.close), np.int8)
    side[10:] = np.where(bars.close[10:] - bars.close[:-10] <= -3, 1, 0)
    return side, np.full(len(side), 0.7)

def peeks(bars):
    side = np.zeros(len(bars.close), np.int8)
    side[:-10] = np.sign(bars.close[10:] - bars.close[:-10])
    return side

def next_bar(bars):
    """Seldom decides, and then knows one bar more than it may."""
    after = np.append(bars.close[1:], bars.close[-1])
    return np.where((after - bars.close == 2) & (bars.close % 97 == 0), 1, 0)

def writes(bars):
    bars.high[:] = np.maximum.accumulate(bars.high)
    return np.zeros(len(bars.close))

def short(bars):
    return np.zeros(len(bars.close) - 1)

def odd(bars):
    return np.full(len(bars.close), 3)
'''


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """An hour of bars of a morning, with columns of decisions."""
    rng = np.random.default_rng(5)
    n = 3600
    close = 24_000 + np.cumsum(rng.integers(-2, 3, n))
    start = close - rng.integers(-1, 2, n)
    table = pa.table(
        {
            "timestamp": at("2026-03-03", "10:00:00") + np.arange(n) * S,
            "open": start * 250_000_000,
            "high": (np.maximum(start, close) + 1) * 250_000_000,
            "low": (np.minimum(start, close) - 1) * 250_000_000,
            "close": close * 250_000_000,
            "volume": np.full(n, 5, np.uint64),
            "symbol": ["MESH6"] * n,
            "signal": np.where(np.arange(n) % 90 == 0, rng.choice([-1, 1], n), 0),
            "confidence": np.full(n, 0.72),
            "score": np.where(np.arange(n) % 90 == 0, rng.choice([-0.8, 0.8], n), 0.0),
        }
    )
    path = tmp_path / "morning.parquet"
    pq.write_table(table, path, row_group_size=1000)
    return path


def run(made: Path, folder: str = "out", **words: Any) -> dict[str, Any]:
    """The command; its JSON."""
    told = StringIO()
    given = {"config": "mes-topstep", "data": str(made), "out": made.parent / folder, "json": True} | words
    call_command("backtest", stdout=told, **given)
    return dict(json.loads(told.getvalue()))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


pytestmark = pytest.mark.django_db


def test_three_files_of_a_fixed_form_that_agree_mes_bt_26(made: Path) -> None:
    values = run(made)
    files = contents(made.parent / "out")
    assert sorted(files) == [outputs.EQUITY, outputs.SUMMARY, outputs.TRADES]
    assert json.loads(files[outputs.SUMMARY]) == values
    trades = list(csv.DictReader(files[outputs.TRADES].decode().splitlines()))
    equity = list(csv.DictReader(files[outputs.EQUITY].decode().splitlines()))
    assert tuple(trades[0]) == outputs.TRADE_COLUMNS and tuple(equity[0]) == outputs.EQUITY_COLUMNS
    assert values["trades"]["count"] == len(trades) > 5
    micros = [int(row["net_pnl"].replace(".", "")) for row in trades]
    start, end = (int(values["capital"][name].replace(".", "")) for name in ("start", "end"))
    assert sum(micros) == end - start
    assert int(equity[-1]["equity"].replace(".", "")) == end
    assert [row["trade_id"] for row in trades] == [str(k + 1) for k in range(len(trades))]
    assert trades[0]["contract"] == "MESH6" and trades[0]["entry_time"].endswith("Z")
    assert len(equity) == 60 and values["period"]["equity_points"] in (3600, 3601)
    assert sum(values["trades"]["exit_reasons"].values()) == len(trades)
    assert len(values["run"]["config_hash"]) == len(values["run"]["data_hash"]) == 64


def test_the_same_inputs_give_the_same_bytes_mes_bt_01(made: Path) -> None:
    run(made)
    first = contents(made.parent / "out")
    run(made, overwrite=True)
    assert contents(made.parent / "out") == first
    with pytest.raises(CommandError, match="holds a result; give --overwrite"):
        run(made)


def test_a_column_of_scores_is_class_and_confidence(made: Path) -> None:
    values = run(made, strategy="column:score")
    rows = list(csv.DictReader((made.parent / "out" / outputs.TRADES).read_text().splitlines()))
    assert values["run"]["strategy"] == "column:score"
    assert {row["model_confidence"] for row in rows} == {"0.800000"}


@pytest.fixture
def strategies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_rules.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("strategies")
def test_a_function_decides_on_whole_columns(made: Path) -> None:
    values = run(made, strategy="own_rules:dips")
    assert values["trades"]["count"] > 3
    assert len(values["run"]["strategy_hash"]) == 64


@pytest.mark.usefixtures("strategies")
@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("own_rules:peeks", "looks ahead: its decision on bar"),
        ("own_rules:next_bar", "looks ahead: its decision on bar"),
        ("own_rules:writes", "own_rules:writes failed: ValueError: assignment destination is read-only"),
        ("own_rules:short", "must give one of −1, 0, \\+1 for each of the 3600 bars"),
        ("own_rules:odd", "it gave 3600 values, among them 3"),
        ("own_rules:none", "has no function none"),
        ("no_such_module:f", "No module named"),
        ("column:missing", "has no column missing"),
        ("nonsense", "is none of column, column:NAME and module:function"),
    ],
)
def test_a_strategy_that_cannot_be_used_is_refused_in_one_sentence(made: Path, strategy: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run(made, strategy=strategy)
    assert not (made.parent / "out").exists()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("signal", 2.0, "row 8: its signal is 2, not −1, 0 or \\+1"),
        ("signal", None, "row 8: its signal is missing"),
        ("confidence", 1.5, "row 8: its confidence is 1.5, not a share within 0 .. 1"),
        ("confidence", None, "row 8: its confidence is missing"),
    ],
)
def test_a_bad_decision_refuses_the_load_and_names_its_row_mes_bt_03(
    made: Path, column: str, value: float | None, words: str
) -> None:
    table = pq.read_table(made)
    values: list[float | None] = table[column].to_pylist()
    values[7] = value
    pq.write_table(table.set_column(table.schema.names.index(column), column, pa.array(values, pa.float64())), made)
    with pytest.raises(CommandError, match=words):
        run(made)


@pytest.mark.parametrize(("bad", "refused"), [(3, False), (4, True)])
def test_rows_that_are_no_bars_are_told_and_too_many_refuse_mes_data_04(made: Path, bad: int, refused: bool) -> None:
    """0.1 % of 3,600 rows are 3: a stop inside a bar that is left out would never be met."""
    table = pq.read_table(made)
    lows = table["low"].to_pylist()
    for k in range(bad):
        lows[100 + k] = 0
    low = pa.array(lows, table["low"].type)
    pq.write_table(table.set_column(table.schema.names.index("low"), "low", low), made)
    if refused:
        with pytest.raises(CommandError, match=r"4 of 3600 rows are bad, more than 0.1 %"):
            run(made)
        assert not (made.parent / "out").exists()
    else:
        assert any(text.startswith("3 rows of the data were left out: ") for text in run(made)["warnings"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"config": "demo-moex"}, "trades at moex"),
        ({"config": "no-such"}, "names no version"),
        ({"symbol": "NQ"}, "mes-topstep trades MES, not NQ"),
        ({"data": "99"}, "data set 99"),
        ({"data": "nowhere.parquet"}, "nowhere.parquet does not exist"),
        ({"first": "2027-01-01"}, "the data ends before --from 2027-01-01"),
        ({"last": "2020-01-01"}, "the data begins after --to 2020-01-01"),
        ({"first": "tomorrow"}, "'tomorrow' is no date"),
        ({"limit_fill": "hope"}, "limit_fill is one of through, touch"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_sentence(made: Path, words: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        run(made, **words)
    assert not (made.parent / "out").exists()


def test_nothing_but_a_result_is_ever_replaced(made: Path) -> None:
    kept = made.parent / "out" / "diary.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(CommandError, match=r"holds diary.txt, which is no result"):
        run(made, overwrite=True)
    assert kept.read_text() == "mine"


def test_ctrl_c_leaves_nothing_half_written(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(path: Path) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("trading.run.backtest.source.file_hash", stop)
    before = sorted(path.name for path in made.parent.iterdir())
    with pytest.raises(SystemExit) as ended:
        run(made)
    assert ended.value.code == 130
    assert sorted(path.name for path in made.parent.iterdir()) == before


def test_help_says_what_each_word_means() -> None:
    text = Command().create_parser("manage.py", "backtest").format_help()
    assert "module:function" in text and "docs/backtest.md" in text


def test_the_examples_of_the_page_run(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/backtest.md: columns written with polars, a function in a file of its own, a policy on books."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "backtest.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    folder = made.parent
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    made.rename(folder / "bars.parquet")
    column, decide, policy = (
        next(code for code in blocks if word in code) for word in ("polars", "def decide", "on_event")
    )
    exec(compile(column, "columns", "exec"), {})
    (folder / "dips.py").write_text(decide)
    (folder / "leaning.py").write_text(policy)
    crossed = run(folder / "decided.parquet", "cross", strategy="column")
    dipped = run(folder / "bars.parquet", "dips", strategy="dips:decide")
    assert crossed["trades"]["count"] > 0 and dipped["trades"]["count"] > 0
    assert crossed["run"]["signals_hash"] != dipped["run"]["signals_hash"]
    words = {"books": True, "config": "demo-mes", "data": "simulated", "seconds": 60, "option": ["backfill_s=60"]}
    changes = ["strategy.share=0.55"]
    leant = run(folder / "x", "leaning", strategy="policy:leaning:Leaning", changes=changes, **words)
    assert leant["run"]["strategy"] == "policy:leaning:Leaning" and leant["fills"]["count"] > 0


def test_a_schedule_beyond_the_data_is_refused_mes_eod_05(made: Path) -> None:
    """Data of the day session end at 16:00: who must be flat at 16:08 would be closed by the end of the data."""
    with pytest.raises(
        CommandError, match=r"EOD_SCHEDULE_BEYOND_DATA: on 2026-03-03 schedule topstep .* 16:08 .* 16:00"
    ):
        run(made, data_close="16:00")
    assert not (made.parent / "out").exists()
    for close in ("16:08", "16:08:00", "23:59"):
        assert run(made, data_close=close, overwrite=True)["trades"]["count"] > 0, "not later than the data's end"
    assert run(made, config="demo-mes", data_close="10:30", overwrite=True), "nobody must be flat in all hours"
    with pytest.raises(CommandError, match="'4pm' is no time of day"):
        run(made, data_close="4pm", overwrite=True)
    with pytest.raises(CommandError, match="'1605' is no time of day"):
        run(made, data_close="1605", overwrite=True)


def test_an_early_close_counts_as_the_end_of_its_date_mes_eod_05(made: Path) -> None:
    """Nothing is checked without the option, and a date outside --from and --to is none of the run's."""
    assert run(made)["trades"]["count"] > 0
    plan = plan_of(load_file(FOLDER / "mes-topstep.yaml"), instrument("MES"))
    first, last = at("2025-11-27", "12:00:00"), at("2025-11-28", "12:00:00")
    calendar = Calendar.between(first, last)
    check_data_close(plan, calendar, "16:30", -(2**62), 2**62)
    with pytest.raises(BacktestError, match="EOD_SCHEDULE_BEYOND_DATA: on 2025-11-28"):
        check_data_close(plan, calendar, "12:00", at("2025-11-28", "09:00:00"), 2**62)
    check_data_close(plan, calendar, "12:00", 2**61, 2**62)
