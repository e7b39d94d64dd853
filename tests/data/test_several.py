"""A file of several instruments: a data set each; one that cannot be taken stops no other."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from desk import batch
from desk.accounts.roles import OPERATOR
from marketdata import imports
from marketdata.core.instruments import INSTRUMENTS
from marketdata.feeds.books.recorded import Header, frame_bytes, head_bytes
from marketdata.feeds.registry import open_feed
from marketdata.models import DONE, WAITING, DataSet, ImportRun
from marketdata.selectors import data_set_path
from marketdata.services import instruments_of
from marketdata.store.importing import remove_data_set
from marketdata.store.partitions import file_hash
from tests.data.kit import signed_in
from tests.feeds.recordings import ES_ID, NQ_ID, SECOND, T0, trade, write_dbn
from tests.run.feeding.kit import SHARES, spec_of
from tests.shell.frames import make_session
from trading import services
from trading.run.spec import SPEC_FILE

pytestmark = pytest.mark.django_db
BOTH = {"ESH4": ES_ID, "NQH4": NQ_ID, "ZZH4": 5}


def two(path: Path) -> Path:
    """Trades of ES and NQ, one second each, and a third root that is no instrument of the desk."""
    rows = [trade(5000, k + 1, T0 + k * SECOND) for k in range(5)]
    rows += [trade(17_000, 1, T0 + k * SECOND + 1, instrument_id=NQ_ID) for k in range(3)]
    rows.sort(key=lambda row: row.ts_recv)
    return write_dbn(path, dbn.Schema.TRADES, rows, BOTH)


def test_the_command_takes_each_instrument_out_of_a_file(inbox: Path) -> None:
    path = two(inbox / "both.dbn")
    assert sorted(instruments_of(path)) == ["ES", "NQ"]
    out = StringIO()
    call_command("import_history", str(path), "--symbol", "all", "--json", stdout=out)
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert sorted(one["symbols"][0] for one in told) == ["ES", "NQ"]
    rows = {row.symbols[0]: row for row in DataSet.objects.all()}
    assert (
        rows["ES"].report["dropped"]["other_instruments"] == 3
        and rows["NQ"].report["dropped"]["other_instruments"] == 5
    )
    stored = [data_set_path(rows[name]) for name in ("ES", "NQ")]
    assert stored[0].samefile(stored[1]), "the bytes of one file are kept once"
    plain = write_dbn(inbox / "x.dbn", dbn.Schema.TRADES, [trade(1, 1, T0, instrument_id=5)], {"ZZH4": 5})
    with pytest.raises(CommandError, match="names no instrument of this desk"):
        call_command("import_history", str(plain), "--symbol", "ALL")
    half = write_dbn(inbox / "half.dbn", dbn.Schema.TRADES, [trade(5000, 1, T0)], BOTH)
    err = StringIO()
    with pytest.raises(CommandError, match="1 could not be stored, the others were"):
        call_command("import_history", str(half), str(path), "--symbol", "ALL", stdout=StringIO(), stderr=err)
    assert "left out NQ" in err.getvalue(), "one that has no event stops no other"
    remove_data_set(stored[0])
    assert file_hash(stored[1]) == file_hash(path), "what one gives up, the other keeps"


def test_the_page_queues_one_import_an_instrument(client: Client, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "send", lambda task, **fields: "")
    two(inbox / "both.dbn")
    signed_in(client, "olga", OPERATOR)
    fields = {"folder": str(inbox), "file": "both.dbn", "symbol": "ALL"}
    page = client.get("/data/import/", fields).content.decode()
    assert "it holds" in page and "Import each: " in page
    answer = client.post("/data/import/start/", fields, follow=True)
    assert answer.redirect_chain[-1][0] == "/data/" and "2 imports wait for one another" in answer.content.decode()
    runs = list(ImportRun.objects.order_by("id"))
    assert sorted(run.symbol for run in runs) == ["ES", "NQ"] and {run.state for run in runs} == {WAITING}
    assert [imports.run(run.pk) for run in runs] == [DONE, DONE] and DataSet.objects.count() == 2
    (inbox / "p.csv").write_text("timestamp,open,high,low,close,volume\n2024-01-02T15:00:00Z,1,1,1,1,1\n")
    refused = client.post("/data/import/start/", fields | {"file": "p.csv"})
    assert refused.status_code == 422 and "choose the one it is of" in refused.content.decode()


def test_a_session_of_shares_is_recorded_whole(settings: Any) -> None:
    """`record --books --symbol ALL`: a data set a share; of one that has no book it is said."""
    session = make_session(status="ended")
    folder = services.session_folder(session.id)
    symbols = SHARES[:2]
    spec = msgspec.structs.replace(spec_of(SHARES), id=session.id, key=session.key)
    (folder / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
    feed = open_feed(spec_of(symbols).feed)
    batches = [feed.read(2**62, 256) for _ in range(20)]
    feed.close()
    head = head_bytes(Header(symbols, [INSTRUMENTS[name].tick_nanos for name in symbols], session.key))
    (folder / "feed-00000001.rec").write_bytes(head + b"".join(map(frame_bytes, batches)))
    assert instruments_of(folder / "feed-00000001.rec") == symbols
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError, match="could not be stored, the others were"):
        call_command("record", str(session.id), "--books", "--symbol", "ALL", "--json", stdout=out, stderr=err)
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [DataSet.objects.get(pk=one["id"]).symbols for one in told] == [[name] for name in symbols]
    assert f"left out {SHARES[2]}" in err.getvalue() and "recorded" in err.getvalue()
