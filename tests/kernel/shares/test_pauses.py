"""What a person may end of the shares' holds: a pause with an end, and a day's loss by an admin (MOEX-RISK-05, -06)."""

from marketdata.core.records import ACCOUNT_SCOPE, NO_TIME
from risk.core import codes
from risk.core.holds import BIT
from risk.core.records import MOEX
from tests.kernel.desk import Desk, S, decision, standing
from tests.kernel.test_clock import at
from tests.kernel.test_limits import USD
from trading.core import records as r
from trading.core.states import NONE_NAMED

SHARES = {"rules": MOEX, "day_loss_open": 1}
PAUSE = BIT["OPERATOR_PAUSE"]


def until(desk: Desk) -> int:
    return int(desk.kernel.state.holds[PAUSE].until_ns)


def test_a_pause_with_an_end_ends_by_itself_moex_risk_06_moex_ops_07() -> None:
    desk = Desk(SHARES)
    end = desk.now_ns + 60 * S
    desk.command(r.PAUSE, value=end)
    assert standing(desk) == {"OPERATOR_PAUSE"} and until(desk) == end
    at(desk, end - 1)
    assert decision(desk.score(wait_ns=0)) == codes.HOLD_BASE + PAUSE, "refused while now < until"
    at(desk, end)
    assert standing(desk) == set()
    assert decision(desk.score(wait_ns=0)) == codes.APPROVED


def test_a_pause_without_an_end_replaces_a_timed_one_never_the_reverse_moex_risk_06() -> None:
    desk = Desk(SHARES)
    end = desk.now_ns + 60 * S
    desk.command(r.PAUSE, value=end)
    desk.command(r.PAUSE, value=end - 30 * S)
    assert until(desk) == end, "a shorter time never shortens a longer one (MOEX-TERM-04)"
    desk.command(r.PAUSE, value=end + 30 * S)
    assert until(desk) == end + 30 * S
    desk.command(r.PAUSE)
    desk.command(r.PAUSE, value=desk.now_ns + 10 * S)
    at(desk, end + 300 * S)
    assert standing(desk) == {"OPERATOR_PAUSE"}
    desk.command(r.RESUME)
    assert standing(desk) == set()


def test_a_changed_end_of_a_standing_pause_is_told_moex_risk_06() -> None:
    """The ledger and the page show the end that counts; the pause itself never came down."""
    desk = Desk(SHARES)
    end = desk.now_ns + 60 * S
    rows = [(r.HOLD_CLEARED, end), (r.HOLD_RAISED, end + 30 * S)]
    desk.command(r.PAUSE, value=end)
    since = int(desk.kernel.state.holds[PAUSE].since_ns)
    assert told(desk.command(r.PAUSE, value=end + 30 * S)) == rows
    assert told(desk.command(r.PAUSE, value=end)) == [], "a shorter one changes nothing"
    assert told(desk.command(r.CANCEL_ALL)) == [(r.HOLD_CLEARED, end + 30 * S), (r.HOLD_RAISED, NO_TIME)]
    assert told(desk.command(r.PAUSE)) == []
    assert int(desk.kernel.state.holds[PAUSE].since_ns) == since and standing(desk) == {"OPERATOR_PAUSE"}


def told(out: list) -> list[tuple[int, int]]:
    """(kind, end) of the rows about the pause."""
    kinds = (r.HOLD_RAISED, r.HOLD_CLEARED)
    return [(int(o.kind), int(o.until_ns)) for o in out if o.kind in kinds and o.code == PAUSE]


def test_cancel_all_makes_a_timed_pause_one_without_an_end_moex_acc_112() -> None:
    for command in (r.CANCEL_ALL, r.FLATTEN_ALL):
        desk = Desk(SHARES)
        end = desk.now_ns + 60 * S
        desk.command(r.PAUSE, value=end)
        desk.command(command)
        at(desk, end + S)
        assert standing(desk) == {"OPERATOR_PAUSE"}


def test_resume_ends_a_timed_pause_too_moex_risk_06() -> None:
    desk = Desk(SHARES)
    desk.command(r.PAUSE, value=desk.now_ns + 60 * S)
    desk.command(r.RESUME)
    assert standing(desk) == set()


def test_an_end_that_is_over_is_no_end_and_futures_know_none_moex_risk_06() -> None:
    """A pause is never refused, and never shorter than what was understood."""
    desk = Desk(SHARES)
    desk.command(r.PAUSE, value=desk.now_ns - S)
    at(desk, desk.now_ns + 600 * S)
    assert standing(desk) == {"OPERATOR_PAUSE"}
    futures = Desk()
    futures.command(r.PAUSE, value=futures.now_ns + 10 * S)
    at(futures, futures.now_ns + 600 * S)
    assert "OPERATOR_PAUSE" in standing(futures)


def _lost(limits: dict[str, int]) -> Desk:
    """A desk whose open position has lost its day's $20."""
    desk = Desk(SHARES | {"loss_day_micros_max": 20 * USD} | limits)
    desk.enter()
    for _ in range(3):
        desk.quote(19_984, 19_986)
    assert "DAILY_LOSS" in standing(desk)
    return desk


def test_an_admin_clears_the_days_loss_and_a_further_full_limit_sets_it_again_moex_acc_108() -> None:
    desk = _lost({})
    desk.command(r.RESUME, value=1 << PAUSE)
    desk.command(r.RESUME)
    assert "DAILY_LOSS" in standing(desk), "only by its name"
    desk.command(r.RESUME, value=1 << BIT["DAILY_LOSS"])
    assert "DAILY_LOSS" not in standing(desk)
    assert desk.account.day_base_micros == desk.account.equity_micros, "the loss base is the equity at the clear"
    for _ in range(3):
        desk.quote(19_977, 19_979)  # $8.75 more
    assert "DAILY_LOSS" not in standing(desk)
    for _ in range(3):
        desk.quote(19_967, 19_969)  # $21.25 below the base
    assert "DAILY_LOSS" in standing(desk)


def test_a_day_that_counts_booked_money_alone_is_not_cleared_moex_risk_06() -> None:
    """Without open money there is no loss base: clearing would be undone at once, so nothing is cleared."""
    desk = _lost({})
    desk.kernel.params.limits[0].day_loss_open = 0
    desk.kernel.state.account[0].day_net_micros = -20 * USD
    receipt = desk.command(r.RESUME, value=1 << BIT["DAILY_LOSS"])[-1]
    assert (receipt.code, receipt.qty) == (r.RECEIPT_REFUSED, NONE_NAMED)
    desk.event(r.TIMER)
    assert "DAILY_LOSS" in standing(desk)


def test_the_futures_days_loss_is_nobodys_to_clear_mes_risk_13() -> None:
    desk = Desk({"loss_day_micros_max": 20 * USD})
    desk.kernel.state.account[0].day_net_micros = -21 * USD
    desk.command(r.PRESENCE)
    assert "DAILY_LOSS" in standing(desk)
    desk.event(r.COMMAND, instrument=ACCOUNT_SCOPE, code=r.RESUME, ref=9, value=1 << BIT["DAILY_LOSS"])
    assert "DAILY_LOSS" in standing(desk)
