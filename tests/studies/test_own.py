"""Code of somebody's own is found by its file's place and stands in the way of nothing."""

import statistics
import sys
from pathlib import Path

import pytest

from trading.run.backtest.own import module_of
from trading.run.backtest.plan import BacktestError
from trading.run.backtest.signals import strategy_of


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_a_file_named_like_the_library_shadows_nothing_and_is_found(tmp_path: Path) -> None:
    (tmp_path / "statistics.py").write_text("def decide(bars):\n    return 0\n")
    own = module_of("statistics", tmp_path)
    assert own.__file__ == str(tmp_path / "statistics.py") and own is not statistics
    assert sys.modules["statistics"] is statistics and sys.path[-1] == str(tmp_path)
    assert module_of("trading.studies.examples", tmp_path).__name__ == "trading.studies.examples"


def test_a_strategy_imports_what_lies_beside_it_and_a_change_of_its_file_counts(tmp_path: Path) -> None:
    (tmp_path / "helper_of_own.py").write_text("DEPTH = 4\n")
    (tmp_path / "mine.py").write_text("import helper_of_own\ndef decide(bars):\n    return helper_of_own.DEPTH\n")
    first = strategy_of("mine:decide", folder=tmp_path)
    assert first.function is not None and first.function(None) == 4
    (tmp_path / "mine.py").write_text("def decide(bars):\n    return 5  # changed\n")
    second = strategy_of("mine:decide", folder=tmp_path)
    assert second.function is not None and second.function(None) == 5 and second.code_hash != first.code_hash


def test_a_file_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('half a thought')\n")
    with pytest.raises(BacktestError, match="half a thought"):
        strategy_of("broken:decide", folder=tmp_path)
    assert not [name for name in sys.modules if name.endswith("broken")]
    with pytest.raises(BacktestError, match="is its folder the one that you stand in"):
        strategy_of("absent_of_own:decide", folder=tmp_path)
