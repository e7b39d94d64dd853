"""What the inference loop tells the kernel beside scores: a network that cannot run, errors, cold features."""

from dataclasses import replace
from functools import partial
from typing import cast

import msgspec
import numpy as np
import pytest

from marketdata.core.records import FLAG_BACKFILL, FLAG_INVALID, NO_TIME
from risk.core.holds import BIT
from risk.core.records import MOEX
from tests.learning.loop.test_inference_loop import drain, publish, run, said, scores, spec_for
from tests.learning.tapes import SECOND, book_tape
from tests.run.telling.test_scores import step_until
from tests.simulation.kit import make_spec
from trading.core.records import CAUSE_OPERATOR, CONDITION, ERROR, MODEL, MODEL_BLOCKED, MODEL_READY, SCORE
from trading.learning.scoring import Scorer, ScorerError
from trading.run.bodies.errors import ERRORS_MAX
from trading.run.context import LOOPS, CannotOpen
from trading.run.inference_loop import MARK, InferenceLoop
from trading.run.journal.recovery import account_event
from trading.run.journal.writer import JournalWriter
from trading.run.replica import Kernel
from trading.run.spec import HeldSpec, PastSpec, ScorerSpec, setup_events


def scored(loop: InferenceLoop, events: int) -> bool:
    """It has seen so many events, and scored."""
    return loop.counts["events"] == events and loop.counts["scores"] > 0


def test_the_kernel_is_told_of_a_network_that_cannot_run_and_of_its_end_once_each_mes_ml_15(desk, trained):
    """MODEL_BLOCKED, however often it is tried; a network that loads clears it."""
    context, _, inbox = desk
    good = ScorerSpec("network", str(trained[0]), {"edge_min": 0.0})
    for artifact in ("/nowhere", "/nowhere", str(trained[0]), str(trained[0])):
        spec = spec_for(["MES"], msgspec.structs.replace(good, artifact=artifact))
        loop = InferenceLoop()
        if artifact == "/nowhere":
            with pytest.raises(CannotOpen, match="no complete artifact"):
                loop.open(replace(context, spec=spec))
        else:
            loop.open(replace(context, spec=spec))
        loop.close()
    told = scores(inbox)
    assert told["kind"].tolist() == [MODEL, MODEL]
    assert told["code"].tolist() == [MODEL_BLOCKED, MODEL_READY]
    kernel = Kernel()
    kernel.apply(setup_events(make_spec()))
    for event, stands in zip(told, (1, 0), strict=True):
        kernel.apply(event.reshape(1))
        assert int(kernel.state.account[0].holds) >> BIT["MODEL_BLOCKED"] & 1 == stands


def test_a_network_that_fell_is_ended_by_no_holding_that_takes_over_moex_ml_02_moex_ml_10(desk, trained):
    """ML_FALLBACK of shares: a loop that starts loads nothing that anybody asked for, though its network answers."""
    context, market, inbox = desk
    spec = spec_for(["MES"], ScorerSpec("network", str(trained[0]), {"edge_min": 0.0}))
    context = replace(context, spec=msgspec.structs.replace(spec, limits={"rules": MOEX}))
    tape = book_tape(3_000, 7)

    class Broken:
        name = "network"

        def __init__(self, step_ns: int) -> None:
            self.step_ns = step_ns

        def score(self, vector: np.ndarray) -> None:
            raise ScorerError("not a number")

    loop = InferenceLoop()
    loop.open(context)
    assert loop._scorer is not None
    loop._scorer = cast(Scorer, Broken(loop._scorer.step_ns))
    publish(market, tape, end=2_000)
    step_until(loop, lambda: loop.counts["events"] == 2_000 and BIT["ML_FALLBACK"] in said(inbox)["code"])
    loop.close()
    assert MODEL not in said(inbox)["kind"]
    for fence, end in ((2, 2_500), (3, 3_000)):
        loop = InferenceLoop()
        loop.open(replace(context, fence=fence))
        publish(market, tape, start=end - 500, end=end)
        step_until(loop, partial(scored, loop, end))
        loop.close()
        assert MODEL not in said(inbox)["kind"]


def test_a_redis_that_came_back_empty_makes_no_second_start_once_scores_go_on_moex_ml_10(desk):
    """The running holder writes its cursor again, not what was told: the journal knows of the fall since then."""
    context, market, inbox = desk
    past = PastSpec(6, holds=[HeldSpec("MODEL_BLOCKED", 1, NO_TIME, 0, 0)])
    context = replace(context, spec=msgspec.structs.replace(context.spec, limits={"rules": MOEX}, past=past))
    told = [
        account_event(MODEL, MODEL_READY, 1, ref=CAUSE_OPERATOR),
        account_event(CONDITION, BIT["ML_FALLBACK"], 1, 1),
    ]
    events = np.concatenate(told)
    events["seq"], events["ref"] = (1, 2), (CAUSE_OPERATOR, 0)
    writer = JournalWriter(context.folder, context.spec.id, 1, "code")
    writer.append(events, np.zeros((2, 2), np.int64), np.zeros(2, np.int64), durable=False)
    writer.close()
    publish(market, book_tape(20, 7))
    inbox.append(account_event(SCORE, 0, 1), fence=1, loop="inference", mark=(MARK, b"1-0"))
    run(context)
    assert MODEL not in said(inbox)["kind"], "it would end this session's ML_FALLBACK"


def test_a_scorer_that_fails_is_told_of_t10(desk):
    """A network that answers with no number: no score, and errors that the kernel counts, once a second at most."""
    context, market, inbox = desk
    loop = InferenceLoop()
    loop.open(context)

    class Broken:
        name, step_ns = "network", 0

        def score(self, vector: np.ndarray) -> None:
            raise ScorerError("not a number")

    loop._scorer = cast(Scorer, Broken())
    publish(market, book_tape(2_000, 7))
    drain(loop)
    loop.close()
    told = scores(inbox)
    assert loop.counts["scores"] == 0 and loop.counts["errors"] > 1
    assert (told["kind"] == ERROR).all() and 0 < told["value"].sum() <= loop.counts["errors"]
    assert (told["value"] <= ERRORS_MAX).all() and (told["code"] == LOOPS.index("inference") + 1).all()


def test_cold_features_are_told_once_a_second_until_a_row_counts_mes_hold_features_cold(desk):
    """The kernel sees FEATURES_COLD from the first event on, and its end by the first score."""
    context, market, inbox = desk
    publish(market, book_tape(2_000, 7))
    loop = run(context)
    rows = said(inbox)
    cold = rows["flags"] & FLAG_INVALID != 0
    first = int(np.flatnonzero(~cold)[0])
    assert cold[:first].all() and not cold[first:].any() and first == loop.counts["cold"] > 5
    assert (rows["side"][cold] == 0).all() and (rows["kind"][cold] == SCORE).all()
    assert np.diff(rows["ts_venue_ns"][cold]).min() >= SECOND
    assert loop.counts["scores"] == (~cold).sum()
    kernel = Kernel()
    kernel.apply(setup_events(make_spec()))
    for at, stands in ((0, 1), (first - 1, 1), (first, 0)):
        kernel.apply(rows[at : at + 1])
        assert int(kernel.state.account[0].holds) >> BIT["FEATURES_COLD"] & 1 == stands


def test_back_fill_and_what_another_holder_has_done_is_never_cold(desk):
    context, market, inbox = desk
    tape = book_tape(400, 7)
    tape.events["flags"] |= FLAG_BACKFILL
    publish(market, tape)
    assert run(context).counts["cold"] == 0 and len(said(inbox)) == 0
