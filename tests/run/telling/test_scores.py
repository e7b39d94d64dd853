"""The inference loop on a real Redis under the shares' rulebook: what it tells of its network and of its pace."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest

from marketdata.core.records import METRIC, NO_TIME
from marketdata.engine.memory import INFERENCE_LIMITS, MemoryGuard
from marketdata.engine.telling import BY_INFERENCE, METRIC_MEMORY
from marketdata.memory.available import MIB
from risk.core.holds import BIT
from risk.core.records import MES, MOEX
from tests.learning.loop.test_inference_loop import KEY, publish, run, said, spec_for
from tests.learning.tapes import SECOND, START, book_tape
from trading.core.records import CONDITION, MODEL, MODEL_READY
from trading.core.watch.told import STAGES
from trading.learning.scoring import Scorer, ScorerError
from trading.run.clock import TAPE, SessionClock, boot_ns, save_clock
from trading.run.context import LoopContext
from trading.run.inference_loop import InferenceLoop
from trading.run.spec import HeldSpec, PastSpec, ScorerSpec, SessionSpec
from trading.run.streams import INBOX, MARKET, ZERO_ID, Stream, StreamFull, make_client
from trading.run.telling.scores import ScoreWatch

WAIT_S = 60.0  # a loaded machine; nothing waits when all is well


@pytest.fixture
def desk(redis_server, redis_client, tmp_path):
    """(context, market stream, inbox): both streams open, a tape clock stamped."""
    save_clock(tmp_path, SessionClock(START, 0, TAPE))
    context = LoopContext(
        folder=tmp_path,
        spec=shares(spec_for(["MES"], ScorerSpec())),
        loop="inference",
        fence=1,
        connect=lambda: make_client(redis_server),
        guard=Path(tmp_path),
    )
    market, inbox = Stream(redis_client, KEY, MARKET), Stream(redis_client, KEY, INBOX)
    market.open(ZERO_ID)
    inbox.open(ZERO_ID)
    return context, market, inbox


def step_until(loop: InferenceLoop, truth: Callable[[], bool]) -> None:
    """Step until something is so: a loaded machine may answer a read late."""
    deadline = time.monotonic() + WAIT_S
    while not truth():
        assert time.monotonic() < deadline, loop.counts
        loop.step()


def shares(spec: SessionSpec, **changes: object) -> SessionSpec:
    """The same session under the shares' rulebook."""
    return msgspec.structs.replace(spec, limits={"rules": MOEX}, **changes)


def test_a_shares_network_that_fails_is_put_away_and_leaves_the_heuristic_alone_moex_ml_02(desk):
    """ENSEMBLE_WEAK with its first failure, asked three times, ML_FALLBACK ten seconds later; a good one neither."""
    context, market, inbox = desk
    tape = book_tape(2_000, 7)
    loop = InferenceLoop()
    loop.open(context)
    good, asked = loop._scorer, []

    class Broken:
        name, step_ns = "network", 0

        def score(self, vector: np.ndarray) -> None:
            asked.append(1)
            raise ScorerError("not a number")

    publish(market, tape, end=1_000)
    step_until(loop, lambda: loop.counts["events"] == 1_000)
    assert good is not None and not np.isin(said(inbox)["code"], (BIT["ML_FALLBACK"],)).any()
    loop._scorer = cast(Scorer, Broken())
    publish(market, tape, start=1_000)
    step_until(loop, lambda: loop.counts["events"] == 2_000 and BIT["ML_FALLBACK"] in said(inbox)["code"])
    loop.close()
    told = said(inbox)
    told = told[told["kind"] == CONDITION]
    weak = told[told["code"] == BIT["ENSEMBLE_WEAK"]]
    lost = told[told["code"] == BIT["ML_FALLBACK"]]
    assert len(asked) == 3, loop.counts
    assert weak["value"].tolist()[:2] == [0, 1] and loop.counts["away"] > 0
    assert lost["value"].tolist()[:1] == [1] and lost["qty"][0] >= 10 * SECOND


@pytest.mark.parametrize(
    ("code", "ready"),
    [("MODEL_BLOCKED", True), ("ML_FALLBACK", False), ("DRIFT_CRITICAL", False), ("DAILY_LOSS", False)],
)
def test_a_formula_ends_what_waited_for_something_that_runs_and_nothing_else_moex_ml_10(desk, code, ready):
    """Once: whoever takes the loop over later loads nothing that anybody chose."""
    context, _, inbox = desk
    past = PastSpec(session=6, figures={}, holds=[HeldSpec(code, START, NO_TIME, 0, 0)], networks=["/nets/1"])
    spec = shares(context.spec, past=past)
    for fence in (1, 2):
        run(replace(context, spec=spec, fence=fence))
    told = said(inbox)
    assert told["code"][told["kind"] == MODEL].tolist() == ([MODEL_READY] if ready else [])


def test_a_tape_has_no_latency_and_a_clock_has_moex_mon_04(desk, monkeypatch):
    """Three slow scores in a row on a running clock raise LATENCY; on a tape, played as fast as it goes, none do."""
    context, market, inbox = desk
    spec = shares(context.spec, watch={"ml": 1, "features": 60 * SECOND})
    publish(market, book_tape(400, 7))
    run(replace(context, spec=spec))
    assert not (said(inbox)["kind"] == CONDITION).any() or BIT["LATENCY"] not in said(inbox)["code"]
    watch = ScoreWatch(spec, lambda events: inbox.append(events, fence=3, loop="inference"))
    clock = SessionClock(START, boot_ns(), 1.0)
    for _ in range(3):
        watch.took("ml", 2)
        watch.took("features", 2)
        watch.step(clock)
    told = said(inbox)
    slow = told[(told["kind"] == CONDITION) & (told["code"] == BIT["LATENCY"])]
    assert [(int(e["value"]), STAGES[int(e["ref"])], int(e["qty"])) for e in slow] == [(1, "ml", 2)]


@pytest.mark.parametrize("rules", [MOEX, MES])
def test_memory_above_the_loops_own_limits_is_told_once_a_crossing_moex_data_13(rules: int) -> None:
    """The inference loop hosts the models' runtimes: 1500 and 2500 MB.  What the inbox cannot take waits for it."""
    sent: list[np.ndarray] = []
    resident = [1500 * MIB]
    room = [True]

    def send(events: np.ndarray) -> None:
        if not room[0]:
            raise StreamFull("full")
        sent.extend(event for event in events if event["kind"] == METRIC)

    guard = MemoryGuard(INFERENCE_LIMITS, lambda: resident[0])
    spec = shares(spec_for(["MES"], ScorerSpec()))
    watch = ScoreWatch(msgspec.structs.replace(spec, limits=spec.limits | {"rules": rules}), send, guard)
    clock = SessionClock(START, 0, TAPE)
    for k, (resident[0], room[0]) in enumerate(
        ((1500 * MIB, True), (1500 * MIB + 1, False), (1600 * MIB, True), (2500 * MIB + 1, True), (100, True))
    ):
        clock.observe(START + (k + 1) * SECOND)
        watch.step(clock)
    told = [(int(event["code"]), int(event["role"]), int(event["qty"]), int(event["value"])) for event in sent]
    assert told == [
        (METRIC_MEMORY, BY_INFERENCE, 1, 1500 * MIB + 1),
        (METRIC_MEMORY, BY_INFERENCE, 2, 2500 * MIB + 1),
    ]
