"""A recorded exchange's messages become the books that stood behind each of them."""

import json

import numpy as np
import pytest

from desk.ops.bench.books.l2 import LEVEL, PRINT, columns_of, messages_of, whole
from marketdata.core.books import deltas
from marketdata.core.records import BOOK, NO_TICK, TRADE, new_depths, new_events


def line(at_ns: int, **said: object) -> str:
    return f"{at_ns} {json.dumps({'stream': 'x', 'data': said})}\n"


SNAPSHOT = {"lastUpdateId": 5, "bids": [["99.9", "0.004"], ["99.8", "1.000"]], "asks": [["100.1", "0.002"]]}
LINES = [
    line(10, e="depthUpdate", u=3, pu=1, b=[["99.0", "1.000"]], a=[]),  # the snapshot has it
    line(15, e="depthUpdate", u=6, pu=3, b=[["99.8", "2.000"]], a=[]),  # it lacks a part of this
    line(20, e="trade", p="100.0", q="0.001", m=False),
    f"30 {json.dumps(SNAPSHOT)}\n",
    line(40, e="depthUpdate", u=5, pu=3, b=[["99.9", "9.000"]], a=[]),  # the snapshot has it
    line(50, e="depthUpdate", u=7, pu=6, b=[["99.9", "0.000"], ["99.7", "0.003"]], a=[["100.0", "0.006"]]),
    line(45, e="trade", p="100.0", q="0.006", m=False, X="MARKET"),  # stamped back: time does not run back
    line(60, e="trade", p="99.8", q="0.001", m=True, X="INSURANCE_FUND"),
    line(70, e="depthUpdate", u=9, pu=7, b=[], a=[["100.0", "0.000"], ["100.1", "0.000"]]),
]


def test_columns_hold_what_the_book_was_told_after_its_snapshot() -> None:
    found = columns_of(LINES, "0.10", "0.001")
    assert found.at_ns.tolist() == [30, 30, 30, 30, 50, 50, 50, 50, 70, 70]
    assert found.kind.tolist() == [LEVEL] * 7 + [PRINT] + [LEVEL] * 2
    assert found.side.tolist() == [1, 1, -1, 1, 1, 1, -1, 1, -1, -1]
    assert found.tick.tolist() == [999, 998, 1001, 998, 999, 997, 1000, 1000, 1000, 1001]
    assert found.lots.tolist() == [4, 1000, 2, 2000, 0, 3, 6, 6, 0, 0]
    assert found.message.tolist() == [0, 0, 0, 1, 2, 2, 2, 3, 4, 4]


def test_its_messages_are_the_desk_s_own_books() -> None:
    messages, changes = messages_of(columns_of(LINES, "0.10", "0.001"))
    events, depths, depth_of = new_events(8), new_depths(8), np.full(8, -1, np.int32)
    l2 = deltas.new_l2(1)
    assert deltas.l2_events(l2, messages, changes, 0, events, depths, depth_of) == (5, 5, 4, deltas.DONE)
    assert l2.state["gaps"][0] == l2.state["refused"][0] == 0
    assert events["kind"][:5].tolist() == [BOOK, BOOK, BOOK, TRADE, BOOK]
    assert depth_of[:5].tolist() == [0, 1, 2, -1, 3]
    assert depths["bid_tick"][1:4, :3].tolist() == [[999, 998, NO_TICK], [998, 997, NO_TICK], [998, 997, NO_TICK]]
    assert depths["bid_qty"][:3, :2].tolist() == [[4, 1000], [4, 2000], [2000, 3]]
    assert depths["ask_tick"][1:4, :2].tolist() == [[1001, NO_TICK], [1000, 1001], [NO_TICK, NO_TICK]]
    assert events["bid_tick"].tolist()[:3] == [999, 999, 998] and int(events["ask_tick"][4]) == NO_TICK
    assert [int(events[name][3]) for name in ("side", "price_tick", "qty")] == [1, 1000, 6]


def test_a_hole_and_a_price_off_the_grid_are_refused() -> None:
    lines = [LINES[3], line(80, e="depthUpdate", u=9, pu=7, b=[["99.9", "1.000"]], a=[])]
    with pytest.raises(ValueError, match="between 5 and 7"):
        columns_of(lines, "0.10", "0.001")
    assert whole("61800.30", "0.10") == 618_003
    with pytest.raises(ValueError, match="no multiple"):
        whole("61800.35", "0.10")
