"""Where two results part: the first trade that is not the same, whatever of it differs."""

import polars as pl

from desk.backtests.differing import COLUMNS, parting


def trades(count: int, **changed: tuple[int, str | None]) -> pl.DataFrame:
    """`count` trades a minute apart; `changed` is column → (row, other value)."""
    rows = []
    for k in range(count):
        row: dict[str, str | None] = {name: name for name in COLUMNS}
        row["entry_time"] = f"2024-01-02T15:{k:02d}:00Z"
        rows.append(row | {name: value for name, (at, value) in changed.items() if at == k})
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String))


def test_the_same_trades_part_nowhere() -> None:
    assert parting(trades(5), trades(5)) is None
    assert parting(trades(0), trades(0)) is None
    empty = trades(3, target_price=(1, None))
    assert parting(empty, empty) is None, "two empty cells are the same"


def test_the_first_difference_is_named_in_every_column() -> None:
    for name in COLUMNS[1:]:
        found = parting(trades(5), trades(5, **{name: (3, "other")}))
        assert found is not None and (found.same, found.names) == (3, [name]), name
        assert found.ours is not None and found.theirs is not None
        assert (found.ours[name], found.theirs[name]) == (name, "other")
        assert found.at == "2024-01-02T15:03:00Z"
    gone = parting(trades(5), trades(5, stop_price=(2, None)))
    assert gone is not None and (gone.same, gone.names) == (2, ["stop_price"])


def test_one_result_goes_on_where_the_other_ended() -> None:
    found = parting(trades(2), trades(4))
    assert found is not None and (found.same, found.ours, found.names) == (2, None, [])
    assert found.theirs is not None and found.at == "2024-01-02T15:02:00Z"
    found = parting(trades(1), trades(0))
    assert found is not None and found.theirs is None and found.same == 0


def test_the_earlier_of_two_entries_is_the_moment() -> None:
    found = parting(trades(3), trades(3, entry_time=(1, "2024-01-02T15:00:30Z")))
    assert found is not None and found.at == "2024-01-02T15:00:30Z" and found.names == ["entry_time"]
