"""Bars beside the journal: prints and venue bars fold to seconds and frames, survive a restart, count once."""

from pathlib import Path

import numpy as np
import pytest

from marketdata.core.records import BAR, NO_TICK, TRADE, new_events
from marketdata.core.units import NANOS
from trading.run.bodies.bars import BARS_FILE, FRAMES_S, RECORD, Bars, load, read_bars

T0 = 1_792_000_000


def prints(*rows: tuple[float, int, int], seq: int = 1, inst: int = 0) -> np.ndarray:
    """TRADEs from (seconds after T0, tick, qty)."""
    events = new_events(len(rows))
    events["kind"], events["instrument"], events["seq"] = TRADE, inst, seq + np.arange(len(rows))
    for event, (at, tick, qty) in zip(events, rows, strict=True):
        event["ts_venue_ns"], event["price_tick"], event["qty"] = T0 * NANOS + round(at * NANOS), tick, qty
    return events


def venue_bar(end: float, ohlcv: tuple[int, int, int, int, int], seq: int) -> np.ndarray:
    """One BAR stamped at its end."""
    event = new_events(1)
    event["kind"], event["seq"], event["ts_venue_ns"] = BAR, seq, T0 * NANOS + round(end * NANOS)
    for name, value in zip(("open_tick", "high_tick", "low_tick", "close_tick", "volume"), ohlcv, strict=True):
        event[name] = value
    return event


def random_tape(seed: int, count: int = 400) -> np.ndarray:
    rng = np.random.default_rng(seed)
    at = np.sort(rng.uniform(0, 700, count))
    return prints(
        *zip(at, rng.integers(19_980, 20_020, count).tolist(), rng.integers(1, 9, count).tolist(), strict=True)
    )


def plain(events: np.ndarray, seconds: int) -> list[list[int]]:
    """The same bars, one print at a time, as anybody would write them."""
    found: list[list[int]] = []
    for event in events:
        t_s = int(event["ts_venue_ns"]) // NANOS // seconds * seconds
        tick, qty = int(event["price_tick"]), int(event["qty"])
        if not found or found[-1][0] != t_s:
            found.append([t_s, tick, tick, tick, tick, 0])
        bar = found[-1]
        bar[2], bar[3], bar[4], bar[5] = max(bar[2], tick), min(bar[3], tick), tick, bar[5] + qty
    return found


def live(bars: Bars, seconds: int, inst: int = 0) -> list[int]:
    value = bars.values()[f"bar:{inst}:{seconds}"]
    return [value["t_us"] // 1_000_000, *(value[name] for name in ("o", "h", "l", "c", "v"))]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("seconds", FRAMES_S)
def test_history_and_live_bar_are_the_plain_bars(tmp_path: Path, seed: int, seconds: int) -> None:
    """In any cut of the events: closed seconds from the file, the open one in the live value."""
    events, bars = random_tape(seed), Bars(tmp_path)
    rng = np.random.default_rng(seed + 100)
    for part in np.split(events, np.sort(rng.integers(0, len(events), 12))):
        bars.note(part)
    wanted = plain(events, seconds)
    history, count = read_bars(tmp_path, 0, seconds)
    assert live(bars, seconds) == wanted[-1]
    assert bars.values()[f"bar:0:{seconds}"]["n"] == len(wanted)
    assert history[: len(wanted) - 1] == wanted[:-1]
    assert count in (len(wanted), len(wanted) - 1), "the newest second is still open"
    assert read_bars(tmp_path, 0, seconds, limit=3)[0] == history[-3:]


@pytest.mark.parametrize("seed", range(3))
def test_a_restart_reads_on_and_counts_nothing_twice(tmp_path: Path, seed: int) -> None:
    events = random_tape(seed)
    bars = Bars(tmp_path)
    bars.note(events[:250])
    again = Bars(tmp_path)
    assert again.seq <= 250
    again.note(events[again.seq :])  # seq of the first event is 1
    for seconds in FRAMES_S:
        assert live(again, seconds) == plain(events, seconds)[-1]
        assert (
            read_bars(tmp_path, 0, seconds)[0][:-1]
            == plain(events, seconds)[: len(read_bars(tmp_path, 0, seconds)[0]) - 1]
        )


def test_two_instruments_restart_apart(tmp_path: Path) -> None:
    """One that is quiet keeps the other from nothing: what is closed is not taken again."""
    first = prints((0.5, 100, 1), (1.5, 101, 1), (2.5, 102, 1), (3.5, 103, 1))
    second = prints((0.6, 700, 5), (3.6, 701, 5), seq=5, inst=1)
    bars = Bars(tmp_path)
    bars.note(np.concatenate([first, second]))
    again = Bars(tmp_path)
    again.note(np.concatenate([first, second])[again.seq :])
    for inst, tape in ((0, first), (1, second)):
        assert live(again, 1, inst) == plain(tape, 1)[-1]
        assert [bar[5] for bar in read_bars(tmp_path, inst, 1)[0]] == [bar[5] for bar in plain(tape, 1)[:-1]]


def test_the_venues_bar_replaces_the_second(tmp_path: Path) -> None:
    bars = Bars(tmp_path)
    bars.note(prints((0.2, 100, 1), (0.9, 104, 2)))
    bars.note(venue_bar(1.0, (99, 105, 98, 104, 7), seq=3))
    assert live(bars, 1) == [T0, 99, 105, 98, 104, 7]
    bars.note(prints((1.1, 103, 1), seq=4))
    assert read_bars(tmp_path, 0, 1)[0] == [[T0, 99, 105, 98, 104, 7]]
    bars.note(venue_bar(1.0, (1, 1, 1, 1, 1), seq=5))
    assert live(bars, 1) == [T0 + 1, 103, 103, 103, 103, 1], "a bar that comes late changes nothing"


def test_bars_of_five_minutes_stay_what_they_are(tmp_path: Path) -> None:
    """A bar tape: its bars are labelled by their last second and start their frame."""
    bars = Bars(tmp_path)
    start = 300 - T0 % 300
    for i in range(3):
        bars.note(venue_bar(start + 300 * (i + 1), (10 + i, 15 + i, 9, 12 + i, 100), seq=i + 1))
    assert live(bars, 300) == [T0 + start + 600, 12, 17, 9, 14, 100]
    assert [bar[0] for bar in read_bars(tmp_path, 0, 300)[0]] == [T0 + start, T0 + start + 300]


def test_a_torn_record_is_cut_off(tmp_path: Path) -> None:
    bars = Bars(tmp_path)
    bars.note(prints((0.5, 100, 1), (1.5, 101, 1), (2.5, 102, 1)))
    with (tmp_path / BARS_FILE).open("ab") as file:
        file.write(b"torn")
    assert len(load(tmp_path)) == 2
    again = Bars(tmp_path)
    assert (tmp_path / BARS_FILE).stat().st_size == 2 * RECORD.itemsize
    again.note(prints((2.5, 102, 1), (3.5, 103, 1), seq=3))
    assert [bar[1] for bar in read_bars(tmp_path, 0, 1)[0]] == [100, 101, 102]


def test_what_has_no_price_is_no_bar(tmp_path: Path) -> None:
    bars = Bars(tmp_path)
    bars.note(prints((0.5, NO_TICK, 1)))
    assert bars.values() == {}
    assert bars.seq == 1
    assert read_bars(tmp_path, 0, 5) == ([], 0)
    with pytest.raises(ValueError, match="frames of"):
        read_bars(tmp_path, 0, 7)


def test_a_moment_shows_nothing_of_later(tmp_path: Path) -> None:
    events = random_tape(9)
    Bars(tmp_path).note(events)
    until_s = T0 + 200
    found, _ = read_bars(tmp_path, 0, 1, until_s=until_s)
    assert found[-1][0] <= until_s
    assert found == plain(events, 1)[: len(found)]
