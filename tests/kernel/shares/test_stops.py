"""Stops of shares in the kernel: by formula at the decision and at the fill, trailed on every check, tested against the
mid, with the venue's own stop behind them (MOEX-STOP-01 … -06)."""

import math
import random

import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE, BUY, NO_TICK, SELL
from risk.core import codes
from risk.core.records import MOEX, STOP_SHARES
from tests.kernel.desk import Desk, S, decision, sent
from trading.core import protect
from trading.core import records as r

MINUTE = 60 * S
FORMULA = {
    "rules": MOEX, "day_loss_open": 1, "stop_method": STOP_SHARES, "stop_ticks_max": 5_000, "target_ticks": 0,
    "target_ratio_ppm": 0, "loss_trade_micros_max": 10**9, "loss_day_micros_max": 10**10, "cooldown_entry_ns": 0,
    "loss_total_micros_max": 10**10, "cooldown_exit_ns": 0, "move_ticks_max": 100_000, "collar_ticks_max": 1_000,
    "spread_ticks_max": 1_000, "collar_ppm_max": 100_000,
}  # fmt: skip


def shares(**limits: int) -> Desk:
    """A desk of the formula; tick 0.25, the mid at 5000.125: 20 000 ticks."""
    return Desk(FORMULA | limits)


def history(height: int, limits: dict[str, int] | None = None, close: int = 20_000) -> Desk:
    """A desk that was told five candles before it began."""
    desk = Desk(FORMULA | (limits or {}), ready=False)
    desk.configure()
    start = desk.now_ns // MINUTE - 40
    for k in range(5):
        bar = {"high_tick": close + height // 2, "low_tick": close - (height - height // 2), "close_tick": close}
        end = (start + k + 1) * MINUTE
        desk.event(m.BAR, value=MINUTE, volume=1, flags=m.FLAG_BACKFILL, ts_venue_ns=end, **bar)
    desk.connect()
    desk.command(r.START)
    desk.quote(20_000, 20_001)
    desk.event(r.TIMER)
    return desk


def test_the_stop_of_a_fill_is_the_formulas_moex_stop_01_moex_acc_101() -> None:
    """The limit is 20 011 ticks, ATR5 40, the spread of 1 below the floor: 1.8 x 40 + 0.5 % of 20 011 = 172.055."""
    desk = history(40)
    out = desk.score(BUY)
    assert decision(out) == codes.APPROVED
    row = sent(out, r.DECISION)[0]
    assert row.price_tick == 20_011, "the far touch and 5 bps (MOEX-ROUTE-03)"
    assert row.stop_tick == 20_011 - 19_839, "19 838.945 rounds up to 19 839 (MOEX-STOP-02)"
    number = int(sent(out, r.SUBMIT)[0].order_number)
    desk.ack(number)
    out = desk.fill(number, 20_003)
    assert desk.position().stop_tick == 19_831, "from the average fill: 20 003 − 72 − 100.015 = 19 830.985"
    net = sent(out, r.SUBMIT, r.STOP_LOSS)[0]
    assert net.stop_tick == 19_831 - 86, "half the offset behind it, rounded outward (MOEX-STOP-06)"


def test_a_short_stop_lies_above_its_entry_moex_stop_02() -> None:
    desk = history(40)
    desk.enter(SELL)
    assert desk.position().stop_tick == 20_172, "20 000 + 72 + 100: exactly on the grid"
    assert desk.live(r.STOP_LOSS)[0].stop_tick == 20_172 + 86


def test_a_missing_range_gives_the_floors_result_in_the_plan_moex_acc_102() -> None:
    """No candle and one book: ATR5 is missing, counts as 0 and the floor of half a per cent holds."""
    desk = shares()
    desk.enter(BUY)
    assert desk.position().stop_tick == 19_901, "20 001 − 100.005 = 19 900.995"
    desk.position().pairs = 0
    stop = int(desk.position().stop_tick)
    desk.kernel.state.positions[0].books += 40  # no pair of the last 30 books any more
    desk.quote(20_400, 20_401, wait_ns=61 * S)
    assert desk.position().stop_tick == stop and desk.position().closing == 0, "a trailing stop stays"


def test_books_stand_in_for_candles_that_are_missing_moex_stop_01() -> None:
    """Two pairs of books before the decision: (4 + 6 half ticks) / 2 = 2.5 ticks, 1.8 of them 4.5."""
    desk = shares()
    desk.quote(20_001, 20_002)  # mid 20 000.5 before: max(20 002, …) − min(20 001, 20 000.5) = 1.5 ticks
    desk.quote(20_000, 20_001)  # mid 20 001.5 before: 1.5 ticks
    p = desk.position()
    assert p.pairs == 2 and list(p.pair_range[:2]) == [3, 3]
    desk.enter(BUY)
    assert desk.position().stop_tick == 19_899, "20 001 − 1.8 x 1.5 − 100.005 = 19 898.295"
    desk.quote(20_000, 0)  # one-sided: neither this book nor the next makes a pair
    desk.quote(20_000, 20_001)
    assert desk.position().pairs == 2


def test_a_check_only_tightens_moex_stop_03_moex_acc_103() -> None:
    """12.1's story in its anchor ENTRY: a smaller range tightens, a larger one does nothing."""
    desk = history(40)
    desk.enter(BUY)
    assert desk.position().stop_tick == 19_829
    p = desk.kernel.state.positions[0]
    p.candle_range[:] = 10
    desk.quote(20_050, 20_051)
    assert desk.position().stop_tick == 19_883, "20 001 − 18 − 100.005 = 19 882.995"
    p.candle_range[:] = 400
    desk.quote(20_050, 20_051)
    assert desk.position().stop_tick == 19_883 and desk.position().trailed == 1


def test_the_venues_stop_follows_once_a_minute_moex_stop_06() -> None:
    desk = history(40)
    desk.enter(BUY)
    first = int(desk.live(r.STOP_LOSS)[0].stop_tick)
    desk.kernel.state.positions[0].candle_range[:] = 10
    assert not sent(desk.quote(20_000, 20_001), r.MODIFY), "not within 60 s of the fill"
    moved = []
    for _ in range(61):
        moved += sent(desk.quote(20_000, 20_001, wait_ns=S), r.MODIFY)
    assert [int(o.stop_tick) for o in moved] == [19_883 - 86] and first == 19_829 - 86


def test_the_mid_of_a_valid_book_triggers_once_moex_stop_04_moex_acc_103() -> None:
    desk = history(40)
    desk.enter(BUY)
    assert not sent(desk.quote(19_829, 19_830), r.SUBMIT, r.EXIT), "the mid is half a tick above the stop"
    out = desk.quote(19_828, 19_830)
    exits = sent(out, r.SUBMIT, r.EXIT)
    assert [(int(o.side), int(o.qty)) for o in exits] == [(SELL, 1)]
    assert desk.position().close_reason == protect.BY_STOP
    for _ in range(5):
        assert not sent(desk.quote(19_700, 19_702), r.SUBMIT, r.EXIT), "one close while it works"


def test_a_fill_at_an_unchanged_price_closes_nothing_moex_acc_104() -> None:
    for side in (BUY, SELL):
        desk = history(0)
        desk.enter(side)
        desk.quote(20_000, 20_001)
        desk.event(r.TIMER)
        assert desk.position().closing == 0 and not desk.account.holds


def test_without_a_valid_book_a_later_trade_triggers_moex_stop_04() -> None:
    """Within a second of the last valid book no print counts; after it, one that is later than book and entry does."""
    desk = history(40, {"quote_age_ns_max": 60 * S})
    desk.enter(BUY)
    desk.event(m.TRADE, price_tick=19_000, qty=1)
    assert desk.position().closing == 0
    desk.event(m.TRADE, price_tick=19_000, qty=1, wait_ns=S)
    assert desk.position().closing == 1 and desk.position().close_reason == protect.BY_STOP


def test_an_invalid_book_is_no_price_moex_stop_04() -> None:
    desk = history(40)
    desk.enter(BUY)
    desk.quote(19_000, 19_001, flags=m.FLAG_INVALID, wait_ns=S)
    assert desk.position().closing == 0
    desk.quote(19_000, 19_001)
    assert desk.position().closing == 1


@pytest.mark.parametrize(("age_ns", "closes"), [(5 * S, 1), (5 * S + 1, 0)])
def test_an_old_trade_triggers_nothing_moex_stop_04(age_ns: int, closes: int) -> None:
    desk = history(40)
    desk.enter(BUY)
    desk.event(m.TRADE, price_tick=19_000, qty=1)
    desk.event(r.TIMER, wait_ns=age_ns)
    assert desk.position().closing == closes


def test_the_first_true_exit_wins_moex_stop_05() -> None:
    """FLATTEN before the stop, the stop before the time, the time before an opposite score."""
    desk = history(40, {"hold_ns_max": 10 * S})
    desk.enter(BUY)
    desk.event(r.COMMAND, instrument=ACCOUNT_SCOPE, code=r.KILL, ref=77)
    assert desk.position().closing == 1
    late = history(40, {"hold_ns_max": 10 * S})
    late.enter(BUY)
    late.quote(19_000, 19_001, wait_ns=10 * S + 1)
    assert late.position().close_reason == protect.BY_STOP, "stop and time are both true"
    both = history(40, {"hold_ns_max": 10 * S})
    both.enter(BUY)
    both.now_ns += 10 * S
    both.score(SELL)
    assert both.position().close_reason == protect.BY_TIME, "time and an opposite score are both true"


@pytest.mark.parametrize(("confidence", "closes"), [(549_999, 0), (550_000, 1)])
def test_an_opposite_score_of_any_age_closes_and_never_flips_moex_stop_05(confidence: int, closes: int) -> None:
    desk = history(40, {"reverse_confidence_ppm_min": 600_000})
    desk.enter(BUY)
    out = desk.score(SELL, confidence, ts_venue_ns=desk.now_ns - 3600 * S)
    assert desk.position().closing == closes
    assert [(int(o.role), int(o["flags"])) for o in sent(out, r.SUBMIT)] == [(r.EXIT, 0)] * closes
    if closes:
        number = int(desk.live(r.EXIT)[0].number)
        assert not sent(desk.fill(number, 20_000), r.SUBMIT), "no entry follows"


def test_an_instrument_without_a_tick_has_no_stop_moex_risk_08() -> None:
    desk = shares()
    desk.kernel.params.specs[0].tick_nanos = 0
    assert decision(desk.score(BUY)) == codes.BAD_STOP


def test_seconds_make_whole_minutes_moex_stop_01() -> None:
    """Bars of a second: the first minute is cut off and no candle, one without a print is none either."""
    desk = shares()
    minute = (desk.now_ns // MINUTE + 1) * MINUTE

    def second(at_s: int, low: int, high: int) -> None:
        end = minute + at_s * S + S
        bar = {"high_tick": high, "low_tick": low, "close_tick": low, "volume": 1}
        desk.event(m.BAR, value=S, ts_venue_ns=end, flags=m.FLAG_BACKFILL, **bar)

    second(-10, 20_000, 20_900)  # its minute was not seen from its start
    second(0, 20_000, 20_010)
    second(59, 19_990, 20_000)
    assert desk.position().candles == 0
    second(60, 20_030, 20_030)
    assert desk.position().candles == 1 and desk.position().candle_range[0] == 20, "20 010 − 19 990"
    second(190, 20_100, 20_100)  # the third minute had no print
    assert desk.position().candles == 2 and desk.position().candle_range[1] == 40, "with the close before it: 19 990"


def test_random_paths_never_loosen_and_close_once_moex_acc_103() -> None:
    for seed in range(20):
        rng = random.Random(seed)
        desk = history(rng.choice((4, 40, 200)))
        side = rng.choice((BUY, SELL))
        desk.enter(side)
        price, stop, exits = 20_000, int(desk.position().stop_tick), 0
        for _ in range(60):
            price += rng.randint(-12, 12)
            desk.kernel.state.positions[0].candle_range[rng.randrange(5)] = rng.randint(0, 60)
            exits += len(sent(desk.quote(price, price + rng.randint(1, 3), wait_ns=S), r.SUBMIT, r.EXIT))
            now = int(desk.position().stop_tick)
            assert (now - stop) * side >= 0 and now != NO_TICK
            assert abs(now - int(desk.position().net_tick)) >= int(desk.position().net_gap)
            stop = now
        assert exits <= 1


def test_a_version_without_the_formula_puts_our_stop_at_the_venue_moex_stop_06() -> None:
    """Nobody tests our own stop then: the wide one behind it would be the only protection."""
    desk = history(40)
    desk.enter()
    own, stop = int(desk.position().stop_tick), desk.live(r.STOP_LOSS)[0]
    assert int(stop.stop_tick) < own
    desk.sent.clear()
    desk.limits["stop_method"] = 0
    desk.configure_limits(2)
    desk.quote(20_000, 20_001)
    assert [(int(o.order_number), int(o.stop_tick)) for o in desk.sent if o.kind == r.MODIFY] == [
        (int(stop.number), own)
    ]
    desk.ack(int(stop.number))
    desk.sent.clear()
    desk.limits["stop_method"] = STOP_SHARES
    desk.configure_limits(3)
    for _ in range(3):
        desk.quote(20_000, 20_001, wait_ns=61 * S)
    assert int(desk.position().net_tick) == NO_TICK and desk.live(r.STOP_LOSS)[0].stop_tick >= own, "it never loosens"


def test_the_floor_of_the_spread_and_the_widening_are_settings_moex_stop_01_moex_stop_06_moex_acc_102() -> None:
    """Without a range half of the floor is the offset: 20 011 less 0.1 %, the venue's stop as far again behind it."""
    desk = shares(spread_floor_ppm=2_000, net_widen_ppm=1_000_000)
    out = desk.score(BUY)
    assert sent(out, r.DECISION)[0].stop_tick == 20, "20.011 ticks, rounded towards the entry"
    number = int(sent(out, r.SUBMIT)[0].order_number)
    desk.ack(number)
    net = sent(desk.fill(number, 20_001), r.SUBMIT, r.STOP_LOSS)[0]
    assert desk.position().stop_tick == 19_981 and net.stop_tick == 19_961


def test_a_stop_may_trail_the_best_mid_moex_stop_03_moex_acc_103() -> None:
    """12.1's story in its anchor BEST, in ticks of a fourth: the best mid, less the offset of the entry as a share."""
    desk = history(40, {"trail_anchor": 1})
    desk.enter(BUY)
    first = int(desk.position().stop_tick)
    assert first == 19_829, "20 001 − 72 − 100.005"
    desk.quote(20_100, 20_101)
    best = 20_100.5
    offset = (1.8 * 40 + 0.5 * 0.01 * 20_001) / 20_001
    assert desk.position().stop_tick == math.ceil(best * (1 - offset) - 1e-6) > first
    raised = int(desk.position().stop_tick)
    desk.quote(20_040, 20_041)
    assert desk.position().stop_tick == raised, "back again it stays"
    out = desk.quote(raised - 1, raised + 1)
    assert len(sent(out, r.SUBMIT, r.EXIT)) == 1 and desk.position().close_reason == protect.BY_TRAIL


def test_a_fraction_of_the_fill_takes_the_profit_moex_stop_05() -> None:
    """0.5 % of 20 001 is 100.005 ticks: the mid of 20 101.5 has it, that of 20 101 has not."""
    desk = history(40, {"take_profit_ppm": 5_000})
    desk.enter(BUY)
    assert not sent(desk.quote(20_100, 20_102), r.SUBMIT, r.EXIT)
    out = desk.quote(20_101, 20_102)
    assert len(sent(out, r.SUBMIT, r.EXIT)) == 1 and desk.position().close_reason == protect.BY_TARGET
