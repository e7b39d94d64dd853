"""An engine and its feed in one hand: three simulated shares with two slots, time that of the tape."""

from pathlib import Path

import msgspec
import numpy as np

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.universe.records import SECOND_NS
from marketdata.feeds.port import Feed
from marketdata.feeds.registry import open_feed
from risk.core.records import MOEX
from tests.simulation.kit import make_spec
from trading.core.records import CONDITION
from trading.run.feeding.engine import FILES, FeedEngine, open_engine
from trading.run.spec import FeedSpec, InstrumentSpec, SessionSpec, UniverseSpec

HEDGE = "MXI"
SHARES = [name for name, listed in INSTRUMENTS.items() if listed.venue == "moex" and not listed.hedge][:3]
OPTIONS = {"backfill_s": "900", "rate": "0.2"}
Told = list[tuple[int, int, int]]  # (hold's bit, instrument, stands)


def spec_of(symbols: list[str], **universe: int) -> SessionSpec:
    """These instruments with two slots."""
    names = ("tick_value_micros", "fee_micros", "fee_ppm", "margin_micros", "tick_nanos", "lot", "hedge")
    rows = [
        InstrumentSpec(symbol, {name: int(getattr(INSTRUMENTS[symbol], name)) for name in names}) for symbol in symbols
    ]
    feed = FeedSpec("simulated", symbols, seed=5, options=OPTIONS)
    wanted = UniverseSpec(**{"active_max": 2, "rss_hard_bytes": 1 << 40, "rss_soft_bytes": 1 << 39} | universe)
    spec = make_spec()
    limits = spec.limits | {"rules": MOEX}
    return msgspec.structs.replace(spec, instruments=rows, feed=feed, universe=wanted, limits=limits)


class Driven:
    """An engine and its feed; time is the tape's."""

    def __init__(self, folder: Path, symbols: list[str] = SHARES, **universe: int) -> None:
        self.spec, self.folder = spec_of(symbols, **universe), folder
        self.feed: Feed = open_feed(self.spec.feed)
        self.now = self.feed.start_ns
        self.said: list[np.ndarray] = []
        self.told: Told = []
        self.fence = 0

    def start(self, fresh: bool = True) -> FeedEngine:
        self.fence += 1
        engine = open_engine(self.spec, self.folder, self.fence)
        assert engine is not None
        self.engine = engine
        engine.begin(self.now, self.feed.backfill() if fresh else None)
        self.hear([])
        return engine

    def run(self, seconds: int) -> None:
        """The tape goes on for so long."""
        self.now += seconds * SECOND_NS
        while True:
            batch = self.feed.read(self.now, 256)
            if len(batch.events) == 0:
                break
            self.hear(self.engine.feed(batch, int(batch.events["ts_ns"][-1])))
        self.hear(self.engine.until(self.now))

    def silence(self, seconds: int) -> None:
        """Nothing comes for so long."""
        for _ in range(seconds):
            self.now += SECOND_NS
            self.hear(self.engine.until(self.now))

    def hear(self, found: list[np.ndarray]) -> None:
        self.said += found
        rows = self.engine.conditions(self.now)
        assert (rows["kind"] == CONDITION).all()
        self.told += zip(rows["code"].tolist(), rows["instrument"].tolist(), rows["value"].tolist(), strict=True)

    def memory(self) -> Path:
        return max(self.folder.glob(FILES))

    def states(self) -> list[int]:
        return self.engine.live.members["state"].tolist()
