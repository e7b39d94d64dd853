"""Prices and purchases as jobs: priced, confirmed by the amount, never above it, cancelled and gone on with, stored."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from marketdata.databento.archive import Archive, dollars
from marketdata.databento.client import Vendor
from marketdata.databento.request import Series, series, span_of
from marketdata.feeds.options import parse_options
from marketdata.jobs import buying as at_work
from marketdata.jobs import purchases
from marketdata.jobs.buying import VendorVoice
from marketdata.jobs.purchases import NotBuyable
from marketdata.models import CANCELLED, DONE, FAILED, RUNNING, WAITING, DataSet, VendorRun
from marketdata.selectors import data_set_path
from marketdata.store.chunks import load_bars
from marketdata.tasks import run_purchase
from tests.databento.server import IDS, KEY, Market

pytestmark = pytest.mark.django_db
MINUTES, HOURS = series("MES.v.0", "ohlcv-1m"), series("MES.v.0", "ohlcv-1h")
CAP = 5_000_000
OPEN_DAYS = (22, 21, 6)  # weekdays of the three months that are no holiday; the last one ends before its hour
PRICES = tuple(days * 60 * 100 for days in OPEN_DAYS)  # micros


@pytest.fixture(autouse=True)
def account(place: tuple[Market, str], monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    monkeypatch.setenv("DATABENTO_GATEWAY", place[1])
    monkeypatch.setattr("marketdata.databento.client.PAUSE_S", 0.0)
    settings.VAR = tmp_path


def queued(run_id: int) -> str:
    return ""


def priced(work: Callable[..., str], what: Series = MINUTES, cap: int = CAP, **span: str) -> VendorRun:
    row = purchases.ask_price(what, span.get("start", "2024-01-01"), span.get("end", ""), cap, "olga", queued)
    assert row.state == WAITING and work(row) == DONE
    return purchases.find_run(row.pk)


def confirmed(row: VendorRun) -> VendorRun:
    return purchases.ask_purchase(row, dollars(purchases.plan_of(row).total.micros), "alice", queued)


def test_from_a_price_to_a_data_set(work: Callable[..., str], market: Market) -> None:
    """MES-DBN-05, -10: cost first, then one data set of all months, validated as every import, the roll inside it."""
    row = priced(work)
    plan = purchases.plan_of(row)
    assert [quote.records for _, quote in plan.parts] == [days * 60 for days in OPEN_DAYS]
    assert plan.total.micros == sum(PRICES) and row.plan["degraded"] == ["2024-01-03 degraded"]
    assert market.billed == [] and purchases.why_not(row) == ""
    buying = confirmed(row)
    assert (buying.purpose, buying.cap_micros, buying.priced) == (VendorRun.PURCHASE, plan.total.micros, row)
    assert work(buying) == DONE and len(market.billed) == 3
    ended = purchases.find_run(buying.pk)
    stored = DataSet.objects.get()
    assert (ended.data_set, ended.spent_micros, ended.detail) == (stored, plan.total.micros, "")
    assert [part["records"] for part in ended.report["parts"]] == [days * 60 for days in OPEN_DAYS]
    assert ended.report["parts"][1]["rolls"] == [["2024-02-15", str(IDS[0]), str(IDS[1])]]
    assert stored.symbols == ["MES"] and stored.rows == sum(OPEN_DAYS) * 60 and stored.created_by == "alice"
    assert stored.source == "MES.v.0-ohlcv-1m-2024-01-01-2024-03-11.dbn.zst"
    assert stored.request["series"] == "MES.v.0" and stored.request["purchase"] == buying.pk
    assert [roll[1:] for roll in stored.report["rolls"]] == [[str(IDS[0]), str(IDS[1])]]
    bars = load_bars(data_set_path(stored), "MES", parse_options({}))
    assert bars.start_ns.size == stored.rows
    assert not list(purchases.root().rglob(".join*")), "nothing of the joining is left"
    assert KEY not in json.dumps([row.plan, ended.report, ended.detail])


def test_what_is_held_is_priced_at_nothing_and_never_bought_again(work: Callable[..., str], market: Market) -> None:
    first = priced(work, start="2024-01-01", end="2024-02-01")
    assert work(confirmed(first)) == DONE
    rest = priced(work)
    assert len(purchases.plan_of(rest).parts) == 2 and purchases.plan_of(rest).held == 1
    assert work(confirmed(rest)) == DONE and len(market.billed) == 3
    assert sorted(DataSet.objects.values_list("rows", flat=True)) == [OPEN_DAYS[0] * 60, sum(OPEN_DAYS) * 60]
    whole = priced(work)
    assert purchases.why_not(whole) == "all of it is held already: there is nothing to buy"
    with pytest.raises(NotBuyable, match="there is nothing to buy"):
        confirmed(whole)
    with pytest.raises(NotBuyable, match="bought it already"):
        confirmed(rest)


@pytest.mark.parametrize("typed", ["", "0.29", "0.31", "yes", "0,30", "30"])
def test_nothing_is_bought_without_the_amount_as_it_stands(work: Callable[..., str], typed: str) -> None:
    row = priced(work)
    assert dollars(purchases.plan_of(row).total.micros) == "0.30"
    with pytest.raises(NotBuyable, match=r"type the amount as it stands there, 0\.30"):
        purchases.ask_purchase(row, typed, "alice", queued)
    assert not VendorRun.objects.filter(purpose=VendorRun.PURCHASE).exists()
    assert purchases.ask_purchase(row, " $0.30 ", "alice", queued).state == WAITING


def test_above_the_cap_or_at_an_old_price_nothing_can_be_bought(work: Callable[..., str], market: Market) -> None:
    """MES-DBN-05."""
    row = priced(work, cap=200_000)
    with pytest.raises(NotBuyable, match=r"it costs \$0.30, more than the cap of \$0.20"):
        confirmed(row)
    row = priced(work)
    VendorRun.objects.filter(pk=row.pk).update(finished_at=timezone.now() - timedelta(minutes=31))
    with pytest.raises(NotBuyable, match="older than 30 minutes"):
        confirmed(purchases.find_run(row.pk))
    waiting = purchases.ask_price(HOURS, "", "", CAP, "olga", queued)
    with pytest.raises(NotBuyable, match="the price is not known yet"):
        purchases.ask_purchase(waiting, "0.00", "alice", queued)
    assert market.billed == []


class Stopping(VendorVoice):
    """Somebody cancels as soon as a month is bought."""

    beat_s = 0.0

    def progress(self, rows: int) -> None:
        if rows > 0 and VendorRun.objects.get(pk=self.run_id).step == at_work.BUYS:
            assert purchases.cancel(self.run_id, "alice")
        super().progress(rows)


def test_a_cancelled_purchase_keeps_its_months_and_goes_on_within_its_amount(
    work: Callable[..., str], market: Market
) -> None:
    row = priced(work)
    buying = confirmed(row)
    assert work(buying, Stopping) == CANCELLED
    buying = purchases.find_run(buying.pk)
    assert buying.cancel_asked_by == "alice" and "1 parts are held" in buying.detail and len(market.billed) == 1
    assert buying.spent_micros == PRICES[0] and not DataSet.objects.exists()
    again = purchases.go_on(buying, "alice", queued)
    assert (again.cap_micros, again.spent_micros) == (buying.cap_micros, buying.spent_micros)
    with pytest.raises(NotBuyable, match=f"run {again.pk} went on with it already"):
        purchases.go_on(buying, "alice", queued)
    assert work(again) == DONE and len(market.billed) == 3
    ended = purchases.find_run(again.pk)
    assert ended.spent_micros == ended.cap_micros and ended.data_set is not None
    with pytest.raises(NotBuyable, match="only a purchase that was stopped goes on"):
        purchases.go_on(ended, "alice", queued)


def test_what_may_have_been_billed_is_not_spent_twice(work: Callable[..., str], market: Market) -> None:
    """A month that came damaged was paid: what is left of the confirmed amount does not reach for it again."""
    market.fault("get_range", "short")
    buying = confirmed(priced(work))
    assert work(buying) == FAILED
    failed = purchases.find_run(buying.pk)
    assert "would pass the cap" in failed.detail and len(market.billed) == 2
    assert failed.spent_micros == 2 * PRICES[0] <= failed.cap_micros == sum(PRICES)
    again = purchases.go_on(failed, "alice", queued)
    assert work(again) == FAILED and len(market.billed) == 2, "the rest needs a new price and a new yes"
    assert "more than the cap of $0.03" in purchases.find_run(again.pk).detail
    fresh = priced(work)
    assert work(confirmed(fresh)) == DONE and DataSet.objects.count() == 1


def test_a_refusal_was_not_billed(work: Callable[..., str], market: Market) -> None:
    market.fault("get_range", 402)
    buying = confirmed(priced(work))
    assert work(buying) == FAILED
    failed = purchases.find_run(buying.pk)
    assert "the account's funds do not cover it" in failed.detail and failed.spent_micros == 0
    assert work(purchases.go_on(failed, "alice", queued)) == DONE


def test_what_a_request_may_cost_is_noted_before_it_is_sent(
    work: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a process that dies leaves its spending behind."""
    buying, noted, fetch = confirmed(priced(work)), [], Vendor.fetch

    def watched(self: Vendor, *given: Any) -> None:
        noted.append(VendorRun.objects.get(pk=buying.pk).spent_micros)
        fetch(self, *given)

    monkeypatch.setattr(Vendor, "fetch", watched)
    assert work(buying) == DONE
    assert noted == [PRICES[0], sum(PRICES[:2]), sum(PRICES)]


def test_a_second_purchase_of_a_series_waits(work: Callable[..., str]) -> None:
    one, two = priced(work), priced(work, start="2024-01-01", end="2024-02-01")
    first = confirmed(one)
    assert confirmed(one).pk == first.pk, "the same press twice"
    with pytest.raises(NotBuyable, match=f"purchase {first.pk} of MES.v.0 ohlcv-1m is under way"):
        confirmed(two)


def test_a_series_that_the_store_does_not_take_is_held(work: Callable[..., str]) -> None:
    buying = confirmed(priced(work, HOURS))
    assert work(buying) == DONE
    ended = purchases.find_run(buying.pk)
    assert ended.data_set is None and "the store does not take ohlcv-1h: the files are held" in ended.detail
    assert len(Archive(purchases.root(), HOURS).parts()) == 3 and not DataSet.objects.exists()


def test_a_file_that_changed_on_disk_is_not_stored(work: Callable[..., str]) -> None:
    assert work(confirmed(priced(work, start="2024-01-01", end="2024-02-01"))) == DONE
    (path,) = Archive(purchases.root(), MINUTES).folder.glob("*.dbn.zst")
    path.write_bytes(path.read_bytes()[:-1])
    buying = confirmed(priced(work))
    assert work(buying) == FAILED
    assert "is not the file that was bought" in purchases.find_run(buying.pk).detail
    assert DataSet.objects.count() == 1


def test_a_price_can_be_cancelled_and_fails_in_one_sentence(work: Callable[..., str], market: Market) -> None:
    class Impatient(VendorVoice):
        beat_s = 0.0

        def progress(self, rows: int) -> None:
            purchases.cancel(self.run_id, "olga")
            super().progress(rows)

    row = purchases.ask_price(HOURS, "2024-01-01", "", CAP, "olga", queued)
    assert work(row, Impatient) == CANCELLED and market.asked["get_cost"] == 0
    market.fault("get_cost", 402)
    row = purchases.ask_price(HOURS, "2024-01-01", "", CAP, "olga", queued)
    assert work(row) == FAILED and "funds do not cover it" in purchases.find_run(row.pk).detail
    row = purchases.ask_price(HOURS, "2010-01-01", "", CAP, "olga", queued)
    assert work(row) == FAILED and "data begin at 2024-01-01" in purchases.find_run(row.pk).detail


def test_without_a_key_it_says_which_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABENTO_API_KEY")
    row = purchases.ask_price(HOURS, "", "", CAP, "olga", queued)
    assert run_purchase(run_id=row.pk) == FAILED and run_purchase(run_id=row.pk) == ""
    assert "set DATABENTO_API_KEY" in purchases.find_run(row.pk).detail
    assert "set DATABENTO_API_KEY" in purchases.key_fault()
    monkeypatch.setitem(os.environ, "DATABENTO_API_KEY", KEY)
    assert purchases.key_fault() == ""


def test_a_lost_purchase_can_be_gone_on_with(work: Callable[..., str]) -> None:
    buying = confirmed(priced(work))
    long_ago = timezone.now() - timedelta(seconds=VendorRun.LOST_S + 1)
    VendorRun.objects.filter(pk=buying.pk).update(state=RUNNING, beat_at=long_ago)
    lost = purchases.find_run(buying.pk)
    assert lost.state == FAILED and "go on with it" in lost.detail and purchases.open_runs() == []
    again = purchases.go_on(lost, "alice", queued)
    assert again.pk != buying.pk and work(again) == DONE


def test_what_costs_more_than_it_did_is_not_bought(work: Callable[..., str], market: Market) -> None:
    """MES-DBN-05: the vendor is asked again before it is paid, however long ago a person confirmed."""
    buying = confirmed(priced(work))
    market.micros_a_record += 1
    assert work(buying) == FAILED and market.billed == []
    failed = purchases.find_run(buying.pk)
    assert "the month from 2024-01-01T00:00:00Z costs $0.133320 now, and $0.132000 were confirmed" in failed.detail
    assert failed.spent_micros == 0 and "ask for the price again" in failed.detail
    again = purchases.go_on(failed, "alice", queued)
    assert work(again) == FAILED and market.billed == []
    market.micros_a_record -= 2
    cheaper = purchases.go_on(purchases.find_run(again.pk), "alice", queued)
    assert work(cheaper) == DONE
    ended = purchases.find_run(cheaper.pk)
    assert ended.spent_micros == sum(days * 60 * 99 for days in OPEN_DAYS) < ended.cap_micros
    assert sum(part["micros"] for part in ended.report["parts"]) == ended.spent_micros


def test_a_month_that_has_other_records_by_now_is_sound(work: Callable[..., str], market: Market) -> None:
    """The vendor fills a month up after it was priced: what is promised is what it says when it is paid."""
    buying = confirmed(priced(work))
    plan = buying.plan
    for part in plan["parts"]:
        part[-1] -= 1
    VendorRun.objects.filter(pk=buying.pk).update(plan=plan)
    assert work(buying) == DONE and len(market.billed) == 3


def test_nothing_more_is_bought_behind_an_old_price(
    work: Callable[..., str], market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is paid already is stored, whenever somebody goes on."""
    old = timezone.now() - timedelta(days=1, seconds=1)
    row = priced(work)
    buying = confirmed(row)
    assert work(buying, Stopping) == CANCELLED
    VendorRun.objects.filter(pk=row.pk).update(finished_at=old)
    with pytest.raises(NotBuyable, match="older than a day: ask for the price again"):
        purchases.go_on(purchases.find_run(buying.pk), "alice", queued)
    row = priced(work)
    buying = confirmed(row)
    with monkeypatch.context() as broken:
        broken.setattr(at_work, "import_history", None)  # the store fails behind the last month
        with pytest.raises(TypeError):
            work(buying)
    VendorRun.objects.filter(pk=row.pk).update(finished_at=old)
    again = purchases.go_on(purchases.find_run(buying.pk), "alice", queued)
    assert work(again) == DONE and len(market.billed) == 3 and DataSet.objects.count() == 1


def test_a_price_is_bought_once(work: Callable[..., str], market: Market) -> None:
    """A second tab with the same page spends nothing, not even when the first purchase has failed already."""
    market.fault("get_range", "short")
    row = priced(work)
    buying = confirmed(row)
    assert work(buying) == FAILED
    spent = len(market.billed)
    with pytest.raises(NotBuyable, match=f"run {buying.pk} bought it already, or began to: open that run"):
        confirmed(row)
    sent: list[int] = []

    def noted(run_id: int) -> str:
        sent.append(run_id)
        return ""

    with pytest.raises(NotBuyable, match=f"run {buying.pk} bought it already"):  # it looked before the first one stood
        purchases._purchase(row, None, "alice", noted)
    failed = purchases.find_run(buying.pk)
    again = purchases.go_on(failed, "alice", queued)
    assert work(again) == FAILED
    with pytest.raises(NotBuyable, match=f"run {again.pk} bought it already"):  # two tabs that go on
        purchases._purchase(row, failed, "alice", noted)
    assert sent == [] and len(market.billed) == spent
    assert list(row.purchases.order_by("pk")) == [buying, again], "what came too late leaves no run"


def test_a_piece_that_was_bought_meanwhile_is_no_hole(
    work: Callable[..., str], market: Market, vendor_of: Callable[..., Vendor]
) -> None:
    """Nothing is skipped in silence, and nothing is paid twice: the rest is priced anew."""
    buying = confirmed(priced(work))
    archive = Archive(purchases.root(), MINUTES)
    begun = span_of("2024-02-01", "2024-02-10", purchases.plan_of(buying).span, timezone.now().date())
    archive.download(archive.plan(vendor_of(), begun), vendor_of(), CAP, "shell")
    assert work(buying) == FAILED and len(market.billed) == 1 and not DataSet.objects.exists()
    failed = purchases.find_run(buying.pk)
    assert "2024-02-10T00:00:00Z to 2024-03-01T00:00:00Z is missing: ask for the price again" in failed.detail
    with pytest.raises(NotBuyable, match="ask for the price again"):
        purchases.go_on(failed, "alice", queued)
    rest = priced(work)
    assert [part.start_ns for part, _ in purchases.plan_of(rest).parts][1] == begun.end_ns
    assert work(confirmed(rest)) == DONE and len(market.billed) == 4
    assert DataSet.objects.get().rows == sum(OPEN_DAYS) * 60


class Listening(VendorVoice):
    """Every figure with the step that it is of."""

    beat_s = 0.0
    heard: list[tuple[str, int, int]]

    def progress(self, rows: int) -> None:
        super().progress(rows)
        row = VendorRun.objects.get(pk=self.run_id)
        type(self).heard.append((row.step, row.done, row.total))


def test_the_bar_tells_the_step_at_work_and_a_killed_join_leaves_nothing(work: Callable[..., str]) -> None:
    buying = confirmed(priced(work))
    left = Archive(purchases.root(), MINUTES).folder / ".join" / "half.dbn.zst"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a worker that was killed")
    Listening.heard = []
    assert work(buying, Listening) == DONE
    records = sum(OPEN_DAYS) * 60
    said = {step: [figures for at, *figures in Listening.heard if at == step] for step, *_ in Listening.heard}
    assert list(said) == [at_work.ASKS, at_work.BUYS, at_work.JOINS, at_work.STORES]
    for step, total in ((at_work.ASKS, 3), (at_work.BUYS, records), (at_work.JOINS, records)):
        assert said[step][0] == [0, total] and said[step][-1] == [total, total] and said[step] == sorted(said[step])
    assert not left.parent.exists()


def test_a_price_that_was_lost_does_not_speak_of_months(work: Callable[..., str]) -> None:
    row = purchases.ask_price(HOURS, "", "", CAP, "olga", queued)
    long_ago = timezone.now() - timedelta(seconds=VendorRun.LOST_S + 1)
    VendorRun.objects.filter(pk=row.pk).update(state=RUNNING, beat_at=long_ago)
    lost = purchases.find_run(row.pk)
    assert lost.detail == "its process ended without a result; ask for the price again"
