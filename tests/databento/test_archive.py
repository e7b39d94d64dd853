"""MES-DBN-03 to -08: bought once, whole or not at all, within the cap; killed anywhere, the same bytes at the end."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import databento
import pytest

from marketdata.databento.archive import Archive, Cancelled, Part, dollars, recheck
from marketdata.databento.client import Vendor
from marketdata.databento.request import DatabentoError, Span, day_ns, series
from tests.bootstrap import ROOT
from tests.databento.server import END, IDS, KEY, Market

CAP = 5_000_000
WHOLE = Span(day_ns("2024-01-01"), END)
DAMAGE = ("cut", "cut frame", "flipped", "half a record", "short", "order", "stray", "schema", "unknown", "empty")


def buy(archive: Archive, vendor: Vendor, span: Span = WHOLE, cap: int = CAP) -> list[Part]:
    return archive.download(archive.plan(vendor, span), vendor, cap, "test")


def files(archive: Archive) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in archive.folder.iterdir() if path.name != ".lock"}


def ledger(archive: Archive) -> list[dict[str, object]]:
    return [json.loads(line) for line in (archive.root / "ledger.jsonl").read_text().splitlines()]


def test_a_download_is_a_file_a_month_with_its_sidecar(archive: Archive, vendor: Vendor, market: Market) -> None:
    """MES-DBN-03: the mapping is kept, and a roll comes from it."""
    parts = buy(archive, vendor)
    assert [part.found.records for part in parts] == [31 * 24, 29 * 24, 10 * 24 + 12]
    assert [part.span for part in parts] == market.billed
    assert [part.found.rolls for part in parts] == [[], [["2024-02-15", str(IDS[0]), str(IDS[1])]], []]
    assert parts == archive.parts()
    assert [recheck(part, archive.series) for part in parts] == ["", "", ""]


def test_the_vendors_own_reader_reads_what_is_held(archive: Archive, vendor: Vendor) -> None:
    part = buy(archive, vendor)[1]
    rows = databento.DBNStore.from_file(part.path).to_ndarray()
    assert rows.size == part.found.records == 29 * 24
    assert (int(rows["ts_event"][0]), int(rows["ts_event"][-1])) == (part.found.first_ns, part.found.last_ns)
    assert set(rows["instrument_id"].tolist()) == set(IDS)


def test_what_is_held_is_never_bought_again(archive: Archive, vendor: Vendor, market: Market) -> None:
    """MES-DBN-05, also for a span that lies across what is held."""
    buy(archive, vendor, Span(day_ns("2024-01-10"), day_ns("2024-02-10")))
    billed = len(market.billed)
    again = archive.plan(vendor, Span(day_ns("2024-01-12"), day_ns("2024-02-01")))
    assert again.parts == [] and archive.download(again, vendor, CAP, "test") == []
    buy(archive, vendor)
    spans = sorted(market.billed)
    assert len(spans) == billed + 3 + 0
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans)), "no hole, no overlap"


def test_an_update_takes_what_came_since_mes_dbn_08(archive: Archive, vendor: Vendor, market: Market) -> None:
    market.end_ns = day_ns("2024-01-20") + 3600 * 10**9 * 5  # in the middle of a day
    buy(archive, vendor, vendor.available(archive.series))
    assert archive.update_span(vendor.available(archive.series)) is None
    market.end_ns = END
    span = archive.update_span(vendor.available(archive.series))
    assert span is not None
    buy(archive, vendor, span)
    total = sum(part.found.records for part in archive.parts())
    assert total == (END - day_ns("2024-01-01")) // (3600 * 10**9)


def test_nothing_to_update(tmp_path: Path, vendor: Vendor) -> None:
    with pytest.raises(DatabentoError, match=r"nothing of MES.v.0 trades is held: download it first"):
        Archive(tmp_path, series("MES.v.0", "trades")).update_span(WHOLE)


def test_above_the_cap_nothing_is_asked_for(archive: Archive, vendor: Vendor, market: Market) -> None:
    market.micros_a_record = 4000
    with pytest.raises(DatabentoError, match=r"it costs \$6.77, more than the cap of \$5.00: nothing was bought"):
        buy(archive, vendor)
    assert market.billed == []


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_is_bought_again_and_is_whole(
    archive: Archive, vendor: Vendor, market: Market, slept: list[float], damage: str
) -> None:
    market.fault("get_range", damage)
    parts = buy(archive, vendor)
    assert len(parts) == 3 and len(market.billed) == 4 and slept == [1.0]
    assert [line["event"] for line in ledger(archive)] == ["asked", "failed", *["asked", "held"] * 3]
    assert not [name for name in files(archive) if name.endswith(".part")]
    assert all(recheck(part, archive.series) == "" for part in parts)


def test_damage_again_and_again_stops_at_the_cap(archive: Archive, vendor: Vendor, market: Market) -> None:
    market.fault("get_range", *["short"] * 9)
    with pytest.raises(DatabentoError, match=r"another attempt would pass the cap"):
        buy(archive, vendor, cap=170_000)  # January costs 0.0744 dollars: a third attempt would not fit
    assert len(market.billed) == 2 and archive.parts() == []


def test_damage_again_and_again_stops_after_four_attempts(archive: Archive, vendor: Vendor, market: Market) -> None:
    market.fault("get_range", *["short"] * 9)
    with pytest.raises(DatabentoError, match=r"holds 743 records, the vendor promised 744"):
        buy(archive, vendor)
    assert len(market.billed) == 4 and archive.parts() == []


def test_too_many_requests_is_no_purchase(archive: Archive, vendor: Vendor, market: Market, slept: list[float]) -> None:
    market.fault("get_range", 429, 503)
    assert len(buy(archive, vendor, cap=170_000)) == 3
    assert len(market.billed) == 3 and slept == [7.0, 2.0]


def test_without_funds_the_months_before_stay(archive: Archive, vendor: Vendor, market: Market) -> None:
    plan = archive.plan(vendor, WHOLE)
    seen: list[int] = []

    def after_one(*_: object) -> None:
        seen.append(1)
        market.fault("get_range", 402)

    with pytest.raises(DatabentoError, match=r"2024-02-01T00:00:00Z: the account's funds do not cover it"):
        archive.download(plan, vendor, CAP, "test", progress=after_one)
    assert len(archive.parts()) == 1 == len(seen)


def test_a_stop_keeps_what_is_there(archive: Archive, vendor: Vendor, market: Market) -> None:
    with pytest.raises(Cancelled, match=r"stopped; 1 parts are held"):
        archive.download(archive.plan(vendor, WHOLE), vendor, CAP, "test", cancelled=lambda: len(market.billed) == 1)
    assert len(buy(archive, vendor)) == 2 and len(market.billed) == 3


def test_two_downloads_of_a_series_do_not_meet(archive: Archive, vendor: Vendor, market: Market) -> None:
    with archive.locked(), pytest.raises(DatabentoError, match=r"another download of MES.v.0 is running"):
        buy(Archive(archive.root, archive.series), vendor)
    assert market.billed == []


def test_a_file_that_changed_is_found_out(archive: Archive, vendor: Vendor) -> None:
    part = buy(archive, vendor)[0]
    data = bytearray(part.path.read_bytes())
    data[len(data) // 2] ^= 1
    part.path.write_bytes(data)
    assert "is not the file that was bought" in recheck(part, archive.series)
    part.path.unlink()
    assert "No such file" in recheck(part, archive.series)


def test_a_whole_file_without_its_sidecar_is_taken_over(archive: Archive, vendor: Vendor, market: Market) -> None:
    """A kill between the two costs nothing: under its own name, and under the temporary one."""
    parts = buy(archive, vendor)
    for path in archive.folder.glob("*.json"):
        path.unlink()
    parts[1].path.rename(parts[1].path.with_name(f".{parts[1].path.name}.part"))
    assert buy(archive, vendor) == parts
    assert len(market.billed) == 3


CHILD = """
import sys
from pathlib import Path
from marketdata.databento.archive import Archive
from marketdata.databento.client import Vendor
from marketdata.databento.request import Span, series
root, key, gateway, start, end = sys.argv[1:]
vendor = Vendor(key, gateway, pause_s=0.0)
archive = Archive(Path(root), series("MES.v.0", "ohlcv-1h"))
archive.download(archive.plan(vendor, Span(int(start), int(end))), vendor, 10**9, "child")
"""


@pytest.mark.processes
def test_killed_at_random_points_it_ends_with_the_same_bytes(
    archive: Archive, vendor_of: Callable[..., Vendor], place: tuple[Market, str], pem: Path, tmp_path: Path
) -> None:
    market, gateway = place
    whole = Archive(tmp_path / "whole", archive.series)
    buy(whole, vendor_of())
    size = market.total_sent
    market.slow_piece = 512
    chance = random.Random(20)
    arguments = [str(archive.root), KEY, gateway, str(WHOLE.start_ns), str(WHOLE.end_ns)]
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(pem)}
    for _ in range(3):
        market.total_sent = 0
        point = chance.randrange(1, size)
        child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], cwd=ROOT, env=environment)
        market.sent = lambda total, child=child, point=point: (  # type: ignore[misc]
            child.send_signal(signal.SIGKILL) if total >= point else None
        )
        assert child.wait(120) in (-signal.SIGKILL, 0)
    market.sent = lambda total: None
    subprocess.run([sys.executable, "-c", CHILD, *arguments], cwd=ROOT, env=environment, check=True, timeout=120)
    assert files(archive) == files(whole)


def test_a_cost_is_never_told_too_low() -> None:
    assert [dollars(micros) for micros in (0, 1, 10_000, 5_000_001)] == ["0.00", "0.01", "0.01", "5.01"]


def test_what_was_bought_since_the_plan_was_made_is_not_bought_again(
    archive: Archive, vendor: Vendor, market: Market
) -> None:
    plan = archive.plan(vendor, WHOLE)
    month = plan.parts[0][0]
    buy(archive, vendor, month)
    held = archive.download(plan, vendor, CAP, "test")
    assert len(held) == len(plan.parts) == len(market.billed)


def test_a_piece_that_was_bought_since_the_plan_was_made_is_not_paid_twice(
    archive: Archive, vendor: Vendor, market: Market
) -> None:
    plan = archive.plan(vendor, WHOLE)
    month = plan.parts[0][0]
    buy(archive, vendor, Span(month.start_ns, month.start_ns + 86_400 * 10**9))
    with pytest.raises(DatabentoError, match="was bought meanwhile: ask for the price again"):
        archive.download(plan, vendor, CAP, "test")
    assert len(market.billed) == 1
