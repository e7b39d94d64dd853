"""LOBSTER into the store: every published row checked against the messages, nothing shown that the rows do not tell.

Rules: MES-DATA-04, MOEX-DATA-03.
"""

from pathlib import Path

import numpy as np
import pytest

from marketdata.core.books import orders
from marketdata.core.books.published import COMPARED, DIFFERENT, LEARNED, ROWS, new_checks, published_events
from marketdata.core.depth import grow_levels, grow_orders, new_book
from marketdata.core.records import BOOK, BUY, FLAG_INVALID, NO_TICK, SELL, STATUS, TRADE, new_depths, new_events
from marketdata.feeds.books import lobster as reading
from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import data_set_files
from marketdata.store.estimates import estimate
from tests import plain
from tests.core.books.recordings import Lobster
from tests.core.books.recordings import lobster as recorded
from tests.core.books.run import through_orders
from tests.store.books.kit import LOBSTER, SYMBOL, books_of, lobster, stored, tape_of, without_bars

PROGRAM = "from tests.store.books.test_lobster import digest; print(digest())"
OPEN_NS = 1_340_285_400 * 10**9  # 2012-06-21 09:30 New York


def shown(depth: np.record, levels: int) -> list[tuple[int, ...]]:
    names = ("ask_tick", "ask_qty", "bid_tick", "bid_qty")
    return [tuple(int(depth[name][i]) for name in names) for i in range(levels)]


def test_the_recorded_day_is_stored_with_every_row_verified(sample_data, tmp_path):
    """All 999 rows of ten levels are what the messages make of the book; what a replay shows are the rows."""
    report = stored(sample_data / "lobster" / LOBSTER.format("message"), tmp_path)
    want: Lobster = recorded(sample_data)
    found = report.verdicts
    assert (report.kind, report.rows_read, report.dropped, report.gaps) == ("books", 999, {}, [])
    assert found["rows of levels compared"] == 999 and found["rows of levels that differ"] == 0
    assert found["levels compared"] == 999 * 20
    assert found["books that are not valid"] == 0 and "messages about orders that were never added" not in found
    assert 40 < found["levels that came into view with their row"] < 1_000
    tape = without_bars(tape_of(report.path))
    assert (tape.events["kind"] == TRADE).sum() == 159
    events, depths = books_of(tape)
    assert len(depths) == found["books"] > 900 and not (depths["flags"] & FLAG_INVALID).any()
    moved = want.messages[want.messages["action"] != orders.HIDDEN]
    assert events["ts_ns"].tolist() == moved["ts_ns"].tolist()
    rows = want.published[want.messages["action"] != orders.HIDDEN]
    for k, depth in enumerate(depths):
        assert shown(depth, 10) == [tuple(level) for level in rows[k].tolist()], k
    told = estimate(sample_data / "lobster" / LOBSTER.format("message"), parse_options({}), tmp_path)
    (file,) = data_set_files(report.path)
    assert told.rows == 999 and told.disk_bytes / 2 < file.stat().st_size < told.disk_bytes * 2
    assert (depths["bid_tick"][:, 10:] == NO_TICK).all() and (depths["ask_qty"][:, 10:] == 0).all()


def test_without_its_levels_the_book_becomes_doubtful_and_every_later_one_is_flagged(sample_data, tmp_path):
    """The messages alone: the same books as the core makes of them, invalid from the first order that nobody added."""
    source = sample_data / "lobster" / LOBSTER.format("message")
    alone = tmp_path / source.name
    alone.write_bytes(source.read_bytes())
    report = stored(alone, tmp_path / "data")
    made, _, counts = through_orders(recorded(sample_data).messages, None)
    tape = without_bars(tape_of(report.path))
    assert tape.events.tobytes() == made.events.tobytes() and tape.depths.tobytes() == made.depths.tobytes()
    assert report.verdicts["messages about orders that were never added"] == counts[orders.UNKNOWN] > 0
    invalid = tape.depths["flags"] & FLAG_INVALID != 0
    assert report.verdicts["books that are not valid"] == invalid.sum() > 0 and invalid[-1]
    assert "rows of levels compared" not in report.verdicts


def test_files_that_do_not_belong_together_are_refused(sample_data, tmp_path):
    source = sample_data / "lobster" / LOBSTER.format("message")
    path, beside = tmp_path / source.name, tmp_path / LOBSTER.format("orderbook")
    path.write_bytes(source.read_bytes())
    rows = (sample_data / "lobster" / beside.name).read_text().splitlines()
    fields = rows[500].split(",")
    fields[3] = str(int(fields[3]) + 1)  # one share more at the best bid
    beside.write_text("\n".join([*rows[:500], ",".join(fields), *rows[501:]]))
    with pytest.raises(FeedError, match=r"1 of 999 rows of .* are not what the messages make .* kept message 501:"):
        stored(path, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_a_row_that_differs_is_counted_and_no_later_book_is_valid(sample_data, tmp_path, monkeypatch):
    """Below the bound of refusal: nothing is mended, the book says that it is wrong from there on."""
    monkeypatch.setattr(reading, "DIFFERENT_SHARE_MAX", 0.01)
    source = sample_data / "lobster" / LOBSTER.format("message")
    path, beside = tmp_path / source.name, tmp_path / LOBSTER.format("orderbook")
    path.write_bytes(source.read_bytes())
    rows = (sample_data / "lobster" / beside.name).read_text().splitlines()
    fields = rows[500].split(",")
    fields[3] = str(int(fields[3]) + 1)
    beside.write_text("\n".join([*rows[:500], ",".join(fields), *rows[501:]]) + "\n")
    report = stored(path, tmp_path / "data")
    assert report.verdicts["rows of levels that differ"] == 1
    events, depths = books_of(tape_of(report.path))
    at = int(np.searchsorted(events["ts_ns"], recorded(sample_data).messages["ts_ns"][500]))
    invalid = depths["flags"] & FLAG_INVALID != 0
    assert not invalid[:at].any() and invalid[at:].all()
    assert (events["flags"] & FLAG_INVALID != 0).tolist() == invalid.tolist()


# a two-level market, worked by hand: ask price, size, bid price, size; prices x 10,000
NEW = "34200.5,1,7,10,1000000,1"
ROW = "1000200,5,1000000,40,1000300,6,999900,20"


def test_levels_that_come_into_view_are_told_by_their_row_alone(tmp_path):
    """Below the second it is learned when it shows; what went out of view and comes back is what the row says."""
    messages = [
        NEW,  # 10 at 100.00, of the 40 that rest
        "34200.6,1,8,3,1000100,1",  # a better bid: 99.90 goes out of view
        "34200.7,3,8,3,1000100,1",  # and comes back: of its 20 somebody took 15 meanwhile
        "34200.8,4,7,10,1000000,1",  # sold
        "34200.9,4,99,30,1000000,1",  # from before the recording: the level is gone, and another shows
    ]
    levels = [
        ROW,
        "1000200,5,1000100,3,1000300,6,1000000,40",
        "1000200,5,1000000,40,1000300,6,999900,5",
        "1000200,5,1000000,30,1000300,6,999900,5",
        "1000200,5,999900,5,1000300,6,999800,9",
    ]
    report = stored(lobster(tmp_path, messages, levels), tmp_path / "data")
    assert report.verdicts["rows of levels that differ"] == 0
    assert report.verdicts["levels that came into view with their row"] == 4 + 1 + 1
    _, depths = books_of(tape_of(report.path))
    bids = [list(zip(d["bid_tick"][:2].tolist(), d["bid_qty"][:2].tolist(), strict=True)) for d in depths]
    assert bids == [
        [(10_000, 40), (9_999, 20)],
        [(10_001, 3), (10_000, 40)],
        [(10_000, 40), (9_999, 5)],
        [(10_000, 30), (9_999, 5)],
        [(9_999, 5), (9_998, 9)],
    ]


def test_halts_auctions_and_hidden_trades_between_ticks(tmp_path):
    absent = "9999999999,0,-9999999999,0,9999999999,0,-9999999999,0"
    messages = [
        "34200,1,1,10,1000000,1",
        "34201.000000001,7,0,0,-1,-1",
        "34202,7,0,0,0,-1",
        "34203,7,0,0,1,-1",
        "34204,6,0,500,1000000,-1",
        "34205,5,0,30,1000050,1",  # at half a cent
        "34206,5,0,30,1000000,1",
    ]
    one = "9999999999,0,1000000,10,9999999999,0,-9999999999,0"
    report = stored(lobster(tmp_path, messages, [one] * 7), tmp_path / "data")
    assert report.dropped == {
        reading.QUOTES_RESUMED: 1,
        reading.CROSSED_TRADE: 1,
        reading.OFF_GRID: 1,
    }
    assert report.examples == [(3, reading.QUOTES_RESUMED), (5, reading.CROSSED_TRADE), (6, reading.OFF_GRID)]
    tape = without_bars(tape_of(report.path))
    assert tape.events["kind"].tolist() == [BOOK, STATUS, STATUS, TRADE]
    assert tape.events["ts_ns"][:2].tolist() == [OPEN_NS, OPEN_NS + 10**9 + 1]
    assert (tape.events["side"][3], tape.events["price_tick"][3], tape.events["qty"][3]) == (SELL, 10_000, 30)
    assert report.verdicts["one side of the book is empty"] == report.verdicts["books that are not valid"] == 1
    with pytest.raises(FeedError, match="holds no book of SBER"):
        stored(lobster(tmp_path, ["34203,7,0,0,1,-1"], [absent]), tmp_path / "data")


@pytest.mark.parametrize(
    ("messages", "levels", "words"),
    [
        ([NEW, "34200.6,1,8,3,100"], [ROW, ROW], "line 2 cannot be read as a message"),
        ([NEW, "34200.6,9,8,3,1000100,1"], [ROW, ROW], "line 2 cannot be read as a message"),
        ([NEW, "34200.4,3,7,10,1000000,1"], [ROW, ROW], "line 2 is earlier than the one before"),
        (
            [NEW, "34200.6,1,8,3,1000150,1"],
            [ROW, ROW],
            r"line 2 has a price of 100.015, no whole number of tick",
        ),
        ([NEW, "34200.6,7,0,0,5,-1"], [ROW, ROW], "line 2 is a halt of 5"),
        ([NEW, NEW], [ROW], r"orderbook_2.csv has 1 rows, fewer than .* has messages"),
        ([NEW], [ROW, ROW], r"orderbook_2.csv has more rows than"),
        ([NEW], [ROW[:-3]], r"lines 1 to 1 are no rows of levels \(7 columns"),
        ([NEW], [ROW.replace("1000200", "1000250")], r"line 1: level 1 \(1000250, 5\) is off the grid"),
        ([NEW], [ROW.replace("40", "x")], r"lines 1 to 1: .*In CSV column"),
        ([NEW, NEW], [ROW, ROW + ",1,1,1,1"], r"lines 1 to 2"),
    ],
)
def test_a_broken_file_is_one_sentence_and_leaves_nothing(tmp_path, messages, levels, words):
    with pytest.raises(FeedError, match=words) as refusal:
        stored(lobster(tmp_path, messages, levels), tmp_path / "data")
    assert "\n" not in str(refusal.value) and not list((tmp_path / "data").iterdir())


def test_lots_of_several_shares_and_another_zone(tmp_path):
    path = lobster(tmp_path, [NEW], [ROW.replace("5,", "10,").replace("6,", "10,")])
    report = stored(path, tmp_path / "data", lot="10", zone="UTC")
    _, depths = books_of(tape_of(report.path))
    assert depths["bid_qty"][0][:2].tolist() == [4, 2]
    assert report.first_ns == 1_340_236_800 * 10**9 + 34_200_500_000_000
    with pytest.raises(FeedError, match=r"line 1 has a size of 10, no whole number of lots of 7: give a smaller lot"):
        stored(path, tmp_path / "data", lot="7")
    with pytest.raises(FeedError, match=r"option zone='Nowhere' is no time zone"):
        stored(path, tmp_path / "data", zone="Nowhere")
    with pytest.raises(FeedError, match="option contract is for bars"):
        stored(path, tmp_path / "data", contract="ESH4")


def random_rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Messages of a made-up market that rests five levels deep, and its best two after each; some out of view."""
    rng = np.random.default_rng(4)
    messages, published = np.zeros(count, orders.MESSAGE), np.full((count, 2, 4), NO_TICK, np.int64)
    resting: dict[int, list[int]] = {
        n: [BUY if n < 5 else SELL, 100 - n if n < 5 else 117 + n, 9] for n in range(1, 11)
    }
    number = 100
    for k in range(count):
        levels: dict[tuple[int, int], int] = {}
        for side, tick, qty in resting.values():
            levels[side, tick] = levels.get((side, tick), 0) + qty
        best = {side: best_first([t for s, t in levels if s == side], side) for side in (BUY, SELL)}
        in_view = [n for n, (side, tick, _) in resting.items() if tick in best[side][:2]]
        if rng.random() < 0.5 or len(best[BUY]) < 3 or len(best[SELL]) < 3:
            number += 1
            side = BUY if rng.random() < 0.5 else SELL
            tick = int(best[side][0] + side * rng.integers(-1, 3)) if best[side] else 100
            other = best[-side]
            if other and side * tick >= side * other[0]:
                tick = other[0] - side
            resting[number] = [side, tick, int(rng.integers(1, 9))]
            messages[k] = (k, k, 0, orders.ADD, side, number, tick, resting[number][2])
        else:
            chosen = int(rng.choice(in_view))
            side, tick, qty = resting[chosen]
            taken = qty if rng.random() < 0.7 else int(rng.integers(1, qty + 1))
            messages[k] = (k, k, 0, orders.EXECUTE if rng.random() < 0.5 else orders.TAKE, side, chosen, tick, taken)
            resting[chosen][2] -= taken
            if resting[chosen][2] == 0:
                del resting[chosen]
        if rng.random() < 0.3:  # below what is shown somebody goes, and no message tells it
            hidden = [n for n, (side, tick, _) in resting.items() if n not in in_view and n != number]
            if len(hidden) > 4:
                del resting[int(rng.choice(hidden))]
        published[k] = best_two(resting)
    return messages, published


def best_first(ticks: list[int], side: int) -> list[int]:
    return sorted(ticks, reverse=side == BUY)


def best_two(resting: dict[int, list[int]]) -> np.ndarray:
    found = np.full((2, 4), NO_TICK, np.int64)
    found[:, (1, 3)] = 0
    for side, at in ((SELL, 0), (BUY, 2)):
        levels: dict[int, int] = {}
        for where, tick, qty in resting.values():
            if where == side:
                levels[tick] = levels.get(tick, 0) + qty
        for i, tick in enumerate(best_first(list(levels), side)[:2]):
            found[i, at], found[i, at + 1] = tick, levels[tick]
    return found


def run(count: int, room: int) -> tuple[bytes, np.ndarray]:
    """Bytes of all events and all depths, and the counts."""
    messages, published = random_rows(count)
    book, counts, checks, k = new_book(1, 16, 4), orders.new_counts(), new_checks(), 0
    made, books = [], []
    while k < count:
        out = new_events(room), new_depths(room), np.full(room, -1, np.int32)
        k, events, depths, why = published_events(book, counts, checks, messages, published, k, *out)
        made.append(out[0][:events].tobytes())
        books.append(out[1][:depths].tobytes())
        book = grow_orders(book) if why == orders.GROW_ORDERS else book
        book = grow_levels(book) if why == orders.GROW_LEVELS else book
    return b"".join(made + books), np.concatenate([counts, checks])


def digest() -> str:
    import hashlib

    made, numbers = run(300, 64)
    return hashlib.sha256(made + numbers.tobytes()).hexdigest()


def test_a_random_market_of_which_two_levels_show_is_verified_and_each_wrong_row_found():
    """Orders below the two go unseen and come back; every row fits, and one share more anywhere is found."""
    _, numbers = run(300, 64)
    checks = numbers[-len(new_checks()) :]
    assert checks[ROWS] == 300 and checks[DIFFERENT] == 0 and checks[COMPARED] > 1_000 and checks[LEARNED] > 20
    messages, published = random_rows(300)
    rng, compared = np.random.default_rng(5), 0
    for _ in range(40):
        wrong = published.copy()
        row, level, column = int(rng.integers(1, 300)), 0, int(rng.choice([1, 3]))
        wrong[row, level, column] += 1
        book, counts, checks = new_book(1, 1 << 10, 64), orders.new_counts(), new_checks()
        out = new_events(600), new_depths(600), np.full(600, -1, np.int32)
        published_events(book, counts, checks, messages, wrong, 0, *out)
        if wrong[row, level, column - 1] in published[row - 1, :, column - 1]:  # it was in view
            assert checks[DIFFERENT] >= 1, (row, column)
            compared += 1
    assert compared > 25


def test_blocks_of_any_size_and_the_plain_interpreter_give_the_same_bytes():
    want = digest()
    made, numbers = run(300, 64)
    for room in (2, 3, 1_000):
        again, same = run(300, room)
        assert again == made and same.tolist() == numbers.tolist(), room
    assert plain.answer_of(PROGRAM) == want


def test_names_of_lobster(tmp_path):
    from marketdata.feeds.sources import detect_format

    path = lobster(tmp_path, [NEW], [ROW])
    assert detect_format(path) == "lobster"
    with pytest.raises(FeedError, match="holds the levels beside a LOBSTER message file: give the message file"):
        detect_format(path.with_name(path.name.replace("message", "orderbook")))
    other: Path = path.rename(tmp_path / "ABC_2012-13-45_message_2.csv")
    assert detect_format(other) == "csv"
    assert SYMBOL == "SBER"
