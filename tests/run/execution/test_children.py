"""Entries of shares that never leave the execution loop (MOEX-RISK-09, MOEX-ROUTE-04)."""

from marketdata.core.records import new_events
from trading.core.records import (
    CANCEL,
    CANCELLED,
    CANCELLED_UNSENT,
    ENTRY,
    EXIT,
    FILL_AND_KILL,
    MARKET,
    PASSIVE,
    SUBMIT,
)
from trading.run.bodies.children import Output, Unsent
from trading.run.streams import ZERO_ID


def output(kind: int, number: int, order_type: int = FILL_AND_KILL, role: int = ENTRY) -> Output:
    event = new_events(1)
    event["kind"], event["order_number"], event["order_type"], event["role"] = kind, number, order_type, role
    return Output(ZERO_ID, event, False)


def test_an_intent_of_an_older_epoch_stays_and_is_answered_cancelled_moex_risk_09() -> None:
    unsent = Unsent()
    entry, cancel = output(SUBMIT, 7), output(CANCEL, 7)
    assert not unsent.stays(entry.event[0], [entry, output(CANCEL, 8)])
    assert unsent.stays(entry.event[0], [entry, cancel])
    answer = unsent.answer(entry.event, 99)
    assert (answer["kind"][0], answer["code"][0], answer["order_number"][0]) == (CANCELLED, CANCELLED_UNSENT, 7)
    assert answer["ts_ns"][0] == 99 and answer["ref"][0] == 0
    assert unsent.stays(cancel.event[0], []) and len(unsent.answer(cancel.event, 99)) == 0
    assert not unsent.stays(output(CANCEL, 8).event[0], [])


def test_a_passive_child_stays_with_its_first_moex_route_04() -> None:
    unsent = Unsent()
    first, second = output(SUBMIT, 7), output(SUBMIT, 8, PASSIVE)
    assert not unsent.stays(second.event[0], [second])
    unsent.note(first.event[0])
    assert unsent.stays(second.event[0], [second])


def test_exits_and_futures_always_go_moex_term_04() -> None:
    unsent = Unsent()
    for one in (output(SUBMIT, 7, role=EXIT), output(SUBMIT, 7, MARKET)):
        assert not unsent.stays(one.event[0], [one, output(CANCEL, 7)])
        unsent.note(one.event[0])
        assert not unsent.stays(output(CANCEL, 7).event[0], [])
