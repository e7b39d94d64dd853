"""The session's spec and clock: what is refused, what survives, and that session time is exact at every speed."""

import msgspec
import pytest

from marketdata.core.records import ACCOUNT_SCOPE
from marketdata.core.units import NANOS
from risk.core.records import LIMIT_FIELDS, LIMIT_INDEX, SPEC_FIELDS
from tests.simulation.kit import LIMITS, START_NS, make_spec
from trading.core.records import CONFIG, CONFIG_COMMIT, WINDOW_SET
from trading.run.clock import ClockMissing, SessionClock, clock_is_stale, load_clock, save_clock
from trading.run.replica import Kernel
from trading.run.spec import SpecError, load_spec, save_spec, setup_events, version_word


def test_a_spec_comes_back_equal(tmp_path):
    spec = make_spec()
    save_spec(tmp_path / "7", spec)
    assert load_spec(tmp_path / "7") == spec
    assert [p.name for p in (tmp_path / "7").iterdir()] == ["spec.json"]


def test_a_spec_never_changes(tmp_path):
    save_spec(tmp_path, make_spec())
    save_spec(tmp_path, make_spec())  # the same again is no change
    with pytest.raises(SpecError, match="never changes"):
        save_spec(tmp_path, make_spec(qty_max=6))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": "live"}, "mode 'live' is unknown"),
        ({"version_hash": "xy"}, "64 lower-case hex"),
        ({"limits": {"quantity_max": 1}}, "unknown limits: quantity_max"),
        ({"instruments": []}, "0 instruments"),
        ({"windows": [(-1, 1, 10, 5, 20240101)]}, "ends before it starts"),
        ({"windows": [(-1, 1, 0, 5, 20240101), (-1, 1, 4, 9, 20240101)]}, "overlap"),
        ({"windows": [(-1, 9, 0, 5, 20240101)]}, "phase 9"),
        ({"id": 0}, "positive id"),
    ],
)
def test_a_spec_that_no_session_may_run_is_refused(tmp_path, change, words):
    with pytest.raises(SpecError, match=words):
        save_spec(tmp_path, msgspec.structs.replace(make_spec(), **change))
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_unit_or_a_cut_file_is_one_clear_sentence(tmp_path):
    (tmp_path / "spec.json").write_bytes(
        msgspec.json.encode(make_spec()).replace(b'"qty_max":5', b'"qty_max":"5 lots"')
    )
    with pytest.raises(SpecError, match="Expected `int`, got `str`"):
        load_spec(tmp_path)
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(make_spec())[:-9])
    with pytest.raises(SpecError, match="truncated"):
        load_spec(tmp_path)
    with pytest.raises(SpecError, match="holds no session"):
        load_spec(tmp_path / "nothing")


def test_set_up_events_configure_a_fresh_kernel():
    spec = make_spec()
    events = setup_events(spec, START_NS)
    assert (events["kind"] == CONFIG).sum() == len(LIMIT_FIELDS) + len(SPEC_FIELDS)
    limits = events[(events["kind"] == CONFIG) & (events["instrument"] == ACCOUNT_SCOPE)]
    assert {int(e["code"]): int(e["value"]) for e in limits} == {LIMIT_INDEX[n]: LIMITS[n] for n in LIMIT_FIELDS}
    commit = events[events["kind"] == CONFIG_COMMIT]
    assert (commit["ref"][0], commit["value"][0]) == (3, version_word("ab" * 32))
    assert (events["kind"] == WINDOW_SET).sum() == 1
    kernel = Kernel()
    kernel.apply(events)
    account = kernel.state.account[0]
    assert (account.version, account.balance_micros) == (3, LIMITS["capital_micros"])
    assert kernel.params.limits[0].loss_day_micros_max == LIMITS["loss_day_micros_max"]
    assert account.trading_day == 20231114


@pytest.mark.parametrize("speed", [1.0, 64.0, 0.5, 2.25, 1000.0])
def test_session_time_is_exact_at_every_speed(speed):
    clock = SessionClock(START_NS, 1_000, speed)
    assert clock.now(1_000) == START_NS
    ten_days = 10 * 86_400 * NANOS
    assert clock.now(1_000 + ten_days) == START_NS + ten_days * round(speed * 1000) // 1000
    assert clock.wait_s(START_NS + 3 * NANOS, 1_000) == pytest.approx(3 / speed)
    assert clock.wait_s(START_NS - 1, 1_000) == 0


def test_a_tape_clock_follows_the_events_and_never_goes_back():
    clock = SessionClock(START_NS, 0, 0.0)
    assert clock.now(10**15) == START_NS
    clock.observe(START_NS + 5)
    clock.observe(START_NS + 2)
    assert clock.now() == START_NS + 5
    assert clock.wait_s(START_NS + NANOS) == 0


@pytest.mark.parametrize("speed", [-1.0, 1000.5])
def test_a_speed_out_of_range_is_refused(speed):
    with pytest.raises(ValueError, match="neither 0"):
        SessionClock(0, 0, speed)


def test_a_clock_is_shared_through_its_file(tmp_path):
    with pytest.raises(ClockMissing):
        load_clock(tmp_path)
    clock = SessionClock(START_NS, 12_345, 64.0)
    save_clock(tmp_path, clock)
    other = load_clock(tmp_path)
    assert other.now(99_999) == clock.now(99_999)
    assert not clock_is_stale(tmp_path)
    text = (tmp_path / "clock.json").read_text()
    (tmp_path / "clock.json").write_text(text.replace('"boot_id":"', '"boot_id":"another-'))
    assert clock_is_stale(tmp_path)
