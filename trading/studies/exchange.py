"""Trials handed out and answered through the shared database, each answer counted once (MES-OPT-04).

A hand (a place for one worker) is held by a lease with a fence; a trial is claimed under that fence, and an answer
counts only while the trial is still claimed under it.  Who is gone is told by the database's clock alone: machines
need not agree on the time.  Every function is one short transaction, for loops of trading use the same database.
Called by `hired` (who asks) and `hand` (who answers).
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.functions import Now

from trading.research.records import ResearchError
from trading.studies.models import CLAIMED, CLOSED, DONE, FAILED, OPEN, WAITING, StudyHand, StudyRun, StudyTrial

KEY = "study"  # file beside the bars that names whose they are
LEND_HAND = "trading.studies.tasks.lend_hand"  # the task that asks a worker of the queue
PAUSE_S = 0.2  # between two looks at rows that have not changed
BEATS = 6  # signs of life in one lease
KEPT_DAYS = 30  # answers of a study that nobody opened since
FORGOTTEN = 500  # rows that are deleted at once
WHY_CHARS, DETAIL_CHARS = 2_000, 500


class Opened(NamedTuple):
    """A study that is ours: nobody else's trials are handed out for it while the fence is this one."""

    run_id: int
    fence: int
    lease_s: int


class Held(NamedTuple):
    """A hand that is ours."""

    run_id: int
    hand_id: int
    number: int
    fence: int
    lease_s: int


class Wanted(NamedTuple):
    """One trial as it is handed out; `point` is JSON."""

    stage: str
    kind: str
    point: str
    first: int
    end: int
    trades_min: int | None


class Lost(RuntimeError):
    """The lease has run out and somebody else may have taken what was ours."""


def later(seconds: int) -> ExpressionWrapper:
    """The database's time in so many seconds."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())


# --- who asks


def open_run(key: str, subject: str, owner: str, hands: int, lease_s: int) -> Opened:
    """Make the study ours and its places for workers.  What nobody has begun is forgotten: it is wanted anew.

    Raises ResearchError while another command works on it.
    """
    with transaction.atomic():
        run, _ = StudyRun.objects.get_or_create(key=key, defaults={"subject": subject, "lease_s": lease_s})
        free = Q(state=CLOSED) | Q(expires_at__lt=Now()) | Q(owner=owner)  # ours: the one before is dead, we hold
        taken = (  # the folder's lock
            StudyRun.objects.filter(id=run.id)
            .filter(free)
            .update(
                state=OPEN, subject=subject, owner=owner, fence=F("fence") + 1, lease_s=lease_s,
                expires_at=later(lease_s),
            )
        )  # fmt: skip
        if taken != 1:
            raise ResearchError(f"another command works on this study: {run.owner}; wait for it, or stop it there")
        for number in range(hands):
            StudyHand.objects.get_or_create(run_id=run.id, number=number)
        # places that are too many go, but not from under a worker: its trials would be nobody's
        StudyHand.objects.filter(run_id=run.id, number__gte=hands, owner="").delete()
        StudyHand.objects.filter(run_id=run.id).update(detail="")
        opened = Opened(run.id, StudyRun.objects.values_list("fence", flat=True).get(id=run.id), lease_s)
    take_back(run.id)
    StudyTrial.objects.filter(run_id=run.id, state__in=(WAITING, FAILED)).delete()
    return opened


def keep_open(opened: Opened) -> bool:
    """A sign of life of who asks; False when another command has taken the study over."""
    return _ours_still(opened).update(expires_at=later(opened.lease_s)) == 1


def close_run(opened: Opened) -> None:
    """Hand out nothing more.  What is being run is still answered, and found by the next command."""
    with transaction.atomic():
        if _ours_still(opened).update(state=CLOSED) == 1:
            StudyTrial.objects.filter(run_id=opened.run_id, state=WAITING).delete()


def ask(opened: Opened, wanted: Sequence[Wanted]) -> dict[str, int]:
    """Put trials of one stage up, but for those that are known already.  Returns the row of each by its point.

    Raises ResearchError when another command has taken the study over."""
    if not wanted:
        return {}
    stage = wanted[0].stage
    assert all(item.stage == stage for item in wanted)
    with transaction.atomic():
        if not keep_open(opened):  # nor does anybody take it over while this is written
            raise ResearchError("another command has taken this study over; this one ends, what was answered is kept")
        rows = [StudyTrial(run_id=opened.run_id, **item._asdict()) for item in wanted]
        StudyTrial.objects.bulk_create(rows, ignore_conflicts=True)
        found = StudyTrial.objects.filter(run_id=opened.run_id, stage=stage, point__in=[item.point for item in wanted])
        return dict(found.values_list("point", "id"))


def answers(ids: Sequence[int]) -> list[tuple[int, bytes]]:
    """Those of the rows that are answered: (row, trial).  Raises ResearchError for one that broke off."""
    rows = StudyTrial.objects.filter(id__in=ids, state__in=(DONE, FAILED)).order_by("id")
    found = []
    for row_id, state, answer, why in rows.values_list("id", "state", "answer", "why"):
        if state == FAILED:
            raise ResearchError(why)
        assert answer is not None, "the database refuses it: study_trial_answered"
        found.append((row_id, bytes(answer)))
    return found


def answered(run_id: int, after: int, count: int) -> list[tuple[int, str, str]]:
    """The next `count` answered rows behind row `after`: (row, stage, point)."""
    rows = StudyTrial.objects.filter(run_id=run_id, state=DONE, id__gt=after).order_by("id")
    return list(rows.values_list("id", "stage", "point")[:count])


def forget() -> None:
    """Take away studies that nobody has opened for KEPT_DAYS, a few rows at a time: trading writes here, too."""
    old = StudyRun.objects.filter(expires_at__lt=later(-KEPT_DAYS * 86_400))
    for run_id in list(old.values_list("id", flat=True)):
        rows = StudyTrial.objects.filter(run_id=run_id)
        while ids := list(rows.values_list("id", flat=True)[:FORGOTTEN]):
            rows.filter(id__in=ids).delete()
        old.filter(id=run_id).delete()


def take_back(run_id: int) -> int:
    """Take from workers that are gone what they had claimed.  Returns how many trials are to be run again."""
    freed = 0
    gone = StudyHand.objects.filter(run_id=run_id, expires_at__lt=Now()).exclude(owner="")
    for hand_id, number, fence in list(gone.values_list("id", "number", "fence")):
        with transaction.atomic():
            hand = StudyHand.objects.filter(id=hand_id, fence=fence, expires_at__lt=Now())
            if hand.update(owner="", fence=F("fence") + 1) == 1:
                freed += _unclaim(run_id, number, fence, lost=True)
    return freed


def working(run_id: int) -> int:
    """How many workers hold a place now."""
    return StudyHand.objects.filter(run_id=run_id, expires_at__gt=Now()).exclude(owner="").count()


def worn_out(run_id: int, tries: int) -> str:
    """A trial with which so many workers were lost, in words; empty when there is none."""
    row = StudyTrial.objects.filter(run_id=run_id, state=WAITING, tries__gte=tries).first()
    return "" if row is None else f"{row.stage} {row.point}"


def excuses(run_id: int) -> set[str]:
    """Why workers that came could not work, since the study was opened."""
    return set(StudyHand.objects.filter(run_id=run_id).exclude(detail="").values_list("detail", flat=True))


# --- who answers


def is_wanted(run_id: int) -> bool:
    """Whether the study has room for one more worker."""
    return _live(run_id).exists() and _free_hands(run_id).exists()


def subject_of(run_id: int) -> str | None:
    """What a worker must know, while the study has room for one more."""
    return _live(run_id).values_list("subject", flat=True).first() if is_wanted(run_id) else None


def excuse(run_id: int, why: str) -> None:
    """Say at a free place why a worker that came cannot take it."""
    free = _free_hands(run_id).order_by("number").values_list("id", flat=True)[:1]
    StudyHand.objects.filter(id__in=list(free)).update(detail=why[:DETAIL_CHARS])


def take_hand(run_id: int, owner: str) -> Held | None:
    """A free place of a live study; None when there is none."""
    run = _live(run_id).first()
    if run is None:
        return None
    for hand_id, number, fence in list(_free_hands(run_id).order_by("number").values_list("id", "number", "fence")):
        with transaction.atomic():
            free = _free_hands(run_id).filter(id=hand_id, fence=fence)
            if free.update(owner=owner, fence=F("fence") + 1, expires_at=later(run.lease_s)) == 1:
                _unclaim(run_id, number, fence, lost=True)
                return Held(run_id, hand_id, number, fence + 1, run.lease_s)
    return None


def is_open(run_id: int) -> bool:
    """Whether the study hands trials out, or will again."""
    return _live(run_id).exists()


def is_waiting(run_id: int) -> bool:
    """Whether a trial waits; reads alone, for an idle worker asks often."""
    return StudyTrial.objects.filter(run_id=run_id, state=WAITING).exists()


def keep_hand(held: Held) -> bool:
    """A sign of life of a worker; False when the place is another's, or the study hands out nothing more."""
    return _ours(held).update(expires_at=later(held.lease_s)) == 1 and _live(held.run_id).exists()


def claim(held: Held, count: int) -> list[StudyTrial]:
    """The next trials, `count` at most; one with which a worker was lost comes alone.  Raises Lost."""
    with transaction.atomic():
        if _ours(held).update(expires_at=later(held.lease_s)) != 1:
            raise Lost(f"hand {held.number} of study {held.run_id} is another's")
        if not _live(held.run_id).exists():
            return []
        waiting = StudyTrial.objects.select_for_update(skip_locked=True).filter(run_id=held.run_id, state=WAITING)
        rows = list(waiting.order_by("-tries", "id")[:count])
        if rows and rows[0].tries:
            rows = rows[:1]
        ids = [row.id for row in rows]
        StudyTrial.objects.filter(id__in=ids).update(state=CLAIMED, number=held.number, fence=held.fence)
        return rows


def answer(held: Held, packed: Sequence[tuple[int, bytes]]) -> int:
    """Hand trials in.  Returns how many counted: what was taken back meanwhile is another's to answer."""
    with transaction.atomic():
        # the hand before its trials, as in `take_back`: the other way round two of them could wait for each other
        if _ours(held).update(expires_at=later(held.lease_s)) != 1:
            return 0
        kept = sum(_claimed(held).filter(id=row_id).update(state=DONE, answer=trial) for row_id, trial in packed)
        _ours(held).update(done=F("done") + kept)
        return kept


def break_off(held: Held, row_id: int, why: str) -> None:
    """Say that a trial is a fault of the study, which ends by it."""
    _claimed(held).filter(id=row_id).update(state=FAILED, why=why[:WHY_CHARS])


def give_back(held: Held) -> None:
    """Free the place in order: what was claimed and not run waits again, as if it had not been claimed."""
    with transaction.atomic():
        if _ours(held).update(owner="") == 1:
            _unclaim(held.run_id, held.number, held.fence, lost=False)


def give_up(run_id: int, owner: str) -> None:
    """The process of this owner has ended, however it did: what it still held is lost with it, at once."""
    with transaction.atomic():
        for hand_id, number, fence in list(
            StudyHand.objects.filter(run_id=run_id, owner=owner).values_list("id", "number", "fence")
        ):
            if StudyHand.objects.filter(id=hand_id, fence=fence).update(owner="", fence=F("fence") + 1) == 1:
                _unclaim(run_id, number, fence, lost=True)


# --- both


def _ours_still(opened: Opened) -> "QuerySet[StudyRun]":
    return StudyRun.objects.filter(id=opened.run_id, fence=opened.fence)


def _live(run_id: int) -> "QuerySet[StudyRun]":
    return StudyRun.objects.filter(id=run_id, state=OPEN, expires_at__gt=Now())


def _free_hands(run_id: int) -> "QuerySet[StudyHand]":
    return StudyHand.objects.filter(run_id=run_id).filter(Q(owner="") | Q(expires_at__lt=Now()))


def _ours(held: Held) -> "QuerySet[StudyHand]":
    return StudyHand.objects.filter(id=held.hand_id, fence=held.fence).exclude(owner="")


def _claimed(held: Held) -> "QuerySet[StudyTrial]":
    rows = StudyTrial.objects.filter(run_id=held.run_id, state=CLAIMED)
    return rows.filter(number=held.number, fence=held.fence)


def _unclaim(run_id: int, number: int, fence: int, *, lost: bool) -> int:
    """Let a hand's claimed trials wait again.  Where its worker was lost, the first of them may be the cause."""
    rows = StudyTrial.objects.filter(run_id=run_id, state=CLAIMED, number=number, fence=fence)
    if lost and (first := rows.order_by("id").values_list("id", flat=True).first()) is not None:
        StudyTrial.objects.filter(id=first).update(tries=F("tries") + 1)
    return rows.update(state=WAITING, number=None)
