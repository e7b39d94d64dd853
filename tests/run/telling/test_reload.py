"""When a loaded network ends the holds that wait for one, and when it must not (MOEX-ML-10, MES-ML-15)."""

import msgspec
import numpy as np
import pytest

from marketdata.core.records import NO_TIME
from risk.core.holds import BIT
from risk.core.records import MOEX
from tests.simulation.kit import make_spec
from trading.core.records import CAUSE_OPERATOR, CAUSE_START, CONDITION, MODEL, MODEL_BLOCKED, MODEL_READY
from trading.run.journal.recovery import account_event
from trading.run.spec import HeldSpec, PastSpec, ScorerSpec, SessionSpec
from trading.run.streams import StreamAway
from trading.run.telling.reload import BLOCKED, BOTH, FELL, FINE, MODEL_MARK, ModelWatch, Told

FALLEN = account_event(CONDITION, BIT["ML_FALLBACK"], 1, value=1)
GOOD = "/nets/2"


def spec_of(*codes: str, networks: tuple[str, ...] = ("/nets/1",), artifact: str = GOOD) -> SessionSpec:
    """A session of shares on a network whose account's past left these holds."""
    holds = [HeldSpec(code, 1, NO_TIME, 0, 0) for code in codes]
    past = PastSpec(session=6, figures={}, holds=holds, networks=list(networks)) if codes else None
    scorer = ScorerSpec("network", artifact)
    return msgspec.structs.replace(make_spec(rules=MOEX), past=past, scorer=scorer)


class Inbox:
    """The mark beside it, and what it was told."""

    def __init__(self, spec: SessionSpec) -> None:
        self.spec = spec
        self.mark: bytes | None = None
        self.told: list[int] = []
        self.causes: list[int] = []  # of MODEL_READY
        self.journal, self.away = Told(), False

    def holder(self) -> ModelWatch:
        """The next holder of the loop."""
        return ModelWatch(self.spec, self.mark, lambda: self.journal, self.take)

    def take(self, events: np.ndarray, mark: tuple[str, bytes] | None = None) -> None:
        if self.away:
            raise StreamAway("away")
        self.told += events["code"].tolist()
        self.causes += events["ref"][(events["kind"] == MODEL) & (events["code"] == MODEL_READY)].tolist()
        if mark is not None:
            assert mark[0] == MODEL_MARK
            self.mark = mark[1]


def test_a_start_of_the_loop_ends_no_fall_back_moex_ml_10() -> None:
    """Not by loading, not by an answer: a person starts another session."""
    inbox = Inbox(spec_of())
    first = inbox.holder()
    first.opened("network")
    first.tell(FALLEN)
    first.answered()
    assert (inbox.told, inbox.mark) == ([BIT["ML_FALLBACK"]], FELL), "who failed loads nothing anew"
    inbox.told.clear()
    second = inbox.holder()
    second.opened("network")
    second.answered()
    assert inbox.told == [] and inbox.mark == FELL


def test_the_next_session_is_a_persons_and_ends_it_with_an_answer_moex_ml_10() -> None:
    """Told once, as soon as it can be."""
    inbox = Inbox(spec_of("ML_FALLBACK"))
    first = inbox.holder()
    first.opened("network")
    assert inbox.told == []
    inbox.away = True
    first.answered()
    inbox.away = False
    first.answered()
    first.answered()
    assert (inbox.told, inbox.causes, inbox.mark) == ([MODEL_READY], [CAUSE_OPERATOR], FINE)
    second = inbox.holder()
    second.opened("network")
    second.answered()
    assert inbox.told == [MODEL_READY]


def test_one_that_falls_again_before_it_answers_waits_for_the_next() -> None:
    inbox = Inbox(spec_of())
    for _ in range(2):
        holder = inbox.holder()
        holder.opened("network")
        holder.tell(FALLEN)
        holder.answered()
    assert MODEL_READY not in inbox.told and inbox.mark == FELL


def test_one_that_fell_and_then_could_not_be_opened_is_opened_and_stays_fallen_moex_ml_10() -> None:
    inbox = Inbox(spec_of())
    inbox.holder().tell(FALLEN)
    for _ in range(2):
        inbox.holder().cannot_open()
    assert (inbox.told, inbox.mark) == ([BIT["ML_FALLBACK"], MODEL_BLOCKED], BOTH), "each once"
    holder = inbox.holder()
    holder.opened("network")
    holder.answered()
    assert (inbox.told[2:], inbox.causes, inbox.mark) == ([MODEL_READY], [CAUSE_START], FELL)


@pytest.mark.parametrize(
    ("codes", "artifact", "networks", "opened", "answered"),
    [
        (("MODEL_BLOCKED",), "/nets/1", ("/nets/1",), True, True),
        (("ML_FALLBACK",), "/nets/1", ("/nets/1",), False, True),
        (("DRIFT_CRITICAL",), "/nets/1", ("/nets/1",), False, False),
        (("DRIFT_CRITICAL",), GOOD, ("/nets/1",), True, True),
        (("DRIFT_CRITICAL",), GOOD, (), False, False),
        (("DRIFT_WARN", "ML_FALLBACK"), "/nets/1", ("/nets/1",), False, False),
        (("DRIFT_WARN", "ML_FALLBACK"), GOOD, ("/nets/1",), False, True),
        (("DRIFT_WARN", "MODEL_BLOCKED"), "/nets/1", ("/nets/0", "/nets/1"), False, False),
    ],
)
def test_each_hold_of_the_past_has_its_own_reason_to_end_moex_ml_10(
    codes: tuple[str, ...], artifact: str, networks: tuple[str, ...], opened: bool, answered: bool
) -> None:
    """A start alone clears no drift: that takes a network which none of those sessions had."""
    inbox = Inbox(spec_of(*codes, networks=networks, artifact=artifact))
    holder = inbox.holder()
    holder.opened("network")
    assert (inbox.told == [MODEL_READY]) == opened
    holder.answered()
    assert (inbox.told == [MODEL_READY]) == answered


def test_a_block_that_ends_ends_no_drift_of_the_past_with_it() -> None:
    inbox = Inbox(spec_of("DRIFT_CRITICAL", artifact="/nets/1"))
    inbox.holder().cannot_open()
    inbox.holder().opened("network")
    assert (inbox.told, inbox.mark) == ([MODEL_BLOCKED], BLOCKED)


def test_a_redis_that_came_back_empty_makes_no_second_start_of_the_session() -> None:
    """Its journal knows that the first one was told."""
    inbox = Inbox(spec_of("MODEL_BLOCKED"))
    inbox.holder().opened("network")
    assert inbox.told == [MODEL_READY]
    inbox.mark, inbox.journal = None, Told(anything=True)
    inbox.holder().opened("network")
    assert inbox.told == [MODEL_READY]


def said(*rows: tuple[int, int], cause: int = CAUSE_OPERATOR) -> np.ndarray:
    """(kind, code) → EVENTs; a CONDITION stands, a network was loaded for this cause."""
    events = np.concatenate([account_event(kind, code, 1, value=1) for kind, code in rows])
    events["ref"] = cause
    return events


def test_a_redis_that_came_back_empty_forgets_no_end_mes_hold_model_blocked() -> None:
    """What was told before is in the journal; it ends once a network is there, and once."""
    blocked, fallen = (MODEL, MODEL_BLOCKED), (CONDITION, BIT["ML_FALLBACK"])
    inbox = Inbox(spec_of())
    inbox.journal = Told().after(said(blocked))
    inbox.holder().cannot_open()
    assert inbox.told == [], "it was told"
    inbox.holder().opened("network")
    assert (inbox.told, inbox.mark) == ([MODEL_READY], FINE)
    fell = Inbox(spec_of())
    fell.journal = Told().after(said(blocked, fallen))
    holder = fell.holder()
    holder.opened("network")
    holder.answered()
    assert (fell.told, fell.causes, fell.mark) == ([MODEL_READY], [CAUSE_START], FELL), "the fall-back stands"


def test_a_loop_that_starts_ends_no_fall_back_in_the_journal_either_moex_ml_10() -> None:
    fallen = said((MODEL, MODEL_BLOCKED), (CONDITION, BIT["ML_FALLBACK"]))
    assert Told().after(fallen).after(said((MODEL, MODEL_READY), cause=CAUSE_START)) == Told(True, fell=True)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((((CONDITION, BIT["HEARTBEAT"]),),), Told()),
        ((((MODEL, MODEL_BLOCKED), (MODEL, MODEL_READY)),), Told(True)),
        ((((MODEL, MODEL_READY), (CONDITION, BIT["ML_FALLBACK"])),), Told(True, fell=True)),
        ((((CONDITION, BIT["ML_FALLBACK"]),), ((MODEL, MODEL_BLOCKED),)), Told(True, True, True)),
        ((((CONDITION, BIT["ML_FALLBACK"]), (MODEL, MODEL_BLOCKED)), ((MODEL, MODEL_READY),)), Told(True)),
    ],
)
def test_what_a_journal_says_of_a_network(parts: tuple[tuple[tuple[int, int], ...], ...], expected: Told) -> None:
    found = Told()
    for part in parts:
        found = found.after(said(*part))
    assert found == expected
