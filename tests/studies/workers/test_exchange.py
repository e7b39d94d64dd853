"""Trials handed out through the database: every one once, whoever is lost, and no answer counted twice (MES-OPT-04)."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.db import connection

from trading.research.records import ResearchError
from trading.studies import exchange
from trading.studies.exchange import Held, Opened, Wanted
from trading.studies.models import CLAIMED, DONE, FAILED, WAITING, StudyHand, StudyRun, StudyTrial

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


def opened(hands: int = 2, owner: str = "here:/study", key: str = "k" * 64) -> Opened:
    return exchange.open_run(key, '{"what": 1.0}', owner, hands, 600)


def wanted(count: int, stage: str = "study") -> list[Wanted]:
    return [Wanted(stage, "proposed", f"[{k}]", 0, 100, None) for k in range(count)]


def hand(run: Opened, owner: str = "worker") -> Held:
    assert exchange.subject_of(run.run_id) == '{"what": 1.0}'
    taken = exchange.take_hand(run.run_id, owner)
    assert taken is not None
    return taken


def expire(held: Held) -> None:
    """As if its worker had been silent for its whole lease."""
    StudyHand.objects.filter(id=held.hand_id).update(expires_at=LONG_AGO)


def states(run: Opened) -> Counter[str]:
    return Counter(StudyTrial.objects.filter(run_id=run.run_id).values_list("state", flat=True))


def test_two_workers_share_out_every_trial_once() -> None:
    run = opened()
    ids = exchange.ask(run, wanted(7))
    one, two = hand(run, "one"), hand(run, "two")
    claims = [row.pk for held in (one, two, one, two) for row in exchange.claim(held, 2)]
    assert sorted(claims) == sorted(ids.values()) and len(claims) == 7
    assert exchange.claim(one, 2) == [] and not exchange.is_waiting(run.run_id)
    assert exchange.take_hand(run.run_id, "three") is None and not exchange.is_wanted(run.run_id)
    assert exchange.working(run.run_id) == 2


def test_an_answer_that_comes_after_the_trial_was_given_to_another_does_not_count() -> None:
    run = opened()
    ids = exchange.ask(run, wanted(1))
    slow = hand(run, "slow")
    (row,) = exchange.claim(slow, 5)
    expire(slow)
    assert exchange.take_back(run.run_id) == 1 and exchange.take_back(run.run_id) == 0
    assert not exchange.keep_hand(slow)
    with pytest.raises(exchange.Lost, match="another's"):
        exchange.claim(slow, 1)
    assert exchange.answer(slow, [(row.pk, b"late")]) == 0
    quick = hand(run, "quick")
    assert [again.pk for again in exchange.claim(quick, 5)] == [row.pk]
    assert exchange.answer(slow, [(row.pk, b"later")]) == 0
    assert exchange.answer(quick, [(row.pk, b"first")]) == 1
    assert exchange.answer(quick, [(row.pk, b"second")]) == 0
    assert exchange.answers(list(ids.values())) == [(row.pk, b"first")]
    assert StudyHand.objects.get(id=quick.hand_id).done == 1


def test_a_place_that_ran_out_is_taken_with_what_was_claimed_from_it() -> None:
    """Nobody has looked after the study meanwhile: the next worker does."""
    run = opened(hands=1)
    exchange.ask(run, wanted(3))
    before = hand(run, "before")
    exchange.claim(before, 2)
    expire(before)
    after = hand(run, "after")
    assert after.number == before.number and after.fence > before.fence
    assert states(run) == {WAITING: 3}


def test_with_whom_a_worker_was_lost_comes_alone_and_three_times_at_most() -> None:
    run = opened(hands=1)
    ids = exchange.ask(run, wanted(4))
    suspect = ids["[0]"]
    for tries in range(3):
        assert exchange.worn_out(run.run_id, 3) == ""
        held = hand(run)
        rows = exchange.claim(held, 4)
        assert rows[0].pk == suspect and len(rows) == (4 if tries == 0 else 1)
        exchange.give_up(run.run_id, "worker")
        assert states(run) == {WAITING: 4}
    assert exchange.worn_out(run.run_id, 3) == "study [0]"
    assert list(StudyTrial.objects.filter(tries=0).values_list("id", flat=True).order_by("id")) == [
        ids[f"[{k}]"] for k in (1, 2, 3)
    ]


def test_a_worker_that_leaves_in_order_casts_no_suspicion() -> None:
    run = opened(hands=1)
    exchange.ask(run, wanted(2))
    held = hand(run)
    exchange.claim(held, 2)
    exchange.give_back(held)
    assert states(run) == {WAITING: 2} and not StudyTrial.objects.filter(tries__gt=0).exists()
    exchange.give_up(run.run_id, "worker")
    assert not StudyTrial.objects.filter(tries__gt=0).exists() and exchange.working(run.run_id) == 0


def test_who_cannot_help_says_so_and_is_no_worker() -> None:
    run = opened(hands=2)
    exchange.ask(run, wanted(1))
    exchange.excuse(run.run_id, "the bars are not seen")
    assert exchange.working(run.run_id) == 0 and exchange.is_wanted(run.run_id)
    held = hand(run, "next")
    assert exchange.excuses(run.run_id) == {"the bars are not seen"}, "the one who comes next does not hide it"
    exchange.give_back(held)
    exchange.close_run(run)
    assert exchange.excuses(opened().run_id) == set(), "the next command asks anew"
    assert exchange.subject_of(run.run_id) is not None
    hand(run), hand(run)
    assert exchange.subject_of(run.run_id) is None, "no room"


def test_a_trial_that_breaks_off_ends_the_study_with_its_sentence() -> None:
    run = opened()
    ids = exchange.ask(run, wanted(2))
    held = hand(run)
    first, _ = exchange.claim(held, 2)
    exchange.break_off(held, first.pk, "the trial of x=1 broke off")
    with pytest.raises(ResearchError, match="the trial of x=1 broke off"):
        exchange.answers(list(ids.values()))
    exchange.close_run(run)
    again = opened()
    assert FAILED not in states(again), "the next command tries it anew"


def test_a_closed_study_hands_out_nothing_and_keeps_what_is_still_answered() -> None:
    run = opened()
    exchange.ask(run, wanted(3))
    held = hand(run)
    (row,) = exchange.claim(held, 1)
    exchange.close_run(run)
    assert exchange.claim(held, 1) == [] and not exchange.keep_hand(held) and not exchange.is_open(run.run_id)
    assert exchange.answer(held, [(row.pk, b"done")]) == 1
    assert exchange.answered(run.run_id, 0, 10) == [(row.pk, "study", "[0]")]
    assert exchange.answered(run.run_id, row.pk, 10) == []
    again = opened()
    assert again.run_id == run.run_id and states(again) == {DONE: 1}
    ids = exchange.ask(again, wanted(3))
    assert ids["[0]"] == row.pk and exchange.answers(list(ids.values())) == [(row.pk, b"done")]
    assert states(again) == {DONE: 1, WAITING: 2}


def test_what_a_living_worker_runs_for_a_stopped_command_is_not_asked_twice() -> None:
    run = opened()
    exchange.ask(run, wanted(2))
    held = hand(run)
    (row,) = exchange.claim(held, 1)
    exchange.close_run(run)
    again = opened()
    ids = exchange.ask(again, wanted(2))
    assert ids["[0]"] == row.pk and states(again) == {CLAIMED: 1, WAITING: 1}
    assert exchange.answer(held, [(row.pk, b"done")]) == 1


def test_one_command_has_a_study_and_the_one_that_lost_it_is_told() -> None:
    first = opened(owner="here:/a")
    with pytest.raises(ResearchError, match="another command works on this study: here:/a"):
        opened(owner="there:/b")
    same = opened(owner="here:/a")  # its folder's lock is ours: the one before is dead
    assert same.fence > first.fence
    assert not exchange.keep_open(first)
    with pytest.raises(ResearchError, match="taken this study over"):
        exchange.ask(first, wanted(3))
    assert not StudyTrial.objects.exists(), "nor does it put anything up there"
    exchange.close_run(first)
    assert exchange.is_open(same.run_id), "who lost it closes nothing"
    StudyRun.objects.update(expires_at=LONG_AGO)
    assert not exchange.is_open(same.run_id) and exchange.take_hand(same.run_id, "worker") is None
    other = opened(owner="there:/b")
    assert exchange.keep_open(other) and exchange.is_open(other.run_id)


def test_places_that_are_too_many_go_when_they_are_free() -> None:
    run = opened(hands=3)
    first, second = hand(run, "one"), hand(run, "two")
    exchange.give_back(first)
    again = opened(hands=1)
    numbers = set(StudyHand.objects.filter(run_id=again.run_id).values_list("number", flat=True))
    assert numbers == {0, second.number}


def test_a_study_that_nobody_opened_for_a_month_is_forgotten() -> None:
    old, young = opened(key="1" * 64), opened(key="2" * 64)
    for run in (old, young):
        exchange.ask(run, wanted(2))
    StudyRun.objects.filter(id=old.run_id).update(expires_at=LONG_AGO)
    exchange.forget()
    assert list(StudyRun.objects.values_list("id", flat=True)) == [young.run_id]
    assert set(StudyTrial.objects.values_list("run_id", flat=True)) == {young.run_id}


def test_studies_do_not_meet() -> None:
    one, two = opened(key="1" * 64), opened(key="2" * 64)
    exchange.ask(one, wanted(2))
    exchange.ask(two, wanted(2))
    exchange.claim(hand(one), 9)
    assert states(one) == {CLAIMED: 2} and states(two) == {WAITING: 2}


@pytest.mark.django_db(transaction=True)
def test_many_at_once_claim_and_answer_every_trial_once() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("one writer at a time by itself; its test database is in memory and is not for threads")
    workers, count = 4, 200
    run = opened(hands=workers)
    ids = exchange.ask(run, wanted(count))

    def work(number: int) -> tuple[list[int], int]:
        try:
            held, kept, claimed = hand(run, f"worker {number}"), 0, []
            while exchange.is_waiting(run.run_id):
                rows = [row.pk for row in exchange.claim(held, 3)]
                claimed += rows
                kept += exchange.answer(held, [(row, b"%d" % row) for row in rows])
            return claimed, kept
        finally:
            connection.close()

    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(work, range(workers)))
    claimed = [row for rows, _ in found for row in rows]
    assert sorted(claimed) == sorted(ids.values()) and sum(kept for _, kept in found) == count
    assert exchange.answers(claimed) == [(row, b"%d" % row) for row in sorted(claimed)]
