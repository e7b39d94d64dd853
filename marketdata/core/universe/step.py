"""The universe's steps, as the kernel and the feed call them: a start, a second, an operator's wish, the gate.

What a step did is in `news`, row by row (records.new_news): the feed obeys it, the kernel sets and clears holds by it.
No step reads a clock: `now_ns` is the TIMER's.  Rules: MOEX-DATA-04 to -09, -11, -14, -15.
"""

import numpy as np
from numba import njit

from marketdata.core.records import NO_TIME
from marketdata.core.universe.metrics import indicate, is_fresh, is_known, knows_ratio, ratio_of, sample_all
from marketdata.core.universe.records import (
    ACTIVE,
    BOOK_AGE_MAX_NS,
    MINUTE_NS,
    MONITORED,
    NOBODY,
    OUTSIDE,
    SUBSCRIBING,
)
from marketdata.core.universe.rotation import (
    activate_ready,
    clear_healthy,
    decide,
    drop_failing,
    give_up_waiting,
    is_cool,
    is_settled,
    make_room,
    mark_unhealthy,
    place,
    subscribe,
    taken_slots,
    void_pinned,
    void_swap,
)

# answers to an operator's replace (MOEX-DATA-11)
REPLACE_TAKEN = 0
NOT_IN_POOL, SAME, NOT_ACTIVE, IS_ACTIVE, IS_PINNED, IN_DWELL, IN_COOLDOWN = 1, 2, 3, 4, 5, 6, 7
REPLACE_REFUSALS = {
    NOT_IN_POOL: "one of the two instruments is not in the pool",
    SAME: "an instrument cannot replace itself",
    NOT_ACTIVE: "the instrument to replace is not active",
    IS_ACTIVE: "the replacement is active already, or about to be",
    IS_PINNED: "the instrument to replace has a position or a working order",
    IN_DWELL: "the instrument to replace has not been active for long enough",
    IN_COOLDOWN: "the replacement left too short a time ago",
}

# why a member does not pass the integrity gate (MOEX-DATA-14)
PASSES, MISSING, STALE, EMPTY, INVALID = 0, 1, 2, 3, 4
GATE_FAULTS = {MISSING: "missing", STALE: "stale", EMPTY: "empty", INVALID: "invalid"}


@njit(cache=True)
def seed(
    universe: np.ndarray,
    members: np.ndarray,
    held: np.ndarray,
    restored: np.ndarray,
    monitored: np.ndarray,
    hedge: int,
    news: np.ndarray,
) -> int:
    """First slots: members with a broker position, then the restored set or else the monitored list's first.

    `held`, `restored`, `monitored`: int64 indexes in `members`, repeats count once; `hedge` (or NOBODY) never enters.
    The pool is those and the monitored, cut to 30.  Returns its size.  Members must be OUTSIDE before.
    """
    news[0, 0] = 0
    pool, slots = 0, universe[0].active_max
    first = restored if len(restored) > 0 else monitored
    for part in (held, first):
        for which in part:
            if slots == 0:
                break
            if which == hedge:
                continue
            before = pool
            pool = place(members, which, pool)
            if pool > before:
                slots -= 1
                subscribe(members, which, NOBODY, news)
    for part in (held, monitored):
        for which in part:
            if which != hedge:
                pool = place(members, which, pool)
    return pool


@njit(cache=True)
def admit(universe: np.ndarray, members: np.ndarray, which: int, now_ns: int, news: np.ndarray) -> bool:
    """A slot for members[which], whose position became known after the start (MOEX-DATA-04: positions go first).

    False, and nothing is done, for one that has a slot or is in no pool, and where all slots are held by others.
    """
    news[0, 0] = 0
    state, replaces = members[which].state, members[which].replaces
    if state == OUTSIDE or state == ACTIVE or (state == SUBSCRIBING and replaces == NOBODY):
        return False
    if not make_room(universe[0], members, now_ns, news):
        return False
    if members[which].state == SUBSCRIBING and members[which].replaces != NOBODY:
        void_swap(members, members[which].replaces, news)
    if members[which].state == MONITORED:
        subscribe(members, which, NOBODY, news)
    return True


@njit(cache=True)
def second(universe: np.ndarray, members: np.ndarray, now_ns: int, news: np.ndarray) -> int:
    """One TIMER: samples, indicators, who becomes active, who is given up, and each whole minute the decision.

    Writes `news`; returns how many rows of it.
    """
    news[0, 0] = 0
    state = universe[0]
    sample_all(members, now_ns)
    void_pinned(members, news)
    activate_ready(state, members, now_ns, news)
    give_up_waiting(members, now_ns, news)
    drop_failing(members, now_ns, news)
    minute = now_ns // MINUTE_NS
    if state.minute == NO_TIME:
        state.minute = minute  # the first minute is not whole
    elif minute > state.minute:
        state.minute = minute
        triggered = np.zeros(len(members), np.int64)
        decide(state, members, triggered, now_ns, news)
        activate_ready(state, members, now_ns, news)
        mark_unhealthy(members, triggered, news)
    clear_healthy(members, now_ns, news)
    indicate(state, members, now_ns)
    return int(news[0, 0])


@njit(cache=True)
def book_came(universe: np.ndarray, members: np.ndarray, now_ns: int, news: np.ndarray) -> int:
    """After a book or a confirmation: who is ready becomes ACTIVE without waiting for the next second."""
    news[0, 0] = 0
    void_pinned(members, news)
    activate_ready(universe[0], members, now_ns, news)
    return int(news[0, 0])


@njit(cache=True)
def replace(
    universe: np.ndarray, members: np.ndarray, current: int, replacement: int, now_ns: int, news: np.ndarray
) -> int:
    """The operator's wish that `replacement` take the place of `current`: REPLACE_TAKEN, or why not.

    Taken, the two change places when the replacement is ready; a swap that waited for `current` is void.
    """
    news[0, 0] = 0
    count = len(members)
    if current < 0 or current >= count or replacement < 0 or replacement >= count:
        return NOT_IN_POOL
    leaving, coming = members[current], members[replacement]
    if leaving.state == OUTSIDE or coming.state == OUTSIDE:
        return NOT_IN_POOL
    if current == replacement:
        return SAME
    if leaving.state != ACTIVE:
        return NOT_ACTIVE
    if coming.state != MONITORED:
        return IS_ACTIVE
    if leaving.pinned != 0:
        return IS_PINNED
    if not is_settled(universe[0], leaving, now_ns):
        return IN_DWELL
    if not is_cool(universe[0], coming, now_ns):
        return IN_COOLDOWN
    if leaving.successor != NOBODY:
        void_swap(members, current, news)
    subscribe(members, replacement, current, news)
    activate_ready(universe[0], members, now_ns, news)
    return REPLACE_TAKEN


@njit(cache=True)
def gate(members: np.ndarray, now_ns: int, faults: np.ndarray) -> bool:
    """Whether the books let the integrity gate pass; `faults` (n,) int64: PASSES or why not, of each.

    Every ACTIVE member in NORMAL_TRADING, at least one, needs a valid book not older than 5.0 s.
    """
    active, failed = 0, 0
    for i in range(len(members)):
        member = members[i]
        faults[i] = PASSES
        if member.state != ACTIVE or member.trading == 0:
            continue
        active += 1
        if is_fresh(member, now_ns):
            continue
        failed += 1
        if member.book_ns == NO_TIME:
            faults[i] = MISSING
        elif now_ns - member.book_ns > BOOK_AGE_MAX_NS:
            faults[i] = STALE
        elif member.book_empty != 0:
            faults[i] = EMPTY
        else:
            faults[i] = INVALID
    return active > 0 and failed == 0


@njit(cache=True)
def known_metrics(members: np.ndarray, now_ns: int, out: np.ndarray) -> None:
    """Spread, r and vol_30m of each member into `out` (n, 3) float64; NaN for what is unknown (MOEX-DATA-17)."""
    for i in range(len(members)):
        member = members[i]
        out[i, 0] = member.spread if is_known(member.sampled_ns, now_ns) else np.nan
        out[i, 1] = ratio_of(member) if knows_ratio(member, now_ns) else np.nan
        out[i, 2] = member.vol if is_known(member.vol_sampled_ns, now_ns) else np.nan


@njit(cache=True)
def forget(members: np.ndarray, which: int) -> None:
    """Resync of members[which]: books, candles and metrics are gone; its state and the baseline of L stay."""
    member = members[which]
    member.book_ns = NO_TIME
    member.valid_ns = NO_TIME
    member.samples = 0
    member.sampled_ns = NO_TIME
    member.vol_sampled_ns = NO_TIME
    member.candles = 0
    member.candle_vol = -1.0
    member.rv_60 = 0.0


@njit(cache=True)
def lose_stream(members: np.ndarray) -> None:
    """The stream is gone: no subscription is confirmed any more; who is ACTIVE stays it, behind the gate."""
    for i in range(len(members)):
        members[i].confirmed = 0


@njit(cache=True)
def counts(members: np.ndarray) -> tuple[int, int, int]:
    """(in the pool, ACTIVE, slots that are ACTIVE or SUBSCRIBING)."""
    pool, active = 0, 0
    for i in range(len(members)):
        if members[i].state != OUTSIDE:
            pool += 1
        if members[i].state == ACTIVE:
            active += 1
    return pool, active, taken_slots(members)
