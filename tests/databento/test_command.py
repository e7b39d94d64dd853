"""`manage.py databento`: what it shows, what it asks, and that nothing is bought before a yes (MES-DBN-05)."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.databento.server import KEY, Market


@pytest.fixture(autouse=True)
def account(place: tuple[Market, str], monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    monkeypatch.setenv("DATABENTO_GATEWAY", place[1])
    monkeypatch.setattr("marketdata.databento.client.PAUSE_S", 0.0)
    settings.VAR = tmp_path


def databento(*words: str) -> str:
    out = StringIO()
    call_command("databento", *words, stdout=out)
    return out.getvalue()


MES = ("MES.v.0", "ohlcv-1h")
SPAN = ("--start", "2024-01-01", "--end", "2024-03-01")


def test_an_estimate_shows_dollars_bytes_and_records(market: Market) -> None:
    told = json.loads(databento("estimate", *MES, *SPAN, "--json"))
    assert (told["dollars"], told["bytes"], told["records"]) == ("0.15", 1440 * 56, 1440)
    assert told["months"] == 2 and told["degraded"] == ["2024-01-03 degraded"]
    assert "2 files to buy, $0.15, 80640 bytes, 1440 records" in databento("estimate", *MES, *SPAN)
    assert market.billed == []


@pytest.mark.parametrize("typed", ["", "y", "no", "YES"])
def test_nothing_is_bought_without_a_yes(market: Market, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: typed)
    with pytest.raises(CommandError, match=r"nothing was bought: answer yes, or give --yes"):
        databento("download", *MES, *SPAN)
    assert market.billed == []


def test_where_nobody_can_answer_nothing_is_bought(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("yes\n"))
    with pytest.raises(CommandError, match=r"nothing was bought"):
        databento("download", *MES, *SPAN)
    assert market.billed == []


def test_a_typed_yes_buys(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return "yes"

    monkeypatch.setattr("builtins.input", answer)
    assert "2 files are held now" in databento("download", *MES, *SPAN)
    assert asked == ["Buy it for $0.15? Type yes: "] and len(market.billed) == 2


def test_bought_listed_verified_updated(market: Market, tmp_path: Path) -> None:
    assert "2 files are held now" in databento("download", *MES, *SPAN, "--yes")
    assert "all of MES.v.0 ohlcv-1h" in databento("download", *MES, *SPAN, "--yes")
    assert "1 files are held now" in databento("update", *MES, "--yes")
    assert "is up to date" in databento("update", *MES, "--yes")
    assert "MES.v.0 ohlcv-1h: 3 files, 1692 records, 2024-01-01T00:00:00Z to 2024-03-11T12:00:00Z" in databento("list")
    assert json.loads(databento("verify", "--json"))["series"][0]["faults"] == []
    assert len(market.billed) == 3
    path = next((tmp_path / "databento").glob("*/*/*/*.dbn.zst"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CommandError, match=r"is not the file that was bought"):
        databento("verify")


def test_the_cap_is_the_operators(market: Market) -> None:
    with pytest.raises(CommandError, match=r"it costs \$0.15, more than the cap of \$0.10"):
        databento("download", *MES, *SPAN, "--yes", "--cap", "0.10")
    with pytest.raises(CommandError, match=r"'much' is no amount"):
        databento("download", *MES, *SPAN, "--yes", "--cap", "much")
    assert market.billed == []


def test_a_refusal_is_one_sentence(market: Market) -> None:
    market.fault("get_cost", 402)
    with pytest.raises(CommandError, match=r"the account's funds do not cover it"):
        databento("estimate", *MES, *SPAN)
    for words, sentence in (
        (("MES.v.0", "ohlcv-5m"), "5 and 15 minutes are made of ohlcv-1m"),
        ((*MES, "--start", "2010-01-01"), "data begin at 2024-01-01"),
        ((*MES, "--start", "tomorrow"), "is not a date"),
        ((*MES, "--start", "2030-01-01"), "nothing lies between"),
    ):
        with pytest.raises(CommandError, match=sentence):
            databento("estimate", *words)
