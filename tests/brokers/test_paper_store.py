"""The account's file: what was committed is there after any crash, to the byte; nothing else is."""

import random
from pathlib import Path

import numpy as np
import pytest

from marketdata.core.records import EVENT
from tests.brokers.desk import paper_terms
from tests.core.venue.kit import Floor
from tests.core.venue.tape import drive
from trading.brokers import paper_store
from trading.brokers.paper_account import Account
from trading.brokers.paper_store import Store, StoreError


def tables(account: Account | Store) -> list[bytes]:
    return [table.tobytes() for table in account.venue]


def play(account: Account, seed: int, steps: int) -> None:
    """Random market and orders through the account's own venue; answers go into its history."""
    floor = Floor("book")
    floor.venue = account.venue
    drive(floor, random.Random(seed), steps)
    account.store.history += b"".join(row.tobytes() for row in floor.rows)


def test_restart_after_every_record_gives_the_same_state(tmp_path: Path) -> None:
    """Restart = replay of the file, whatever record was the last."""
    path = tmp_path / "s1.account"
    account = Account.create(path, paper_terms())
    for seed in range(25):
        play(account, seed, 8)
        account.commit()
        again = Account.open(path)
        assert tables(again) == tables(account)
        assert again.store.history == account.store.history
        assert again.meta == account.meta
        again.store.close()
    refs = np.frombuffer(bytes(account.store.history), EVENT)["ref"]
    assert list(refs) == list(range(1, len(refs) + 1))


def test_torn_tail_is_cut_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "s1.account"
    account = Account.create(path, paper_terms())
    play(account, 1, 20)
    account.commit()
    whole, before = path.read_bytes(), tables(account)
    play(account, 2, 3)
    account.commit()
    data = path.read_bytes()
    assert len(data) > len(whole)
    for length in range(len(whole), len(data), 97):
        path.write_bytes(data[:length])
        again = Account.open(path)
        assert tables(again) == before
        assert path.stat().st_size == len(whole)
        again.store.close()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert tables(Account.open(path)) == before


def test_file_does_not_grow_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_store, "COMPACT_BYTES", 160_000)
    monkeypatch.setattr(paper_store, "HISTORY_KEPT", 50)
    path = tmp_path / "s1.account"
    account = Account.create(path, paper_terms())
    sizes = []
    for seed in range(120):
        play(account, seed, 30)
        account.commit()
        sizes.append(path.stat().st_size)
    assert max(sizes) < 260_000
    assert account.meta.first_ref > 1
    again = Account.open(path)
    assert tables(again) == tables(account)
    last = again.last_ref
    assert np.frombuffer(again.since(last - 2), EVENT)["ref"].tolist() == [last - 1, last]
    with pytest.raises(LookupError):
        again.since(0)
    with pytest.raises(LookupError):
        again.since(last + 1)


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s1.account"
    path.write_bytes(b"something else entirely")
    with pytest.raises(StoreError, match="not an account"):
        Account.open(path)
    path.write_bytes(paper_store.MAGIC + b"torn")
    with pytest.raises(StoreError, match="no complete record"):
        Account.open(path)
