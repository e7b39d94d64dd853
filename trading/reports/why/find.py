"""Decisions in a session's journal, and what the kernel knew when it made one of them.  Reads the journal's files only.

The nearest snapshot, or a state kept from an earlier question, then every frame up to the input that was decided on,
through the compiled kernel; each output is compared with the record.  Searches are bounded.  Called by `why.answer`.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.core.records import EVENT
from risk.core.records import UNSET, loosens
from trading.core.records import CONFIG_ACTIVE, DECISION, FIRST_OUTPUT_KIND, OUT_CAPACITY
from trading.run.bodies.moment import FIRST_SEQ, NoJournal, seq_at, time_us
from trading.run.journal.follow import follow
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import load_snapshot
from trading.run.journal.segment import JournalBroken
from trading.run.replica import Kernel

CHUNK, REPLAYED = 4096, 16_384  # frames read at once: to look for one, to replay them
FIRST_LOOK, LOOK_GROWS = 256, 4  # frames of the first look around a place, and how each further one grows
LOOK_FRAMES = 120_000  # how far a decision is looked for on each side
STATES_KEPT = 64  # of earlier questions, in this process, 90 kB each: the next question is seldom far from one
Wanted = Callable[[np.ndarray], np.ndarray]  # kinds → which of them


def of(*kinds: int) -> Wanted:
    """These kinds."""
    return lambda found: np.isin(found, kinds)


def is_input(kinds: np.ndarray) -> np.ndarray:
    """What the kernel was given, not what it made."""
    given: np.ndarray = kinds < FIRST_OUTPUT_KIND
    return given


class Journal:
    """One session's journal as it stands now.  Raises NoJournal when it has none."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.reader = folder, JournalReader(folder)
        self.last_seq = self.reader.last_seq() if folder.is_dir() else 0
        if self.last_seq < FIRST_SEQ:
            raise NoJournal(f"{folder.name} has no journal")
        self.first_us, self.last_us = time_us(self.reader, FIRST_SEQ), time_us(self.reader, self.last_seq)

    def seq_at(self, at_us: int) -> int:
        """The last event at or before a time of the session's clock."""
        return seq_at(self.reader, self.last_seq, at_us)

    def events(self, first: int, last: int) -> np.ndarray:
        """EVENTs `first` … `last`, as far as the journal goes.  Raises JournalBroken for one that its hash denies."""
        wanted = max(0, min(last, self.last_seq) - first + 1)
        found = self.reader.read(first - 1, wanted)["event"]
        if len(found) < wanted:
            raise JournalBroken(f"frame {first + len(found)} of {self.last_seq} does not match its hash")
        return found

    def last_of(self, wanted: Wanted, seq: int, look: int = LOOK_FRAMES) -> np.ndarray:
        """The newest wanted EVENT at or before `seq`, (1,); (0,) when none is near."""
        end, stop, size = seq, max(0, seq - look), FIRST_LOOK
        while end > stop:
            start = max(stop, end - size)
            events = self.events(start + 1, end)
            found = np.flatnonzero(wanted(events["kind"]))
            if len(found) > 0:
                return events[found[-1] : found[-1] + 1]
            end, size = start, min(size * LOOK_GROWS, CHUNK)
        return np.zeros(0, EVENT)

    def first_of(self, wanted: Wanted, seq: int, look: int = LOOK_FRAMES) -> np.ndarray:
        """The oldest wanted EVENT behind `seq`, (1,); (0,) when none is near."""
        at, stop, size = seq, min(self.last_seq, seq + look), FIRST_LOOK
        while at < stop:
            events = self.events(at + 1, min(stop, at + size))
            found = np.flatnonzero(wanted(events["kind"]))
            if len(found) > 0:
                return events[found[0] : found[0] + 1]
            at, size = at + len(events), min(size * LOOK_GROWS, CHUNK)
        return np.zeros(0, EVENT)

    def decision(self, seq: int) -> np.ndarray:
        """The DECISION of this very number, (1,); (0,) when that frame is something else."""
        events = self.events(seq, seq) if FIRST_SEQ <= seq <= self.last_seq else np.zeros(0, EVENT)
        return events[events["kind"] == DECISION]

    def decision_of(self, number: int, submit_seq: int) -> np.ndarray:
        """The DECISION that made the order `number`, whose SUBMIT is frame `submit_seq`, (1,); (0,) for one that nobody
        asked the gate for: a bracket, an exit."""
        found = self.last_of(of(DECISION), submit_seq, OUT_CAPACITY)
        return found[found["order_number"] == number]

    def nearest(self, at_us: int) -> np.ndarray:
        """The DECISION nearest to a time, the earlier of two that are equally far, (1,); (0,) when there is none."""
        seq = self.seq_at(at_us)
        near = [self.last_of(of(DECISION), seq), self.first_of(of(DECISION), seq)]
        found = [event for event in near if len(event) > 0]
        return min(found, key=lambda event: abs(int(event["ts_ns"][0]) - at_us * 1000), default=np.zeros(0, EVENT))


class Step(NamedTuple):
    """One input and everything that the kernel made of it.

    `cause`: the input, (1,) EVENT; `before`: the kernel just before it; `after`: just behind it; `limits`: those in
    force before it, (1,) LIMITS.  `same`: every output on the way, and of this step, equals the record.
    """

    cause: np.ndarray
    before: Kernel
    after: Kernel
    limits: np.ndarray
    outputs: np.ndarray
    same: bool


_kept: "OrderedDict[tuple[str, int], tuple[bytes, bytes]]" = OrderedDict()  # (folder, seq) → frame's hash, state
_lock = threading.Lock()


def kernel_at(journal: Journal, seq: int) -> tuple[Kernel, bool]:
    """The kernel after frame `seq`, and whether every output on the way equals the record.  Raises JournalBroken."""
    kernel = _start(journal, seq)
    at, same = kernel.seq, True
    while at < seq and same:
        events = journal.events(at + 1, min(seq, at + REPLAYED))
        if at + len(events) < seq:  # whole steps only, but for the last
            events = events[: np.flatnonzero(is_input(events["kind"]))[-1]]
        same = follow(kernel, events) == len(events)
        at += len(events)
        if same and kernel.seq == at:
            _keep(journal, kernel)
    return kernel, same


def _start(journal: Journal, seq: int) -> Kernel:
    """Whatever is nearest before `seq`: the session's own snapshot, or a state that was kept here."""
    stored = load_snapshot(journal.folder, journal.reader, seq)
    best = 0 if stored is None else stored.kernel.seq
    with _lock:
        mine = {at: value for (folder, at), value in _kept.items() if folder == str(journal.folder)}
    for at in sorted(mine, reverse=True):
        if not best < at <= seq:
            continue
        frame = journal.reader.read(at - 1, 1)
        if len(frame) == 1 and frame["hash"][0].tobytes() == mine[at][0]:  # the very frame that it was made after
            return Kernel.restore(mine[at][1])
    return Kernel() if stored is None else stored.kernel


def _keep(journal: Journal, kernel: Kernel) -> None:
    if kernel.seq < FIRST_SEQ:
        return
    frame = journal.reader.read(kernel.seq - 1, 1)
    with _lock:
        _kept[str(journal.folder), kernel.seq] = (frame["hash"][0].tobytes(), kernel.snapshot())
        while len(_kept) > STATES_KEPT:
            _kept.popitem(last=False)


def step_of(journal: Journal, seq: int) -> Step:
    """The step in which the output `seq` was written.  Raises JournalBroken."""
    cause = int(journal.last_of(is_input, seq, OUT_CAPACITY + 1)["seq"][0])
    later = journal.first_of(is_input, seq, OUT_CAPACITY + 1)
    recorded = journal.events(cause, int(later["seq"][0]) - 1 if len(later) > 0 else journal.last_seq)
    before, same = kernel_at(journal, cause - 1)
    after = Kernel.restore(before.snapshot())
    made = after.apply(recorded[:1])
    same = same and made[: len(recorded)].tobytes() == np.ascontiguousarray(recorded).tobytes()
    return Step(recorded[:1], before, after, before.params.limits.copy(), made[1:], same)


def form_of(step: Step, seq: int) -> np.ndarray:
    """The gate's form of the decision `seq` of this step, (1,) ASK.

    The kernel keeps the form of the latest entry alone.  Where one step decided several times, the later ones (each a
    reversal that goes on) are kept from happening: what was decided before them cannot know of it.
    """
    rows = step.outputs[step.outputs["kind"] == DECISION]
    later = rows["instrument"][rows["seq"] > seq]
    if len(later) == 0:
        return step.after.params.asking.copy()
    kernel = Kernel.restore(step.before.snapshot())
    kernel.state.positions["rev_side"][later] = 0
    kernel.apply(step.cause)
    return kernel.params.asking.copy()


def limits_at(step: Step, seq: int) -> np.ndarray:
    """The limits in force when the output `seq` of this step was written, (1,) LIMITS.

    A step changes them at most twice, and says so each time by a CONFIG_ACTIVE: a version's tighter values as it is
    committed, the looser ones once all is flat.  Between the two only what does not loosen has changed.
    """
    changes = step.outputs["seq"][step.outputs["kind"] == CONFIG_ACTIVE]
    behind = step.after.params.limits
    if not np.any(changes < seq):
        return step.limits
    if np.all(changes < seq):
        return behind.copy()
    limits = step.limits.copy()
    held, new = limits.view("<i8"), behind.view("<i8")
    for index in range(len(held)):
        if held[index] == UNSET or not loosens(index, int(held[index]), int(new[index])):
            held[index] = new[index]
    return limits
