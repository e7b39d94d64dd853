"""Frames of many sockets: composed once for all at one place, as for one alone, with the ages of what they hold."""

import json
from typing import Any

from desk.dashboard.hub import Picture
from desk.dashboard.wire import FRAME_BYTES_MAX, Cursor, hello

HOPS: dict[str, int | None] = {"web": 5, "bus": None}


def picture() -> Picture:
    found = Picture("s1")
    found.load({"quote:0": b'{"bid":1}', "account": b'{"label":"ACTIVE"}', "rows:fill": rows(1, 2)}, 10)
    return found


def rows(first: int, to: int) -> bytes:
    return json.dumps({"to": to, "items": [{"seq": n} for n in range(first, to + 1)]}).encode()


def put(found: Picture, at: int | None, **values: bytes) -> None:
    """One batch, as the hub applies it."""
    names = {name.replace("_", ":"): text for name, text in values.items()}
    for name, text in names.items():
        found.put(name, text, 10)
    found.note_made(dict.fromkeys(names, at))
    found.wake()


def read(cursor: Cursor) -> dict[str, Any]:
    return json.loads(cursor.frame(HOPS))


def test_sockets_at_one_place_share_what_is_composed() -> None:
    shown = picture()
    first, second = Cursor(shown), Cursor(shown)
    one, other = read(first), read(second)
    assert one == other
    assert len(shown.shared) == 1
    put(shown, 100, quote_0=b'{"bid":2}')
    assert shown.shared == {}, "a new version: nothing old is handed out"
    one, other = read(first), read(second)
    assert one == other
    assert one["d"] == {"quote:0": {"bid": 2}}
    assert len(shown.shared) == 1


def test_a_socket_that_is_behind_gets_everything_it_missed() -> None:
    """The same changes as for a socket of its own, whoever composed first."""
    shown = picture()
    quick, slow = Cursor(shown), Cursor(shown)
    read(quick), read(slow)
    put(shown, 100, quote_0=b'{"bid":2}', rows_fill=rows(2, 3))
    read(quick)
    put(shown, 150, quote_0=b'{"bid":3}', account=b'{"label":"HALTED"}')
    put(shown, 200, rows_fill=rows(3, 4))
    late, fresh = read(slow), read(quick)
    assert late["d"] == {"quote:0": {"bid": 3}, "account": {"label": "HALTED"}}
    assert fresh["d"] == late["d"]
    assert (late["rows"]["fill"]["from"], late["rows"]["fill"]["to"]) == (3, 4)
    assert (fresh["rows"]["fill"]["from"], fresh["rows"]["fill"]["to"]) == (4, 4)
    assert (late["skipped"], fresh["skipped"]) == (1, 0)
    assert (late["n"], fresh["n"]) == (2, 3)
    again = read(slow)
    assert (again["d"], again["rows"]) == ({}, {})


def test_a_frame_says_when_its_oldest_and_newest_value_were_made() -> None:
    shown = picture()
    cursor = Cursor(shown)
    assert read(cursor)["oldest"] is None, "a picture that was there may be of any age"
    put(shown, 100, account=b'{"label":"PAUSED"}')
    put(shown, 150, quote_0=b'{"bid":2}')
    frame = read(cursor)
    assert (frame["oldest"], frame["newest"]) == (100, 150)
    put(shown, 200, account=b'{"label":"ACTIVE"}')
    put(shown, 250, account=b'{"label":"HALTED"}', rows_fill=rows(2, 3))
    frame = read(cursor)
    assert (frame["oldest"], frame["newest"]) == (250, 250), "an overwritten value is not in the frame"
    put(shown, None, quote_0=b'{"bid":4}')
    frame = read(cursor)
    assert (frame["oldest"], frame["newest"]) == (None, 250), "a value without a stamp has no known age"
    assert read(cursor)["oldest"] is None


def test_what_had_to_wait_is_sent_next_and_is_not_shared() -> None:
    shown = picture()
    cursor = Cursor(shown)
    read(cursor)
    large = json.dumps({"ts_us": 1, "pad": "x" * (FRAME_BYTES_MAX - 100)}).encode()
    put(shown, 100, book_0=large, book_1=large, quote_0=b'{"bid":9}')
    names: list[str] = []
    for _ in range(3):
        names += read(cursor)["d"]
    assert sorted(names) == ["book:0", "book:1", "quote:0"]
    put(shown, 150, quote_0=b'{"bid":10}')
    assert read(cursor)["d"] == {"quote:0": {"bid": 10}}


def test_resync_is_a_whole_picture_for_one_socket_alone() -> None:
    shown = picture()
    one, other = Cursor(shown), Cursor(shown)
    read(one), read(other)
    put(shown, 100, quote_0=b'{"bid":2}')
    one.restart()
    snap, frame = read(one), read(other)
    assert (snap["k"], frame["k"]) == ("snap", "f")
    assert set(snap["d"]) == {"quote:0", "account"}
    assert set(frame["d"]) == {"quote:0"}


def test_a_socket_of_the_strip_alone_shares_with_its_like_only() -> None:
    shown = picture()
    whole, strip = Cursor(shown), Cursor(shown, frozenset({"account"}))
    assert set(read(whole)["d"]) == {"quote:0", "account"}
    first = read(strip)
    assert (set(first["d"]), first["rows"]) == ({"account"}, {})
    put(shown, 100, quote_0=b'{"bid":2}', account=b'{"label":"HALTED"}', rows_fill=rows(2, 3))
    assert set(read(whole)["d"]) == {"quote:0", "account"}
    second = read(strip)
    assert (second["d"], second["rows"]) == ({"account": {"label": "HALTED"}}, {})


def test_hello_names_the_rate_that_was_granted() -> None:
    said = json.loads(hello(user="alice", rights=["read"], epoch="s1.1.1", build="b", hz=4))
    assert said["hz"] == 4
