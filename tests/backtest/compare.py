"""One random run through the compiled loop and through the oracle, and where they part.

The loop gets the shipped profile `mes-topstep` with the drawn numbers put into it; the oracle gets the same numbers.
"""

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

import trading
from marketdata.core.instruments import INSTRUMENTS
from risk.core.records import ANCHOR_FILL, ANCHOR_SIGNAL, MES, STOP_ATR, STOP_FIXED
from tests.backtest.market import ALL_HOURS, OFTEN, STANDARD, TOPSTEP, bars_of, days_of, rules_of, shocks_of
from tests.backtest.oracle import Oracle
from tests.backtest.parts import Bar, Day, Rules, S
from trading.config.schema import load_file
from trading.core.history.records import Columns
from trading.run.backtest.engine import Backtest, Result, reason_of
from trading.run.backtest.plan import Calendar, Plan, plan_of
from trading.run.tapes.engine import TapeRun

PROFILES = Path(trading.__file__).parent / "profiles"
DOLLAR = 1_000_000
FAR_TICKS, MANY = 1_000_000, 100_000  # P-11 and P-17 are held by the kernel's own oracle
SCHEDULES = (TOPSTEP, TOPSTEP, STANDARD, ALL_HOURS)
TAPE = 60_000  # events, of a run of a few thousand bars
SELDOM = (0.0, 0.01, 0.03)
Drawn = tuple[Rules, str, list[Day], list[Bar]]  # rules, schedule, sessions, bars
_MOVES = {"move_ticks_max": 6, "move_window_ns": 20 * S, "move_hold_ns": 30 * S}
_OPEN = {"day_loss_open": 1, "loss_day_micros_max": 20 * DOLLAR, "drawdown_day_micros_max": 25 * DOLLAR}
NEARER: tuple[dict[str, int], ...] = ({}, _MOVES, _OPEN, _MOVES | _OPEN)


def shipped(name: str = "mes-topstep", sample: str = "bar") -> Plan:
    """The plan of a shipped profile, every row of the curve kept."""
    return plan_of(load_file(PROFILES / f"{name}.yaml"), INSTRUMENTS["MES"], equity_sample=sample)


def plan_with(rules: Rules, schedule: str) -> Plan:
    """The shipped profile with these numbers in it."""
    plan = shipped()
    changed = {
        "capital_micros": rules.capital * DOLLAR,
        "move_ticks_max": FAR_TICKS,
        "messages_1s_max": MANY,
        "messages_60s_max": MANY,
        "entries_max": 0,  # P-18 waits for a person, whom no backtest has; tests/oracle lives with it
        "stop_ticks": rules.stop,
        "stop_method": STOP_ATR if rules.atr else STOP_FIXED,
        "target_ticks": rules.target,
        "target_ratio_ppm": rules.ratio * 1_000_000,
        "trail_ticks": rules.trail,
        "hold_ns_max": rules.hold * S,
        "bracket_anchor": ANCHOR_SIGNAL if rules.signal_anchor else ANCHOR_FILL,
        "entry_ttl_ns": rules.ttl * S,
        "cooldown_entry_ns": rules.cool_entry * S,
        "cooldown_exit_ns": rules.cool_exit * S,
        "streak_soft": rules.streak_soft,
        "streak_hard": rules.streak_hard,
        "reverse_confidence_ppm_min": 750_000 if rules.reverse else 0,
        "loss_day_micros_max": rules.day_loss * DOLLAR,
        "drawdown_day_micros_max": rules.day_drawdown * DOLLAR,
        "drawdown_micros_max": rules.drawdown * DOLLAR,
        "loss_total_micros_max": rules.kill * DOLLAR,
        "half_keep_one": int(rules.keep_one),
    }
    assert set(changed) <= set(plan.limits)
    return replace(
        plan,
        limits=plan.limits | changed,
        schedule=schedule,
        slip_ticks=rules.slip,
        slip_mode="conditional" if rules.conditional else "fixed",
        limit_fill="touch" if rules.touch else "through",
        capital_micros=rules.capital * DOLLAR,
    )


def columns_of(bars: list[Bar]) -> Columns:
    """Bars as the loop takes them."""
    return Columns(
        start_ns=np.array([b.start for b in bars], np.int64),
        ticks=np.array([(b.o, b.h, b.low, b.c) for b in bars], np.int64).reshape(-1, 4),
        volume=np.array([b.volume for b in bars], np.int64),
        contract=np.array([b.contract for b in bars], np.int64),
        side=np.array([b.side for b in bars], np.int8),
        confidence_ppm=np.array([b.confidence for b in bars], np.int32),
    )


def through_loop(plan: Plan, bars: list[Bar], cuts: tuple[int, ...] = (), tape: int = 0) -> tuple[Backtest, Result]:
    """The bars through the compiled loop, in chunks cut at these places."""
    calendar = Calendar.between(bars[0].start, bars[-1].start)
    run = Backtest(plan, calendar, S, bars[0].start, tape=tape)
    edges = [0, *cuts, len(bars)]
    for begin, end in pairwise(edges):
        run.feed(columns_of(bars[begin:end]))
    return run, run.end()


def left_by(run: Backtest | TapeRun, result: Result) -> dict[str, bytes]:
    """Everything that a run gave and remembers, as bytes: rows and counts, kernel, venue, and the loop's own record."""
    own = np.array(result.run)
    own["tape"] = 0  # kept for a reader, no figure of the run
    told = (result.decisions, [(row[0].code, *row[1:]) for row in result.holds], result.balance_micros)
    return {
        "trades": result.trades.tobytes(),
        "points": result.points.tobytes(),
        "days": result.days.tobytes(),
        "told": repr(told).encode(),
        "loop": own.tobytes(),
        "kernel": run.kernel.snapshot(),
        "form": run.kernel.params.asking.tobytes(),
        "venue": b"".join(array.tobytes() for array in run.venue),
    }


def apart(seed: int, count: int = 500, drawn: Drawn | None = None) -> tuple[str, int, Result]:
    """One random run bar by bar and many at a time: what differs, empty when nothing does; bars passed; the result.

    Decisions are rarer than elsewhere, P-11 and the limits on open money nearer, so that stretches are long and end.
    """
    rules, schedule, _, bars = drawn or draw(seed, count, SELDOM if seed % 3 else OFTEN)
    plan = plan_with(rules, schedule)
    plan = replace(plan, equity_sample=("minute", "day")[seed % 2], limits=plan.limits | NEARER[seed % len(NEARER)])
    rng = random.Random(f"stops of {seed}")
    cuts = tuple(sorted({rng.randrange(1, len(bars)) for _ in range(rng.choice((0, 3, 9, 40)))}))
    differs, passed, result = unlike(plan, bars, TAPE, cuts)
    words = f"seed {seed}, {schedule}, {rules}: bar by bar, {', '.join(differs)} of the run differ" if differs else ""
    return words, passed, result


def unlike(plan: Plan, bars: list[Bar], tape: int, cuts: tuple[int, ...] = ()) -> tuple[list[str], int, Result]:
    """What differs between a run bar by bar (it keeps a tape) and one that passes many at once, at each of these cuts
    and at the end; how many it passed; the latter's result."""
    calendar = Calendar.between(bars[0].start, bars[-1].start)
    told, passed = (Backtest(plan, calendar, S, bars[0].start, tape=kept) for kept in (tape, 0))
    differs = []
    for begin, end in pairwise([0, *cuts, len(bars)]):
        for run in (told, passed):
            run.feed(columns_of(bars[begin:end]))
        first, second = left_by(told, told.result()), left_by(passed, passed.result())
        differs += [f"{name} before bar {end}" for name in first if first[name] != second[name]]
    by_bar, result = told.end(), passed.end()
    assert int(told.room.passed[0]) == 0
    first, second = left_by(told, by_bar), left_by(passed, result)
    differs += [name for name in first if first[name] != second[name]]
    return differs, int(passed.room.passed[0]), result


def through_oracle(rules: Rules, days: list[Day], bars: list[Bar]) -> Oracle:
    """The same through the oracle, from the first bar's session on."""
    first = next(k for k, day in enumerate(days) if day.opens <= bars[0].start < day.closes)
    oracle = Oracle(rules, days[first:])
    for b in bars:
        oracle.bar(b)
    oracle.end()
    return oracle


def loop_trades(result: Result) -> list[dict[str, object]]:
    """Trades of the loop in the oracle's words."""
    return [
        {
            "day": int(t.trading_day), "entry_ns": int(t.entry_ns), "exit_ns": int(t.exit_ns), "side": int(t.side),
            "entry": int(t.entry_tick), "exit": int(t.exit_tick), "qty": int(t.qty), "gross": int(t.gross_micros),
            "fees": int(t.fee_micros), "slip": int(t.slip_micros), "net": int(t.net_micros),
            "reason": reason_of(t, MES), "confidence": int(t.confidence_ppm), "bars": int(t.bars_held),
            "mfe": int(t.mfe_ticks), "mae": int(t.mae_ticks), "risk": int(t.risk_micros), "stop": int(t.stop_tick),
            "target": int(t.target_tick),
        }
        for t in result.trades
    ]  # fmt: skip


def draw(seed: int, count: int, often: tuple[float, ...] = OFTEN) -> Drawn:
    """One random run: rules, schedule, sessions, bars.  `often`: shares of bars with a decision, one is drawn."""
    rng = random.Random(seed)
    schedule = rng.choice(SCHEDULES)
    days = days_of(rng.randrange(6), schedule)
    rules = replace(rules_of(rng), conditional=random.Random(f"slippage of {seed}").random() < 0.3)
    return rules, schedule, days, bars_of(rng, days, count, often)


def draw_shocks(seed: int, count: int) -> Drawn:
    """The same where slippage is conditional: limits and pauses out of the way, so that it is traded throughout."""
    rng = random.Random(f"shocks of {seed}")
    days = days_of(rng.randrange(6), ALL_HOURS)
    rules = replace(rules_of(rng), conditional=True, streak_soft=100, streak_hard=101, capital=5000)
    rules = replace(rules, day_loss=9000, day_drawdown=9000, drawdown=9000, kill=9000)
    return rules, ALL_HOURS, days, shocks_of(rng, days, count)


def difference(seed: int, count: int = 500, drawn: Drawn | None = None) -> tuple[str, Result]:
    """What the two disagree about, empty when they agree; and the loop's result, for counting what was reached."""
    rules, schedule, days, bars = drawn or draw(seed, count)
    cuts = (count // 3, count // 3 + 1) if seed % 3 == 0 else ()
    _, result = through_loop(plan_with(rules, schedule), bars, cuts)
    oracle = through_oracle(rules, days, bars)
    head = f"seed {seed}, {schedule}, {rules}"
    for k, (ours, theirs) in enumerate(zip(loop_trades(result), oracle.trades, strict=False)):
        if ours != theirs:
            parts = {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}
            return f"{head}: trade {k + 1} differs, loop and oracle: {parts} of {theirs}", result
    if len(result.trades) != len(oracle.trades):
        return f"{head}: {len(result.trades)} trades, the oracle has {len(oracle.trades)}", result
    points = list(zip(*(result.points[n].tolist() for n in ("ts_ns", "equity_micros", "position")), strict=True))
    for k, (point, own) in enumerate(zip(points, oracle.points, strict=False)):
        if point != own:
            return f"{head}: point {k} is {point}, the oracle's {own}", result
    if len(points) != len(oracle.points) or int(result.run.all_points) != len(points):
        return f"{head}: {len(points)} points of {result.run.all_points}, the oracle has {len(oracle.points)}", result
    if result.days["equity_micros"].tolist() != oracle.closes or result.balance_micros != oracle.balance:
        return f"{head}: closes {result.days['equity_micros'].tolist()}, the oracle's {oracle.closes}", result
    if int(result.trades["net_micros"].sum()) != result.balance_micros - result.plan.capital_micros:
        return f"{head}: the trades' net is not the change of the balance", result
    return "", result
