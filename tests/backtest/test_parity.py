"""The loop says to the kernel what the ring's own path says, bit for bit (MES-BT-01), however it is compiled."""

import hashlib

import numpy as np

from marketdata.core.records import BAR, EVENT
from tests.backtest.compare import draw, plan_with, shipped, through_loop
from tests.backtest.test_hand import BARS, bars_of, example
from tests.plain import answer_of
from trading.core.records import FIRST_OUTPUT_KIND, SCORE
from trading.run.backtest.engine import Backtest, Result, Run
from trading.run.replica import Kernel

SEEDS = range(3)
TAPE = 60_000
PROGRAM = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")
from tests.backtest.test_parity import digest, worked
print(digest(worked()[1]))
"""


def digest(result: Result) -> str:
    """sha256 over everything that a result holds."""
    found = hashlib.sha256()
    for rows in (result.trades, result.points, result.days):
        found.update(np.ascontiguousarray(rows).tobytes())
    found.update(repr((result.decisions, [row[1:] for row in result.holds], result.balance_micros)).encode())
    found.update(result.run.tobytes())
    return found.hexdigest()


def worked() -> tuple[Backtest, Result]:
    return through_loop(example(shipped()), bars_of(BARS), tape=TAPE)


def same_by_kernel(run: Run) -> None:
    """Every recorded input through a fresh kernel: the same outputs, the same bytes of state."""
    tape = np.concatenate([run.setup, run.tape()])
    inputs = tape[tape["kind"] < FIRST_OUTPUT_KIND]
    fresh = Kernel()
    again = fresh.apply(inputs)
    assert again.dtype == EVENT and len(again) == len(tape)
    assert again.tobytes() == tape.tobytes()
    assert fresh.snapshot() == run.kernel.snapshot()


def test_the_worked_example_replays_through_the_kernel_bit_for_bit_mes_bt_01() -> None:
    run, _ = worked()
    same_by_kernel(run)
    kinds = run.tape()["kind"]
    assert (kinds == BAR).sum() == len(bars_of(BARS)) and (kinds == SCORE).sum() > 10


def test_random_runs_replay_through_the_kernel_bit_for_bit_mes_bt_01() -> None:
    for seed in SEEDS:
        rules, schedule, _, bars = draw(seed, 600)
        run, result = through_loop(plan_with(rules, schedule), bars, tape=TAPE)
        assert len(result.trades) > 0
        same_by_kernel(run)


def test_chunks_and_full_buffers_change_no_byte_mes_mem_08() -> None:
    for seed in SEEDS:
        rules, schedule, _, bars = draw(seed, 600)
        plan = plan_with(rules, schedule)
        whole = digest(through_loop(plan, bars)[1])
        assert digest(through_loop(plan, bars, tuple(range(1, len(bars), 7)))[1]) == whole


def test_a_prefix_of_the_bars_has_the_same_trades_mes_bt_19() -> None:
    rules, schedule, _, bars = draw(1, 600)
    plan = plan_with(rules, schedule)
    whole = through_loop(plan, bars)[1].trades
    for cut in (150, 333, 480):
        part = through_loop(plan, bars[:cut])[1].trades
        ended = part[part["exit_ns"] <= bars[cut - 1].start]
        assert len(ended) > 0
        assert ended.tobytes() == whole[: len(ended)].tobytes()


def test_the_interpreter_gives_the_same_bytes() -> None:
    assert answer_of(PROGRAM) == digest(worked()[1])
