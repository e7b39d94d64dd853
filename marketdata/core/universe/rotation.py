"""Who is active: seeding, the way of an instrument through its states, the decision of each minute, its brakes.

MOEX-DATA-04, -05, -08, -09, -11.  Every function moves members and reports what it did; none asks a clock or a stream.
A swap is two members that name each other: the ACTIVE one its successor, the SUBSCRIBING one whom it replaces.  They
change places in one step, or not at all.  Called by `step`.
"""

from typing import Any

import numpy as np

from marketdata.core.compiled import inlined
from marketdata.core.records import NO_TIME
from marketdata.core.universe.metrics import (
    UNKNOWN,
    is_fresh,
    is_known,
    is_triggered,
    mean_ratio,
    meets_criteria,
    ratio_floor,
    ratio_of,
)
from marketdata.core.universe.records import (
    ACTIVATED,
    ACTIVE,
    DEMOTED,
    FAILING_S,
    MONITORED,
    NEWS_MAX,
    NOBODY,
    OUTSIDE,
    POOL_MAX,
    SAMPLES_MIN,
    SUBSCRIBE_WAIT_S,
    SUBSCRIBED,
    SUBSCRIBING,
    SWAP_VOID,
    UNHEALTHY_CLEARED,
    UNHEALTHY_SET,
)

Record = Any  # one record of MEMBER or UNIVERSE: the type checker cannot know its fields


@inlined
def _report(news: np.ndarray, kind: int, which: int, other: int) -> None:
    """One line more; a step makes at most a few a member, so that NEWS_MAX is never reached by 32 of them."""
    at = min(news[0, 0] + 1, NEWS_MAX)
    news[0, 0] = at
    news[at, 0] = kind
    news[at, 1] = which
    news[at, 2] = other


@inlined
def is_ready(member: Record, now_ns: int) -> bool:
    """The stream confirmed the subscription, and a valid book of the last 5.0 s is there."""
    return member.confirmed != 0 and is_fresh(member, now_ns)


@inlined
def subscribe(members: np.ndarray, which: int, replaces: int, news: np.ndarray) -> None:
    """MONITORED → SUBSCRIBING, into a slot of its own or in wait for the one of `replaces`."""
    members[which].state = SUBSCRIBING
    members[which].waited_s = 0
    members[which].replaces = replaces
    if replaces != NOBODY:
        members[replaces].successor = which
    _report(news, SUBSCRIBED, which, replaces)


@inlined
def void_swap(members: np.ndarray, leaving: int, news: np.ndarray) -> None:
    """The swap that waits for members[leaving] is off: its successor is MONITORED again, without a cool-down."""
    successor = members[leaving].successor
    members[leaving].successor = NOBODY
    members[successor].replaces = NOBODY
    members[successor].state = MONITORED
    _report(news, SWAP_VOID, successor, leaving)


@inlined
def _calm(members: np.ndarray, which: int, news: np.ndarray) -> None:
    if members[which].unhealthy != 0:
        members[which].unhealthy = 0
        _report(news, UNHEALTHY_CLEARED, which, NOBODY)


@inlined
def demote(members: np.ndarray, which: int, now_ns: int, news: np.ndarray) -> None:
    """ACTIVE → MONITORED: the cool-down begins, the hold is gone; who waited for the place takes it as a vacant one."""
    successor = members[which].successor
    if successor != NOBODY:
        members[successor].replaces = NOBODY
    members[which].successor = NOBODY
    members[which].state = MONITORED
    members[which].entered_ns = NO_TIME
    members[which].left_ns = now_ns
    members[which].failing_s = 0
    _report(news, DEMOTED, which, successor)
    _calm(members, which, news)


@inlined
def _activate(members: np.ndarray, which: int, now_ns: int, news: np.ndarray) -> None:
    members[which].state = ACTIVE
    members[which].replaces = NOBODY
    members[which].entered_ns = now_ns
    members[which].failing_s = 0
    _report(news, ACTIVATED, which, NOBODY)


@inlined
def activate_ready(universe: Record, members: np.ndarray, now_ns: int, news: np.ndarray) -> None:
    """Who is SUBSCRIBING and ready becomes ACTIVE; of a swap both change places here."""
    for i in range(len(members)):
        if members[i].state == SUBSCRIBING and is_ready(members[i], now_ns):
            leaving = members[i].replaces
            if leaving != NOBODY:
                demote(members, leaving, now_ns, news)
                universe.rotations += 1
            _activate(members, i, now_ns, news)


@inlined
def void_pinned(members: np.ndarray, news: np.ndarray) -> None:
    """A position or working order of the outgoing one cancels a waiting swap; its recovery does not."""
    for i in range(len(members)):
        if members[i].state == ACTIVE and members[i].successor != NOBODY and members[i].pinned != 0:
            void_swap(members, i, news)


@inlined
def give_up_waiting(members: np.ndarray, now_ns: int, news: np.ndarray) -> None:
    """After 10 s of NORMAL_TRADING without being ready: MONITORED again, the slot vacant or the swap void."""
    for i in range(len(members)):
        member = members[i]
        if member.state != SUBSCRIBING or member.trading == 0 or is_ready(member, now_ns):
            continue
        member.waited_s += 1
        if member.waited_s < SUBSCRIBE_WAIT_S or member.pinned != 0:
            continue
        if member.replaces != NOBODY:
            void_swap(members, member.replaces, news)
        else:
            member.state = MONITORED
            _report(news, SWAP_VOID, i, NOBODY)


@inlined
def drop_failing(members: np.ndarray, now_ns: int, news: np.ndarray) -> None:
    """60 s of NORMAL_TRADING without a valid fresh book end an ACTIVE member's time, unless it is pinned
    (MOEX-DATA-14)."""
    for i in range(len(members)):
        member = members[i]
        if member.state != ACTIVE or member.trading == 0:
            continue
        if is_fresh(member, now_ns):
            member.failing_s = 0
            continue
        member.failing_s += 1
        if member.failing_s >= FAILING_S and member.pinned == 0:
            demote(members, i, now_ns, news)


@inlined
def is_cool(universe: Record, member: Record, now_ns: int) -> bool:
    """Past its cool-down: exactly 900 s after leaving it may return."""
    return bool(member.left_ns == NO_TIME or now_ns - member.left_ns >= universe.cooldown_ns)


@inlined
def is_settled(universe: Record, member: Record, now_ns: int) -> bool:
    """Past its dwell: exactly 300 s after entering it may leave."""
    return bool(member.entered_ns != NO_TIME and now_ns - member.entered_ns >= universe.dwell_ns)


@inlined
def _candidate(universe: Record, members: np.ndarray, floor: float, now_ns: int) -> int:
    """The MONITORED member with the highest r that may become active; the earlier one of equals; NOBODY."""
    best, best_ratio = NOBODY, 0.0
    for i in range(len(members)):
        member = members[i]
        if member.state != MONITORED or member.samples < SAMPLES_MIN or not is_cool(universe, member, now_ns):
            continue
        if not meets_criteria(member, floor, now_ns):
            continue
        ratio = ratio_of(member)
        if best == NOBODY or ratio > best_ratio:
            best, best_ratio = i, ratio
    return best


@inlined
def taken_slots(members: np.ndarray) -> int:
    """Slots that somebody is ACTIVE or SUBSCRIBING in; who waits for another's place has none yet."""
    count = 0
    for i in range(len(members)):
        is_joining = members[i].state == SUBSCRIBING and members[i].replaces == NOBODY
        if members[i].state == ACTIVE or is_joining:
            count += 1
    return count


@inlined
def _worst(universe: Record, members: np.ndarray, triggered: np.ndarray, now_ns: int) -> int:
    """The triggered member of the widest spread that may leave and has no successor; an unknown spread comes last."""
    worst, width = NOBODY, 0.0
    for i in range(len(members)):
        member = members[i]
        if triggered[i] == 0 or member.pinned != 0 or member.successor != NOBODY:
            continue
        if not is_settled(universe, member, now_ns):
            continue
        spread = member.spread if is_known(member.sampled_ns, now_ns) else -1.0
        if worst == NOBODY or spread > width:
            worst, width = i, spread
    return worst


@inlined
def decide(universe: Record, members: np.ndarray, triggered: np.ndarray, now_ns: int, news: np.ndarray) -> None:
    """The decision of a minute.  Vacant slots first, then up to `replacements_max` triggered members get a successor.

    Writes 1 into `triggered` (n,) int64 of each ACTIVE member that a trigger names, 0 into the others.
    """
    floor = ratio_floor(members, now_ns)
    mean = mean_ratio(members, now_ns)
    for i in range(len(members)):
        is_named = members[i].state == ACTIVE and is_triggered(members[i], mean, now_ns)
        triggered[i] = 1 if is_named else 0
    for _ in range(universe.active_max - taken_slots(members)):
        incoming = _candidate(universe, members, floor, now_ns)
        if incoming == NOBODY:
            return
        subscribe(members, incoming, NOBODY, news)
    for _ in range(universe.replacements_max):
        leaving = _worst(universe, members, triggered, now_ns)
        incoming = _candidate(universe, members, floor, now_ns)
        if leaving == NOBODY or incoming == NOBODY:
            return
        subscribe(members, incoming, leaving, news)


@inlined
def mark_unhealthy(members: np.ndarray, triggered: np.ndarray, news: np.ndarray) -> None:
    """Who was triggered and is still ACTIVE after the decision gets hold UNHEALTHY, whatever the cause."""
    for i in range(len(members)):
        if triggered[i] != 0 and members[i].state == ACTIVE and members[i].unhealthy == 0:
            members[i].unhealthy = 1
            _report(news, UNHEALTHY_SET, i, NOBODY)


@inlined
def clear_healthy(members: np.ndarray, now_ns: int, news: np.ndarray) -> None:
    """An ACTIVE member that meets the criteria again loses the hold."""
    mean = mean_ratio(members, now_ns)
    if mean == UNKNOWN:
        return
    for i in range(len(members)):
        if members[i].unhealthy != 0 and meets_criteria(members[i], ratio_floor(members, now_ns), now_ns):
            _calm(members, i, news)


@inlined
def make_room(universe: Record, members: np.ndarray, now_ns: int, news: np.ndarray) -> bool:
    """Whether a slot is vacant; one that can be is made so: of the last one that waits for its first book, else of the
    last ACTIVE one.  One with a position or a working order keeps its own."""
    if taken_slots(members) < universe.active_max:
        return True
    joining, active = NOBODY, NOBODY
    for i in range(len(members)):
        if members[i].pinned == 0 and members[i].state == SUBSCRIBING and members[i].replaces == NOBODY:
            joining = i
        elif members[i].pinned == 0 and members[i].state == ACTIVE:
            active = i
    if joining != NOBODY:
        members[joining].state = MONITORED
        _report(news, SWAP_VOID, joining, NOBODY)
        return True
    if active == NOBODY:
        return False
    if members[active].successor != NOBODY:
        void_swap(members, active, news)  # or its successor would take the place
    demote(members, active, now_ns, news)
    return True


@inlined
def place(members: np.ndarray, which: int, pool: int) -> int:
    """Into the pool as MONITORED, if it is not there and there is room; the pool's new size."""
    if which < 0 or which >= len(members) or members[which].state != OUTSIDE or pool >= POOL_MAX:
        return pool
    members[which].state = MONITORED
    return pool + 1
