"""The pages of a purchase: who may what, the amount and the password before a cent is spent, and no key anywhere."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from desk.accounts.roles import ADMIN, OPERATOR, VIEWER
from desk.audit.models import AuditRecord
from marketdata.databento.client import Vendor
from marketdata.jobs import purchases
from marketdata.jobs.buying import VendorVoice
from marketdata.models import CANCELLED, DONE, WAITING, DataSet, VendorRun
from tests.data.kit import signed_in, text_of
from tests.databento.server import KEY, Market
from tests.web.seed import PASSWORD

pytestmark = pytest.mark.django_db
ASKED = {"symbol": "MES.v.0", "schema": "ohlcv-1m", "start": "2024-01-01", "end": "", "cap": "5.00"}
REASON = "two months for the walk-forward"


@pytest.fixture(autouse=True)
def account(
    place: tuple[Market, str], monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path, redis_client: Any
) -> None:
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    settings.VAR = tmp_path


@pytest.fixture
def work(vendor_of: Callable[..., Vendor]) -> Callable[[int], str]:
    return lambda run_id: purchases.run(run_id, VendorVoice, vendor_of)


def ticket_of(page: str) -> str:
    found = re.search(r'name="ticket" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_from_the_form_to_the_data_set(client: Client, work: Callable[[int], str], market: Market) -> None:
    alice = signed_in(client, "alice", ADMIN)
    page = text_of(alice, "/data/databento/")
    assert "A key is set" in page and "Nothing was bought yet" in page and "Buy history" in text_of(alice, "/data/")
    place = alice.post("/data/databento/", ASKED).headers["location"]
    assert place == f"/data/databento/{VendorRun.objects.get().pk}/"
    assert "waits for the batch worker" in text_of(alice, place)
    assert work(VendorRun.objects.get().pk) == DONE
    page = text_of(alice, place)
    assert '<b class="num" id="cost">$0.30</b>' in page and "files to buy</dt><dd>3" in page and "Buy for $0.30" in page
    form = {"amount": "0.30", "reason": REASON, "ticket": ticket_of(page)}
    for more, words in (
        ({}, "give your password again"),
        ({"amount": "0.29", "password": PASSWORD}, "type the amount as it stands there, 0.30"),
        ({"amount": "", "password": PASSWORD}, "This field is required"),
        ({"reason": "short", "password": PASSWORD}, "10 characters or more"),
        ({"ticket": "old", "password": PASSWORD}, "Read it again"),
        ({"password": "wrong"}, "That is not your password"),
    ):
        answer = alice.post(f"{place}buy/", form | more)
        assert answer.status_code == 422 and words in answer.content.decode(), more
    assert market.billed == [] and VendorRun.objects.count() == 1
    bought = alice.post(f"{place}buy/", form | {"password": PASSWORD}).headers["location"]
    assert alice.post(f"{place}buy/", form | {"password": PASSWORD}).headers["location"] == bought, (
        "the same press twice"
    )
    assert bought != place and work(VendorRun.objects.order_by("-id")[0].pk) == DONE
    page = text_of(alice, bought)
    stored = DataSet.objects.get()
    assert f"Open data set {stored.pk}" in page and "VERIFIED FILES" in page and "2024-02-15: 5002 → 7113" in page
    assert "It was bought by run" in text_of(alice, place)
    assert "3</td>" in text_of(alice, "/data/databento/") and "$0.30" in text_of(alice, "/data/databento/")
    assert f"/data/{stored.pk}/" in text_of(alice, "/data/")
    record = AuditRecord.objects.get(action="purchase_asked")
    assert (record.actor, record.detail["micros"], record.detail["reason"]) == ("alice", 294_000, REASON)
    assert record.detail["state"] == WAITING
    answer = alice.post(f"{place}buy/", form | {"password": PASSWORD})
    assert answer.status_code == 422 and "bought it already" in answer.content.decode(), "another tab with the old page"
    assert AuditRecord.objects.filter(action="purchase_asked").count() == 1
    for address in ("/data/databento/", place, bought, f"/data/{stored.pk}/"):
        assert KEY not in text_of(alice, address)
    assert all(KEY not in str(row.detail) for row in AuditRecord.objects.all())


def test_an_operator_asks_and_does_not_spend_a_viewer_neither(client: Client, work: Callable[[int], str]) -> None:
    olga = signed_in(client, "olga", OPERATOR)
    place = olga.post("/data/databento/", ASKED).headers["location"]
    assert work(VendorRun.objects.get().pk) == DONE
    page = text_of(olga, place)
    assert "Only who may spend buys" in page and "Buy for" not in page
    assert olga.post(f"{place}buy/", {"amount": "0.30"}).status_code == 403
    victor = signed_in(Client(), "victor", VIEWER)
    assert "An operator asks for prices" in text_of(victor, "/data/databento/")
    assert victor.post("/data/databento/", ASKED).status_code == 403
    assert victor.post(f"{place}cancel/").status_code == 403 and "$0.30" in text_of(victor, place)
    assert not VendorRun.objects.filter(purpose=VendorRun.PURCHASE).exists()


def test_what_was_typed_wrong_is_said_beside_its_field(client: Client) -> None:
    olga = signed_in(client, "olga", OPERATOR)
    for more, words in (
        ({"symbol": "mes"}, "is neither like MES.v.0"),
        ({"schema": "ohlcv-5m"}, "Select a valid choice"),
        ({"start": "tomorrow"}, "is not a date"),
        ({"cap": "much"}, "is no amount of dollars"),
    ):
        answer = olga.post("/data/databento/", ASKED | more)
        assert answer.status_code == 422 and words in answer.content.decode(), more
    assert not VendorRun.objects.exists()
    assert 'value="MESH6"' in text_of(olga, "/data/databento/?symbol=MESH6&schema=trades")


def test_a_missing_key_a_cap_and_a_cancel_are_said(
    client: Client, work: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = signed_in(client, "alice", ADMIN)
    place = alice.post("/data/databento/", ASKED | {"cap": "0.10"}).headers["location"]
    assert work(VendorRun.objects.get().pk) == DONE
    page = text_of(alice, place)
    assert "it costs $0.30, more than the cap of $0.10" in page and "Buy for" not in page and "cap=0.10" in page
    answer = alice.post(f"{place}buy/", {"amount": "0.30", "password": PASSWORD}, follow=True)
    assert "Nothing was bought: it costs $0.30" in answer.content.decode()
    place = alice.post("/data/databento/", ASKED).headers["location"]
    page = alice.post(f"{place}cancel/", follow=True).content.decode()
    assert "cancelled by alice before it began" in page and VendorRun.objects.order_by("-id")[0].state == CANCELLED
    assert "Nothing to cancel" in alice.post(f"{place}cancel/", follow=True).content.decode()
    assert "only a purchase that was stopped" in alice.post(f"{place}again/", follow=True).content.decode()
    monkeypatch.delenv("DATABENTO_API_KEY")
    assert "no key: set DATABENTO_API_KEY" in text_of(alice, "/data/databento/")
    text_of(alice, "/data/databento/999/", 404)


def test_a_stopped_purchase_offers_to_go_on(client: Client, work: Callable[[int], str], market: Market) -> None:
    alice = signed_in(client, "alice", ADMIN)
    place = alice.post("/data/databento/", ASKED).headers["location"]
    work(VendorRun.objects.get().pk)
    form = {"amount": "0.30", "reason": REASON, "password": PASSWORD, "ticket": ticket_of(text_of(alice, place))}
    market.fault("get_range", 402)
    bought = alice.post(f"{place}buy/", form).headers["location"]
    work(VendorRun.objects.order_by("-id")[0].pk)
    page = text_of(alice, bought)
    assert "funds do not cover it" in page and "Within the $0.30 that were confirmed" in page
    again = alice.post(f"{bought}again/").headers["location"]
    assert again != bought and work(VendorRun.objects.order_by("-id")[0].pk) == DONE
    assert "Bought, read to its end and checked." in text_of(alice, again)
