"""The life of an order as a table of data: what the venue last said, and what is in flight.

TRANSITIONS is the whole machine, readable here, expanded to an int8 matrix for jitted code; the database's choices, the
exhaustive test and the diagram in the docs come from the same rows.  A trigger that has no row for a state is stale:
it changes nothing and is counted.  Fills are booked whatever the state says (W-09).
"""

import numpy as np
from numba import njit

# status: what the venue last said
NEW, WORKING, FILLED, CANCELLED, REJECTED, UNKNOWN = range(6)
STATUSES = ("NEW", "WORKING", "FILLED", "CANCELLED", "REJECTED", "UNKNOWN")
# request: what is in flight
NOTHING, SUBMITTING, CANCELLING, MODIFYING, QUERYING = range(5)
REQUESTS = ("NOTHING", "SUBMITTING", "CANCELLING", "MODIFYING", "QUERYING")
# triggers
ON_ACK, ON_PART_FILL, ON_FULL_FILL, ON_REJECT, ON_CANCELLED, ON_UNKNOWN = range(6)
ASK_CANCEL, ASK_MODIFY, ASK_QUERY, ON_ABSENT, ON_SEEN = 6, 7, 8, 9, 10
TRIGGERS = (
    "ON_ACK",
    "ON_PART_FILL",
    "ON_FULL_FILL",
    "ON_REJECT",
    "ON_CANCELLED",
    "ON_UNKNOWN",
    "ASK_CANCEL",
    "ASK_MODIFY",
    "ASK_QUERY",
    "ON_ABSENT",  # a query's report: the venue does not know the order
    "ON_SEEN",  # a reconciliation names it as working: its own answer may still say otherwise
)

TRANSITIONS = {
    # submitted, no answer yet
    (NEW, SUBMITTING, ON_ACK): (WORKING, NOTHING),
    (NEW, SUBMITTING, ON_PART_FILL): (WORKING, NOTHING),
    (NEW, SUBMITTING, ON_FULL_FILL): (FILLED, NOTHING),
    (NEW, SUBMITTING, ON_REJECT): (REJECTED, NOTHING),
    (NEW, SUBMITTING, ON_CANCELLED): (CANCELLED, NOTHING),
    (NEW, SUBMITTING, ON_UNKNOWN): (UNKNOWN, QUERYING),
    (NEW, SUBMITTING, ASK_QUERY): (UNKNOWN, QUERYING),
    (NEW, SUBMITTING, ASK_CANCEL): (NEW, CANCELLING),
    (NEW, SUBMITTING, ON_SEEN): (WORKING, SUBMITTING),
    # cancelled before the first answer: the submit's answer comes first
    (NEW, CANCELLING, ON_ACK): (WORKING, CANCELLING),
    (NEW, CANCELLING, ON_PART_FILL): (WORKING, CANCELLING),
    (NEW, CANCELLING, ON_FULL_FILL): (FILLED, NOTHING),
    (NEW, CANCELLING, ON_REJECT): (REJECTED, NOTHING),
    (NEW, CANCELLING, ON_CANCELLED): (CANCELLED, NOTHING),
    (NEW, CANCELLING, ON_UNKNOWN): (UNKNOWN, QUERYING),
    (NEW, CANCELLING, ASK_QUERY): (UNKNOWN, QUERYING),
    (NEW, CANCELLING, ON_SEEN): (NEW, CANCELLING),
    # works by a reconciliation's word, before the answer to the submit itself: that one may still be a refusal
    (WORKING, SUBMITTING, ON_ACK): (WORKING, NOTHING),
    (WORKING, SUBMITTING, ON_PART_FILL): (WORKING, NOTHING),
    (WORKING, SUBMITTING, ON_FULL_FILL): (FILLED, NOTHING),
    (WORKING, SUBMITTING, ON_REJECT): (REJECTED, NOTHING),
    (WORKING, SUBMITTING, ON_CANCELLED): (CANCELLED, NOTHING),
    (WORKING, SUBMITTING, ON_UNKNOWN): (UNKNOWN, QUERYING),
    (WORKING, SUBMITTING, ASK_CANCEL): (NEW, CANCELLING),
    (WORKING, SUBMITTING, ASK_QUERY): (UNKNOWN, QUERYING),
    # outcome unknown: only the venue's evidence ends it (W-01)
    (UNKNOWN, QUERYING, ON_ACK): (WORKING, NOTHING),
    (UNKNOWN, QUERYING, ON_PART_FILL): (WORKING, NOTHING),
    (UNKNOWN, QUERYING, ON_FULL_FILL): (FILLED, NOTHING),
    (UNKNOWN, QUERYING, ON_REJECT): (REJECTED, NOTHING),
    (UNKNOWN, QUERYING, ON_ABSENT): (REJECTED, NOTHING),
    (UNKNOWN, QUERYING, ON_CANCELLED): (CANCELLED, NOTHING),
    (UNKNOWN, QUERYING, ASK_QUERY): (UNKNOWN, QUERYING),
    (UNKNOWN, QUERYING, ON_SEEN): (WORKING, SUBMITTING),
    # working
    (WORKING, NOTHING, ON_ACK): (WORKING, NOTHING),
    (WORKING, NOTHING, ON_PART_FILL): (WORKING, NOTHING),
    (WORKING, NOTHING, ON_FULL_FILL): (FILLED, NOTHING),
    (WORKING, NOTHING, ON_CANCELLED): (CANCELLED, NOTHING),
    (WORKING, NOTHING, ASK_CANCEL): (WORKING, CANCELLING),
    (WORKING, NOTHING, ASK_MODIFY): (WORKING, MODIFYING),
    (WORKING, NOTHING, ASK_QUERY): (WORKING, QUERYING),
    (WORKING, CANCELLING, ON_ACK): (WORKING, CANCELLING),
    (WORKING, CANCELLING, ON_PART_FILL): (WORKING, CANCELLING),
    (WORKING, CANCELLING, ON_FULL_FILL): (FILLED, NOTHING),
    (WORKING, CANCELLING, ON_REJECT): (WORKING, NOTHING),
    (WORKING, CANCELLING, ON_CANCELLED): (CANCELLED, NOTHING),
    (WORKING, CANCELLING, ON_UNKNOWN): (WORKING, QUERYING),
    (WORKING, CANCELLING, ASK_QUERY): (WORKING, QUERYING),
    (WORKING, MODIFYING, ON_ACK): (WORKING, NOTHING),
    (WORKING, MODIFYING, ON_PART_FILL): (WORKING, MODIFYING),
    (WORKING, MODIFYING, ON_FULL_FILL): (FILLED, NOTHING),
    (WORKING, MODIFYING, ON_REJECT): (WORKING, NOTHING),
    (WORKING, MODIFYING, ON_CANCELLED): (CANCELLED, NOTHING),
    (WORKING, MODIFYING, ON_UNKNOWN): (WORKING, QUERYING),
    (WORKING, MODIFYING, ASK_CANCEL): (WORKING, CANCELLING),
    (WORKING, MODIFYING, ASK_QUERY): (WORKING, QUERYING),
    # working, asked what became of a cancel or a modification
    (WORKING, QUERYING, ON_ACK): (WORKING, NOTHING),
    (WORKING, QUERYING, ON_PART_FILL): (WORKING, QUERYING),
    (WORKING, QUERYING, ON_FULL_FILL): (FILLED, NOTHING),
    (WORKING, QUERYING, ON_REJECT): (WORKING, NOTHING),  # late: the cancel or modification is refused, the order works
    (WORKING, QUERYING, ON_ABSENT): (CANCELLED, NOTHING),
    (WORKING, QUERYING, ON_CANCELLED): (CANCELLED, NOTHING),
    (WORKING, QUERYING, ON_UNKNOWN): (WORKING, QUERYING),
    (WORKING, QUERYING, ASK_CANCEL): (WORKING, CANCELLING),
    (WORKING, QUERYING, ASK_QUERY): (WORKING, QUERYING),
}

STALE = -1


def _expand() -> tuple[np.ndarray, np.ndarray]:
    status = np.full((len(STATUSES), len(REQUESTS), len(TRIGGERS)), STALE, np.int8)
    request = status.copy()
    for (from_status, from_request, trigger), (to_status, to_request) in TRANSITIONS.items():
        status[from_status, from_request, trigger] = to_status
        request[from_status, from_request, trigger] = to_request
    return status, request


_STATUS, _REQUEST = _expand()


@njit(cache=True)
def is_open(status: int) -> bool:
    """True while the order can still trade, as far as we know."""
    return status == NEW or status == WORKING or status == UNKNOWN


@njit(cache=True)
def advance(order: np.record, trigger: int) -> bool:
    """Move the order by one trigger.  False (and no change) when the trigger is stale for its state."""
    status = _STATUS[order.status, order.request, trigger]
    if status == STALE:
        return False
    order.request = _REQUEST[order.status, order.request, trigger]
    order.status = status
    return True
