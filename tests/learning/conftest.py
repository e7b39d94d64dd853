"""One small artifact of each schema for all tests of this folder, trained through the real feed and feature file."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.learning.barsets import bar_request, ten_days, write, write_parquet
from tests.learning.tapes import SECOND, bar_tape
from trading.learning.dataset import Tape
from trading.learning.training import TrainReport, TrainRequest, train


def write_bars(path: Path, count: int, seed: int) -> Path:
    """`count` one-second bars of MES as CSV."""
    lines = ["timestamp,open,high,low,close,volume"]
    for event in bar_tape(count, seed).events:
        start = datetime.fromtimestamp((int(event["ts_venue_ns"]) - SECOND) // SECOND, UTC)
        prices = ",".join(
            f"{int(event[name]) * 0.25:.2f}" for name in ("open_tick", "high_tick", "low_tick", "close_tick")
        )
        lines.append(f"{start.isoformat()},{prices},{int(event['volume'])}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def bars_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bars(tmp_path_factory.mktemp("bars") / "bars.csv", 3_000, 3)


def request_for(bars: Path, out: Path, **changes: object) -> TrainRequest:
    """A request that trains in a second or two."""
    values: dict[str, object] = {
        "tape": Tape(name="replay", symbols=["MES"], path=str(bars)),
        "symbol": "MES",
        "seconds": 0,
        "out": str(out),
        "seed": 7,
        "horizon_s": 5.0,
        "cost_ticks": 2.0,
        "hidden": (32, 16),
        "epochs": 4,
    }
    return TrainRequest(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def trained(bars_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainReport]:
    """(folder of the artifact, report)."""
    out = tmp_path_factory.mktemp("artifacts") / "first"
    return out, train(request_for(bars_file, out))


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten mornings of one-second bars as a Parquet file."""
    return write_parquet(tmp_path_factory.mktemp("bars") / "mes.parquet", ten_days())


@pytest.fixture(scope="session")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of their features."""
    out = tmp_path_factory.mktemp("features") / "rows.parquet"
    write(source, out)
    return out


@pytest.fixture(scope="session")
def bars_network(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an artifact that was trained on it."""
    out = tmp_path_factory.mktemp("networks") / "bars"
    train(bar_request(made, out))
    return out
