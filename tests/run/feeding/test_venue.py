"""The feed loop's side of the venue: what it missed is told, whatever it is given first."""

import numpy as np

from marketdata.core.records import new_depths, new_events
from marketdata.feeds.port import Batch
from trading.run.feeding.venue import VenueSide


class Venue:
    """Takes everything, and has the first five events of the tape."""

    def connect(self) -> int:
        return 5

    def market(self, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray, position: int) -> None:
        pass

    def close(self) -> None:
        pass


def batch(count: int, position: int) -> Batch:
    """So many events up to this place on the tape; -1: they have none."""
    return Batch(new_events(count), new_depths(0), np.full(count, -1, np.int32), position, False)


def test_a_batch_without_a_place_first_hides_nothing_that_the_venue_missed_mes_bt_01() -> None:
    side, told = VenueSide(Venue()), list[np.ndarray]()
    for given in (batch(2, -1), batch(3, 10), batch(3, 13)):
        side.give(given, 1, told.append)
    (event,) = np.concatenate(told)
    assert (event["value"], event["qty"]) == (5, 2)
