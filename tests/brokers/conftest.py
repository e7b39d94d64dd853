"""The brokers under acceptance: each entry of FACTORIES runs the whole list in test_acceptance.py."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.brokers.desk import Bench, PaperBench, VenueProcess

BIDS = [(100, 5), (99, 5), (98, 5)]
ASKS = [(101, 5), (102, 5), (103, 5)]
_names = itertools.count(1)


@pytest.fixture(scope="module")
def venue() -> Iterator[VenueProcess]:
    """One venue process for a module; every test has an account of its own."""
    with tempfile.TemporaryDirectory(prefix="venue-") as folder:
        process = VenueProcess(Path(folder) / "v")
        process.start()
        yield process
        process.kill()


def paper(venue: VenueProcess) -> Bench:
    bench = PaperBench(venue, f"s{next(_names)}")
    bench.book(BIDS, ASKS)
    return bench


FACTORIES: dict[str, Callable[[VenueProcess], Bench]] = {"paper": paper}


@pytest.fixture(params=sorted(FACTORIES))
def bench(request: pytest.FixtureRequest, venue: VenueProcess) -> Iterator[Bench]:
    """A broker, connected, flat, before a book of 3 levels a side with 5 each: bids from 100, asks from 101."""
    bench = FACTORIES[request.param](venue)
    yield bench
    bench.close()
