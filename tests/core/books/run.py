"""What these tests share: messages through the product, in blocks of any size, as arrays."""

from typing import NamedTuple

import numpy as np

from marketdata.core.books import deltas, orders
from marketdata.core.depth import Book, grow_levels, grow_orders, new_book
from marketdata.core.records import new_depths, new_events


class Made(NamedTuple):
    """Events of a run with their depths."""

    events: np.ndarray
    depths: np.ndarray
    depth_of: np.ndarray


class Parts:
    """Pieces of a run, put together at the end."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.depth_total = 0

    def fresh(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return new_events(self.room), new_depths(self.room), np.full(self.room, -1, np.int32)

    def keep(self, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray, count: int, books: int) -> None:
        place = depth_of[:count]
        self.pieces.append((events[:count], depths[:books], np.where(place >= 0, place + self.depth_total, -1)))
        self.depth_total += books

    def whole(self) -> Made:
        return Made(*(np.concatenate(column) for column in zip(*self.pieces, strict=True)))


def through_l2(
    messages: np.ndarray, changes: np.ndarray, room: int = 4096, l2: deltas.L2 | None = None
) -> tuple[Made, deltas.L2]:
    """L2 messages → events; the book at the end."""
    l2 = deltas.new_l2(1, 16) if l2 is None else l2
    parts, k = Parts(room), 0
    while k < len(messages):
        room_for = parts.fresh()
        k, count, books, why = deltas.l2_events(l2, messages, changes, k, *room_for)
        parts.keep(*room_for, count, books)
        if why == deltas.GROW:
            l2 = deltas.grow(l2)
    return parts.whole(), l2


def through_orders(messages: np.ndarray, before: np.ndarray | None, room: int = 4096) -> tuple[Made, Book, np.ndarray]:
    """Order messages → events; the book and the counts at the end."""
    book, counts = new_book(1, 1 << 10, 1 << 8), orders.new_counts()
    if before is not None:
        orders.seed(book, 0, before, 0)
    parts, k = Parts(room), 0
    while k < len(messages):
        room_for = parts.fresh()
        k, count, books, why = orders.order_events(book, counts, messages, k, *room_for)
        parts.keep(*room_for, count, books)
        if why == orders.GROW_ORDERS:
            book = grow_orders(book)
        elif why == orders.GROW_LEVELS:
            book = grow_levels(book)
    return parts.whole(), book, counts
