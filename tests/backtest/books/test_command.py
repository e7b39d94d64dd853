"""`manage.py backtest --books` from outside: four files or none, the same bytes, refusals in one sentence."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from trading.run.backtest import outputs

pytestmark = pytest.mark.django_db  # a profile is looked for among stored versions, too

RIGHT: dict[str, Any] = {
    "config": "demo-mes",
    "data": "simulated",
    "books": True,
    "strategy": "baseline",
    "seconds": 60,
    "seed": 3,
    "option": ["backfill_s=60"],
    "changes": ["risk.cooldown_entry=0 s", "risk.cooldown_exit=0 s", "strategy.threshold=0.2"],
    "json": True,
}


def traded(out: Path, **changes: Any) -> dict[str, Any]:
    said = StringIO()
    call_command("backtest", stdout=said, out=out, **(RIGHT | changes))
    values: dict[str, Any] = json.loads(said.getvalue())
    return values


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_four_files_that_agree_and_the_same_bytes_again(tmp_path: Path) -> None:
    values = traded(tmp_path / "one", latency="5 ms")
    names = {outputs.TRADES, outputs.EQUITY, outputs.SUMMARY, outputs.FILLS}
    assert {path.name for path in (tmp_path / "one").iterdir()} == names
    traded(tmp_path / "two", latency="5 ms")
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    trades, fills = rows_of(tmp_path / "one" / "trades.csv"), rows_of(tmp_path / "one" / "fills.csv")
    assert len(trades) == values["trades"]["count"] >= 1 and len(fills) == values["fills"]["count"] >= 2
    assert {row["trade_id"] for row in fills} == {row["trade_id"] for row in trades}
    net = round(sum(float(row["net_pnl"]) for row in trades), 6)
    assert net == pytest.approx(float(values["capital"]["end"]) - float(values["capital"]["start"]), abs=1e-6)
    fees = sum(float(row["commission"]) for row in fills)
    assert fees == pytest.approx(float(values["costs"]["commission"]), abs=1e-6)
    assert values["run"]["latency"] | {"samples": 1, "p50_ns": 5_000_000} == values["run"]["latency"]
    assert values["run"]["fill_model"] == "book" and values["period"]["events"] > 200
    assert "bars" not in values["period"] and any("resting" in line for line in values["warnings"])
    assert values["criticism"]["trials"]["count"] == 1, "MES-GUARD-01"
    assert values["run"]["strategy_hash"] == settings.CODE_HASH and len(values["run"]["latency"]["sha256"]) == 64


def test_more_latency_is_another_run_and_is_named(tmp_path: Path) -> None:
    quick, slow = traded(tmp_path / "quick", latency="0 ms"), traded(tmp_path / "slow", latency="400 ms")
    assert quick["run"]["data_hash"] == slow["run"]["data_hash"]
    assert quick["run"]["latency"]["from"] == "0 ms" and slow["run"]["latency"]["max_ns"] == 400_000_000
    assert (tmp_path / "quick" / "fills.csv").read_bytes() != (tmp_path / "slow" / "fills.csv").read_bytes()
    assert traded(tmp_path / "profile", latency="")["run"]["latency"]["from"] == "20 ms", "that of the profile"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"strategy": "column"}, "baseline, network:FOLDER or policy"),
        ({"strategy": "oracle"}, "unknown"),
        ({"seconds": 0}, "--seconds"),
        ({"latency": "soon"}, "like 20 ms"),
        ({"latency": "31 s"}, "ack_timeout"),
        ({"latency": "session:999"}, "no session"),
        ({"first": "2026-03-03"}, "--from is for bars"),
        ({"random": 3}, "--random is for bars"),
        ({"symbol": "SBER"}, "demo-mes trades"),
        ({"config": "moex-tinvest", "symbol": "SBER"}, "volatility index"),
        ({"option": ["backfill_s"]}, "NAME=VALUE"),
        ({"books": False, "latency": "20 ms"}, "give --books"),
    ],
)
def test_a_refusal_is_one_sentence_and_leaves_nothing(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        traded(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_fills_may_be_overwritten_by_bars(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / outputs.FILLS).write_text("")
    outputs.check_folder(folder, overwrite=True)
    with pytest.raises(ValueError, match="overwrite"):
        outputs.check_folder(folder, overwrite=False)
