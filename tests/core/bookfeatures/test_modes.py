"""Batch = streaming = chunks = plain interpreter, to the last bit; the past never depends on the future.

Rules: MOEX-FEAT-02, -03, -07, MOEX-ACC-201, -405.
"""

import hashlib

import numpy as np
import pytest

from marketdata.core.bookfeatures import stream
from marketdata.core.bookfeatures.engine import BookFeatures
from marketdata.core.bookfeatures.records import (
    BOOK_STATE,
    LOTS_MAX,
    QTY_MAX,
    RECORDS,
    SQUARE,
    TAIL,
    TICK_MAX,
    VALID,
    Tape,
    new_book_states,
    new_rows,
    no_markets,
)
from marketdata.core.bookfeatures.schema import FEATURE_NAMES, TRADES
from tests import plain
from tests.core.bookfeatures.kit import TICK_NANOS, Rows, as_tape, cut, in_chunks, intervals, one_at_a_time, whole
from tests.core.bookfeatures.oracle import Book, Candle, Event, Market, Reset, Trade
from tests.core.bookfeatures.recorded import RECORDED, Recorded
from tests.core.bookfeatures.tapes import SESSIONS, START, S, tape

PROGRAM = "from tests.core.bookfeatures.test_modes import digest; print(digest())"
CHUNKS = (1, 2, 3, 7, 29, 64, 100, 399)
ROOMS = (1, 5, 61, 1_000)
SUMS = ("square_1", "tail_1", "square_10", "tail_10", "square_60", "tail_60", "lots_10", "lots_60")


def assert_same(a: Rows, b: Rows, told: str) -> None:
    for name in ("event", "verdict"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), (told, name)
    assert a.features.tobytes() == b.features.tobytes(), told
    assert a.state == b.state, told


@pytest.mark.parametrize("block", range(4))
def test_streaming_and_chunks_equal_the_batch_bit_for_bit(block):
    """60 tapes with everything odd; every chunk size and room for rows comes up many times."""
    valid = 0
    for seed in range(1_000 + 15 * block, 1_015 + 15 * block):
        made = as_tape(tape(seed))
        batch = whole(made, SESSIONS)
        assert_same(one_at_a_time(made, SESSIONS), batch, f"seed {seed}, one at a time")
        size, room = CHUNKS[seed % len(CHUNKS)], ROOMS[seed % len(ROOMS)]
        assert_same(in_chunks(made, size, SESSIONS, room), batch, f"seed {seed}, chunks of {size}, room {room}")
        valid += int((batch.verdict == VALID).sum())
    assert valid > 2_400


@pytest.mark.parametrize("load", RECORDED)
def test_recorded_books_in_chunks_equal_the_batch(sample_data, load):
    recorded: Recorded = load(sample_data)
    batch = whole(recorded.tape, recorded.sessions, recorded.tick_nanos)
    for size in (997, 20_011):
        pieces = in_chunks(recorded.tape, size, recorded.sessions, 512, recorded.tick_nanos)
        assert_same(pieces, batch, f"{load.__name__}, chunks of {size}")


def noise(rng: np.random.Generator, now: int, venue: int) -> list[Event]:
    """Something else entirely, within the bounds of the records."""
    events: list[Event] = []
    for _ in range(int(rng.integers(1, 25))):
        now += int(rng.integers(0, 90 * S))
        venue += int(rng.integers(0, S))
        tick = int(rng.integers(30, TICK_MAX - 30))
        bids = tuple((tick - i, int(rng.integers(1, QTY_MAX))) for i in range(int(rng.integers(0, 21))))
        asks = tuple((tick + 1 + i, int(rng.integers(1, QTY_MAX))) for i in range(int(rng.integers(0, 21))))
        events += [
            Trade(now, tick, int(rng.integers(1, LOTS_MAX)), int(rng.integers(-1, 2))),
            Candle(now, tick + 5, tick - 5, tick),
            Market(now, True, *rng.random(3).tolist()),
            Book(now, venue, bids, asks),
        ]
        if rng.random() < 0.05:
            events.append(Reset())
    return events


@pytest.mark.parametrize("block", range(4))
def test_the_past_does_not_depend_on_the_future(block):
    """MOEX-FEAT-03: 1,000 moments; all events after each are replaced by noise, no row up to it changes."""
    rng = np.random.default_rng(block)
    rows = 0
    for seed in range(2_000 + 10 * block, 2_010 + 10 * block):
        events = list(tape(seed, 200))
        before = whole(as_tape(events), SESSIONS)
        for moment in rng.integers(1, len(events), 25).tolist():
            past = events[:moment]
            after = whole(as_tape(past + noise(rng, START + 10**6 * S, START + 10**6 * S)), SESSIONS)
            count = int((before.event < moment).sum())
            assert np.array_equal(after.event[:count], before.event[:count])
            assert np.array_equal(after.verdict[:count], before.verdict[:count])
            assert after.features[:count].tobytes() == before.features[:count].tobytes(), (seed, moment)
            rows += count
    assert rows > 10_000


def test_a_changed_book_changes_its_own_row():
    """The comparison above can fail: another size at the best bid of book k changes row k."""
    events = list(tape(2_003, 200))
    before = whole(as_tape(events), SESSIONS)
    at = next(i for i, e in enumerate(events) if i > 100 and isinstance(e, Book) and len(e.bids) > 1 and e.asks)
    book = events[at]
    assert isinstance(book, Book)
    events[at] = book._replace(bids=((book.bids[0][0], book.bids[0][1] + 1), *book.bids[1:]))
    after = whole(as_tape(events), SESSIONS)
    row = int(np.flatnonzero(before.event == at)[0])
    assert after.features[:row].tobytes() == before.features[:row].tobytes()
    assert (after.features[row] != before.features[row]).sum() > 5


def test_instruments_do_not_mix():
    """MOEX-FEAT-07: one state an instrument; a gap of one resets that one alone, a stranger's events nobody."""
    kinds = (Book, Trade, Candle, Reset)
    lists = [[e for e in tape(seed) if isinstance(e, kinds)] for seed in (1_001, 1_005, 1_009)]
    lists[0] = [e for e in lists[0] if not isinstance(e, Reset)]
    lists[1].insert(150, Reset())
    tapes = [as_tape(events) for events in lists]
    offsets = np.cumsum([0, *(len(made.depths) for made in tapes)])
    for which, made in enumerate(tapes):
        made.events["instrument"] = which if which < 2 else 7
    order = np.argsort(np.concatenate([np.arange(len(made.events)) for made in tapes]), kind="stable")
    depth_of = [np.where(t.depth_of >= 0, t.depth_of + offsets[k], -1) for k, t in enumerate(tapes)]
    mixed = Tape(
        np.concatenate([made.events for made in tapes])[order],
        np.concatenate([made.depths for made in tapes]),
        np.concatenate(depth_of)[order].astype(np.int32),
        no_markets(),
        np.full(len(order), -1, np.int32),
    )
    states, rows = new_book_states([TICK_NANOS, TICK_NANOS]), new_rows(2_000)
    at, count = stream.batch(states, mixed, intervals(SESSIONS), 0, rows)
    assert at == len(order)
    of = mixed.events["instrument"][rows.event[:count]]
    assert set(of.tolist()) == {0, 1}
    for which in (0, 1):
        alone = whole(as_tape(lists[which]), SESSIONS)
        assert rows.features[:count][of == which].tobytes() == alone.features.tobytes()
        assert np.array_equal(rows.verdict[:count][of == which], alone.verdict)
        assert states[which].tobytes() == alone.state


def digest() -> str:
    """Hash over rows and states of three tapes, whole and one at a time."""
    total = hashlib.sha256()
    for seed in (1_001, 1_002, 1_005):
        made = as_tape(tape(seed, 250))
        batch = whole(made, SESSIONS)
        total.update(batch.features.tobytes() + batch.verdict.tobytes() + batch.state)
    total.update(one_at_a_time(as_tape(tape(1_003, 80)), SESSIONS).state)
    return total.hexdigest()


def test_compiled_equals_plain_interpreter():
    assert plain.answer_of(PROGRAM) == digest()


def test_extreme_numbers_stay_finite_and_exact():
    """Prices, lots and counts at the bounds of `records`: no sum overflows, every row is finite."""
    top = tuple((TICK_MAX - i, QTY_MAX) for i in range(20))
    bottom = tuple((20 - i, QTY_MAX) for i in range(20))
    up, down = tuple((TICK_MAX - 19 + i, QTY_MAX) for i in range(20)), tuple((1 + i, QTY_MAX) for i in range(20))
    events: list[Event] = []
    for k in range(900):
        now = START + k * 10**8
        events += [Trade(now, TICK_MAX, LOTS_MAX, 1) for _ in range(30)]
        # from one end of the scale to the other; sides as far apart as they can be, and crossed as far
        pairs = ((top, up), (bottom, down), (bottom, up), (top, down))
        events.append(Book(now, now, *pairs[k % 4]))
        events.append(Candle(now, TICK_MAX, 1, TICK_MAX if k % 2 else 1))
    rows = whole(as_tape(events), SESSIONS)
    assert (rows.verdict == VALID).all() and np.isfinite(rows.features).all()
    assert rows.column("trade_imbalance_60s")[-1] == 1.0  # 18,000 trades of one side
    assert rows.column("vwap_gap_60s").min() == -500.0 and rows.column("volatility").max() == 10.0


def test_more_trades_than_there_is_room_for_lose_the_oldest_and_say_so():
    """MOEX-DATA-12: at most 20 000 trades are remembered."""
    events: list[Event] = [Trade(START + k, 100, 1, 1 if k < 10 else -1) for k in range(TRADES + 10)]
    events.append(Book(START + S, START, ((99, 1),), ((101, 1),)))
    made = as_tape(events)
    rows = whole(made, SESSIONS)
    assert rows.column("trade_imbalance_60s")[0] == -1.0  # the ten buys were the oldest
    assert rows.column("trade_volume_10s")[0] == pytest.approx(np.log(1 + TRADES), abs=1e-12)
    assert np.frombuffer(rows.state, BOOK_STATE)["lost_trades"][0] == 10


def sums(state: np.void) -> list[int]:
    """The window sums made anew from what is remembered."""
    found = []
    for window in (1, 10, 60):
        places = np.arange(state[f"ring_{window}"], state["ring_next"]) & (RECORDS - 1)
        found += state["ring_whole"][places][:, [SQUARE, TAIL]].sum(axis=0).tolist()
    for window in (10, 60):
        places = np.arange(state[f"trade_{window}"], state["trade_next"]) % TRADES
        found.append(int(state["trade_lots"][places].sum()))
    return found


@pytest.mark.parametrize("seed", range(1_000, 1_012))
def test_halved_rings_are_as_if_the_older_half_had_never_been_moex_data_13(seed):
    """Every sum is that of what is remembered, and once all else is 64 s old no bit is another."""
    events = tape(seed)
    made, half = as_tape(events), len(events) // 2
    engines = [BookFeatures(TICK_NANOS, FEATURE_NAMES) for _ in range(2)]
    for engine in engines:
        list(engine.blocks(cut(made, 0, half)))
    before = engines[1].states[0].copy()
    stream.halve(engines[1].states, 0)
    state = engines[1].states[0]
    records, remembered = (int(s["ring_next"] - s["ring_first"]) for s in (state, before))
    assert records == (remembered + 1) // 2
    assert state["trade_next"] - state["trade_first"] == (before["trade_next"] + 1) // 2
    assert sums(state) == [int(state[name]) for name in SUMS]
    later, last = max(e.ts for e in events if isinstance(e, Book | Trade)) + 65 * S, events[-1]
    assert isinstance(last, Book)
    end = as_tape([Book(later + k * S, last.venue + k, ((100, 5),), ((101 + k, 7),)) for k in range(2)])
    rows = []
    for engine in engines:
        list(engine.blocks(cut(made, half, len(events))))
        rows.append(next(engine.blocks(end)).features.tobytes())
    assert rows[0] == rows[1]
