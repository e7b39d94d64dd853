"""Trades over books, worked by hand: partial fills, the queue, latency, a stop that crosses its cancel (MOEX-PAPER-01).

The money of each is written out: a tick of MES is $1.25, a fill costs $0.42 a contract.
"""

import numpy as np
import pytest

from tests.backtest.books.kit import MS, OPEN_NS, Maker, S, fills_of, fixed, plan, through
from trading.core.protect import BY_EXCESS, BY_STOP, BY_TARGET
from trading.core.records import ENTRY, EXIT, STOP_LOSS, TARGET
from trading.run.backtest.engine import Result
from trading.run.backtest.plan import BacktestError
from trading.run.tapes.report import summary_of

CENT = 10_000


def began(asks: list[tuple[int, int]]) -> Maker:
    """A market at 24000 : 24001 that has traded."""
    maker = Maker().book(0.0, [(24_000, 5), (23_999, 5)], asks)
    return maker.trade(0.1, 24_001, 1, 1).book(0.2, [(24_000, 5), (23_999, 5)], asks)


def whole(result: Result) -> None:
    """Σ net is the change of the balance, to the micro, and nothing is left open (MES-BT-22)."""
    assert int(result.trades["net_micros"].sum()) == result.balance_micros - result.plan.capital_micros
    assert int(result.run.equity_micros) == result.balance_micros
    assert int(result.points["position"][-1]) == 0


def test_an_entry_walks_levels_and_a_target_waits_in_its_queue_moex_paper_01() -> None:
    tape = began([(24_001, 1), (24_002, 5), (24_014, 4)]).score(0.5, 1)
    # 4 lots stand before our 2 at 24014: 3 trade, then 2 (one of them ours), then 5 (the other)
    tape.trade(3.0, 24_014, 3, 1).trade(4.0, 24_014, 2, 1).trade(5.0, 24_014, 5, 1).trade(6.0, 24_014, 1, 1)
    run, result = through(tape.made(), plan(qty_entry=2))
    assert fills_of(run) == [
        (ENTRY, 1, 1, 24_001, 0),
        (ENTRY, 1, 1, 24_002, 0),
        (TARGET, -1, 1, 24_014, 1),
        (TARGET, -1, 1, 24_014, 1),
    ]
    assert (run.fills()["ts_ns"] - OPEN_NS).tolist() == [520 * MS, 520 * MS, 4 * S, 5 * S]
    (trade,) = result.trades
    assert (trade.reason, trade.qty, trade.side) == (BY_TARGET, 2, 1)
    assert (trade.entry_tick, trade.exit_tick) == (24_002, 24_014), "24001.5, half up"
    assert trade.gross_micros == 25 * 125 * CENT, "2 x 24014 - 24001 - 24002"
    assert trade.fee_micros == 4 * 42 * CENT and trade.net_micros == 3125 * CENT - 168 * CENT
    assert (trade.mfe_ticks, trade.mae_ticks, trade.bars_held) == (12, 0, 4)
    whole(result)


def test_each_side_pays_its_fee_and_the_summary_has_both_mes_cost_01() -> None:
    """2 bought and 2 sold at $0.42 a contract and side: $0.84 + $0.84, which the trades' commission is, too."""
    tape = began([(24_001, 1), (24_002, 5), (24_014, 4)]).score(0.5, 1)
    tape.trade(3.0, 24_014, 3, 1).trade(4.0, 24_014, 2, 1).trade(5.0, 24_014, 5, 1).trade(6.0, 24_014, 1, 1)
    run, result = through(tape.made(), plan(qty_entry=2))
    assert run.fills()["fee_micros"].tolist() == [42 * CENT] * 4
    values = summary_of(run, result, fixed(20 * MS), {})
    assert values["fills"]["fees"] == {"bought": "0.840000", "sold": "0.840000"}
    assert values["costs"]["commission"] == "1.680000" and values["trades"]["net"] == "29.570000"


def test_a_stop_triggers_by_the_far_touch_and_takes_what_is_there_moex_paper_01() -> None:
    tape = began([(24_001, 5)]).score(0.5, 1)
    tape.book(3.0, [(23_989, 5)], [(23_991, 5)]).trade(4.0, 23_990)
    run, result = through(tape.made())
    assert fills_of(run) == [(ENTRY, 1, 1, 24_001, 0), (STOP_LOSS, -1, 1, 23_989, 0)]
    (trade,) = result.trades
    assert (trade.reason, trade.stop_tick, trade.target_tick) == (BY_STOP, 23_993, 24_013)
    assert trade.net_micros == -12 * 125 * CENT - 84 * CENT and trade.risk_micros == 8 * 125 * CENT
    assert (trade.mae_ticks, trade.exit_ns - OPEN_NS) == (12, 3 * S)
    whole(result)


def test_a_later_arrival_meets_another_book() -> None:
    tape = began([(24_001, 5)]).score(0.5, 1).book(0.51, [(24_002, 5)], [(24_003, 5)]).trade(1.0, 24_003)
    for latency_ns, tick in ((0, 24_001), (9 * MS, 24_001), (10 * MS, 24_003), (20 * MS, 24_003)):
        run, result = through(tape.made(), latency=fixed(latency_ns))
        assert fills_of(run)[0] == (ENTRY, 1, 1, tick, 0), "events of the very instant come before the arrival"
        assert run.fills()["ts_ns"][0] == OPEN_NS + S // 2 + latency_ns
        whole(result)


def test_a_stop_that_crosses_its_cancel_turns_the_position_and_is_closed_at_once() -> None:
    tape = began([(24_001, 5)]).score(0.5, 1)
    tape.trade(3.0, 24_014, 9, 1)  # through the target; the cancel of the stop arrives at 3.020
    tape.book(3.01, [(23_989, 5)], [(23_991, 5)]).trade(4.0, 23_990)
    run, result = through(tape.made())
    assert fills_of(run) == [
        (ENTRY, 1, 1, 24_001, 0),
        (TARGET, -1, 1, 24_013, 1),
        (STOP_LOSS, -1, 1, 23_989, 0),
        (EXIT, 1, 1, 23_991, 0),
    ]
    assert run.fills()["trade"].tolist() == [1, 1, 2, 2]
    first, second = result.trades
    assert (first.reason, first.net_micros) == (BY_TARGET, 12 * 125 * CENT - 84 * CENT)
    assert (second.reason, second.side, second.net_micros) == (BY_EXCESS, -1, -2 * 125 * CENT - 84 * CENT)
    whole(result)


def test_the_end_of_the_data_sells_into_the_last_book_mes_bt_19() -> None:
    tape = began([(24_001, 5)]).score(0.5, 1).book(2.0, [(24_004, 3)], [(24_005, 3)]).trade(2.5, 24_004)
    run, result = through(tape.made())
    assert fills_of(run)[-1] == (EXIT, -1, 1, 24_004, 0)
    assert int(run.fills()["order_number"][-1]) < 0, "the venue's own"
    (trade,) = result.trades
    assert trade.net_micros == 3 * 125 * CENT - 84 * CENT
    assert run.position == 0 and int(run.venue.markets[0].qty) == 0
    whole(result)


def test_a_session_s_close_leaves_nothing_open_and_the_next_day_nothing_working_mes_bt_16() -> None:
    evening = 7 * 3600.0  # five o'clock in the afternoon is the close; six is the next open
    maker = Maker().book(evening - 5, [(24_000, 5)], [(24_001, 5)]).trade(evening - 4, 24_001).score(evening - 3, 1)
    maker.trade(evening - 1, 24_001)
    maker.book(evening + 3600 + 1, [(23_980, 5)], [(23_981, 5)]).trade(evening + 3600 + 2, 23_980)
    run, result = through(maker.made(), plan(hold_ns_max=0))
    (trade,) = result.trades
    assert trade.exit_ns == OPEN_NS + 7 * 3600 * S and trade.exit_tick == 24_000
    assert fills_of(run) == [(ENTRY, 1, 1, 24_001, 0), (EXIT, -1, 1, 24_000, 0)], "the stop is gone before the gap"
    assert len(result.days) == 2 and int(run.venue.account[0].working_count) == 0
    whole(result)


def test_a_latency_that_looks_like_a_lost_answer_is_refused_w_01() -> None:
    with pytest.raises(BacktestError, match="ack_timeout"):
        through(began([(24_001, 5)]).made(), latency=fixed(30 * S))


def test_the_curve_has_a_point_a_second_mes_bt_24() -> None:
    tape = began([(24_001, 5)]).trade(10.0, 24_001).made()
    _, result = through(tape)
    steps = np.diff(result.points["ts_ns"])
    assert len(result.points) >= 10 and int(steps.max()) == S and int(steps.min()) > 0
