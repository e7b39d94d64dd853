"""The life of sessions, commands and configuration versions as tables of data.

`{(state, trigger): next}` is the whole machine: the database's choices, the services' conditional updates and the
exhaustive test read the same rows.  What has no row is refused.  Orders have their own table in `trading.core.orders`.
"""

from collections.abc import Mapping

Table = Mapping[tuple[str, str], str]

CREATED, STARTING, RUNNING, STOPPING, ENDED, FAILED = "created", "starting", "running", "stopping", "ended", "failed"
SESSION: Table = {
    (CREATED, "start"): STARTING,
    (CREATED, "refuse"): FAILED,
    (STARTING, "receipt"): RUNNING,
    (STARTING, "stop"): STOPPING,
    (STARTING, "refuse"): FAILED,
    (RUNNING, "stop"): STOPPING,
    (STOPPING, "stop"): STOPPING,  # asked again: the loops get the command once more
    (STOPPING, "flat"): ENDED,
    (RUNNING, "fail"): FAILED,
    (STOPPING, "fail"): FAILED,
}
SESSION_STATES = (CREATED, STARTING, RUNNING, STOPPING, ENDED, FAILED)
SESSION_OVER = (ENDED, FAILED)

REQUESTED, ACCEPTED, DONE, REFUSED, COMMAND_FAILED, UNKNOWN = (
    "requested",
    "accepted",
    "done",
    "refused",
    "failed",
    "unknown",
)
COMMAND: Table = {
    (REQUESTED, "sent"): ACCEPTED,
    (REQUESTED, "receipt_done"): DONE,  # the receipt may be read before the sender has noted that it sent
    (REQUESTED, "receipt_refused"): REFUSED,
    (REQUESTED, "refuse"): REFUSED,
    (REQUESTED, "not_sent"): COMMAND_FAILED,
    (REQUESTED, "lost"): UNKNOWN,
    (ACCEPTED, "receipt_done"): DONE,
    (ACCEPTED, "receipt_refused"): REFUSED,
    (ACCEPTED, "lost"): UNKNOWN,
    (DONE, "receipt_refused"): REFUSED,  # the venue refused what the kernel had taken
    (UNKNOWN, "receipt_done"): DONE,
    (UNKNOWN, "receipt_refused"): REFUSED,
}
# The receipt of a command says why it was refused (RECEIPT.qty).  Part of the journal's format: append, never renumber.
(
    NO_SUCH_COMMAND,
    NO_LIMITS,
    STOPPED,
    LATCHED,
    OVER,
    NOBODY,
    NOT_FLAT,
    INDEX_HIGH,
    NOT_STATED,
    NOTHING_HELD,
    LEAVING,
    NO_PRICE,
    MARKET_UNKNOWN,
    NOT_CLOSER,
    THROUGH_MARKET,
    NOT_MOVED,
    ENTRY_WORKS,
    VENUE_REFUSED,
    NONE_NAMED,
    NO_INSTRUMENT,
    NOT_OVERRIDABLE,
    TOO_LONG,
    OVERRIDDEN,
) = range(1, 24)
REFUSALS = {
    NO_SUCH_COMMAND: "the kernel knows no such command",
    NO_LIMITS: "no configuration is in force",
    STOPPED: "the session was stopped",
    LATCHED: "the kill latch is closed",
    OVER: "its time is over already",
    NOBODY: "nobody gave it",
    NOT_FLAT: "something is held, or an order works",
    INDEX_HIGH: "the volatility index is high, or its last value is old",
    NOT_STATED: "nobody stated the figures that could not be read",
    NOTHING_HELD: "nothing is held there",
    LEAVING: "the position is being left",
    NO_PRICE: "this is no price",
    MARKET_UNKNOWN: "the last quote is too old to tell on which side of the market it would be",
    NOT_CLOSER: "a stop only comes closer",
    THROUGH_MARKET: "it would trade at once",
    NOT_MOVED: "it stands there already",
    ENTRY_WORKS: "the entry still works; until it is filled the target follows its average",
    VENUE_REFUSED: "the venue refused it; the target stays where it was",
    NONE_NAMED: "none of the named holds is one that it clears",
    NO_INSTRUMENT: "the session has no such instrument",
    NOT_OVERRIDABLE: "this rule is never let pass",
    TOO_LONG: "an override is open for a minute at most",
    OVERRIDDEN: "an override of this instrument is open already",
}

COMMAND_STATES = (REQUESTED, ACCEPTED, DONE, REFUSED, COMMAND_FAILED, UNKNOWN)

DRAFT, ACTIVE, RETIRED = "draft", "active", "retired"
VERSION: Table = {
    (DRAFT, "activate"): ACTIVE,
    (ACTIVE, "replace"): RETIRED,
    (RETIRED, "activate"): ACTIVE,  # a rollback is one step
}
VERSION_STATES = (DRAFT, ACTIVE, RETIRED)


def before(table: Table, trigger: str) -> dict[str, str]:
    """State before → state after, for every row of this trigger.  Raises KeyError for a trigger without a row."""
    rows = {state: after for (state, name), after in table.items() if name == trigger}
    if not rows:
        raise KeyError(trigger)
    return rows


def choices(states: tuple[str, ...]) -> list[tuple[str, str]]:
    """Django choices of these states."""
    return [(state, state.replace("_", " ").capitalize()) for state in states]
