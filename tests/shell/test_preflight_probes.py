"""Pre-flight's measurements that no test can break on a real machine: the clock, the build, the drill, the disk.

The figures are handed in; what is asserted is the verdict and its words.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings

from trading import configs, services
from trading.models import Session
from trading.preflight import probes
from trading.preflight.checks import Evidence, Plan, _bounds, _drill, examine, start
from trading.preflight.inputs import data_digest
from trading.run.spec import FeedSpec, ScorerSpec

NOW = datetime(2026, 11, 29, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("synchronised", "error_ms", "step_ms", "verdict", "word"),
    [
        (True, 12.0, 3.0, "pass", "12 ms"),
        (True, 80.0, 3.0, "warn", "80 ms"),
        (False, None, 0.0, "warn", "not synchronised"),
        (True, 1.0, 1500.0, "fail", "1500 ms"),
        (True, 1.0, -1500.0, "fail", "-1500 ms"),
    ],
)
def test_clock(synchronised: bool, error_ms: float | None, step_ms: float, verdict: str, word: str) -> None:
    """T-09: a clock that jumped is refused, one that nobody keeps is said."""
    found = probes.probe_clock(synchronised, error_ms, step_ms)
    assert found.verdict == verdict
    assert word in found.value


def test_this_machines_clock_is_read() -> None:
    synchronised, error_ms = probes.kernel_clock()
    assert isinstance(synchronised, bool)
    assert error_ms is None or error_ms >= 0
    assert abs(probes.clock_step_ms()) < 60_000


def test_build() -> None:
    """G-05: other code on the disk than in the process is refused."""
    assert probes.probe_build("abc", "abc").verdict == "pass"
    found = probes.probe_build("abc", "def")
    assert found.verdict == "fail"
    assert "abc" in found.value and "def" in found.value and found.advice


def test_disk(tmp_path: Path) -> None:
    assert probes.probe_disk(tmp_path, 1).verdict == "pass"
    assert probes.probe_disk(tmp_path, 10**18).verdict == "fail"


def test_drill_is_shown_and_not_needed() -> None:
    """K-07: paper does not need it; its age and figure are shown all the same."""
    assert "never run" in _drill(Evidence("x"), NOW).value
    late = _drill(Evidence("x", NOW - timedelta(hours=30), 812.0), NOW)
    assert late.verdict == "skip"
    assert "30.0 h ago, 812 ms, too old for live" in late.value


def test_data_digest_names_the_bytes_and_not_the_place(tmp_path: Path) -> None:
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.write_bytes(b"same")
    b.write_bytes(b"same")
    one, two = (data_digest(FeedSpec("replay", ["MES"], path=str(path))) for path in (a, b))
    assert one == two
    b.write_bytes(b"other")
    assert data_digest(FeedSpec("replay", ["MES"], path=str(b))) != one
    assert data_digest(FeedSpec("simulated", ["MES"], seed=1)) != data_digest(FeedSpec("simulated", ["MES"], seed=2))
    slow, fast = (FeedSpec("simulated", ["MES"], speed=speed) for speed in (1.0, 9.0))
    assert data_digest(slow) == data_digest(fast)


def test_bounds() -> None:
    """P-21, N3: a stop outside its bounds and a reserve too small to cancel everything are refused."""
    profile = configs.load_file(configs.FOLDER / "demo-mes.yaml")
    found: dict[str, probes.Found] = {}
    _bounds(profile, found)
    assert {row.verdict for row in found.values()} == {"pass"}
    changed = profile.risk.model_copy(update={"stop_ticks": 99, "messages_reserved": 3})  # type: ignore[attr-defined]
    _bounds(profile.model_copy(update={"risk": changed}), found)
    assert (found["stop"].verdict, found["reserve"].verdict) == ("fail", "fail")
    assert "99 ticks, bounds 4 to 40" in found["stop"].value
    assert "3 messages kept, 22 needed" in found["reserve"].value


@pytest.mark.django_db(transaction=True)
def test_a_mode_that_is_not_open_fails_its_row_and_the_start() -> None:
    """UI-12: live does not exist here, whoever asks; what lies behind it is not known, and nothing is stored."""
    configs.ship()
    plan = Plan("demo-mes", FeedSpec("simulated", ["MES"]), ScorerSpec("none"), mode="live")
    seen = {row.id: row for row in examine(plan, Evidence(settings.CODE_HASH), wait_s=30).rows}
    assert seen["mode"].verdict == "fail"
    assert "'live' is not open" in seen["mode"].value
    assert seen["feed"].verdict == "unknown"
    with pytest.raises(services.StartRefused):
        start(plan, Evidence(settings.CODE_HASH), "alice")
    assert not Session.objects.exists()
