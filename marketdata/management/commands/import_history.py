"""`manage.py import_history SRC...`: recorded files into the store, with an estimate first and a report after."""

import dataclasses
import getpass
import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from marketdata.feeds.books.names import BOOKS
from marketdata.feeds.options import KNOWN
from marketdata.feeds.port import FeedError
from marketdata.memory.guard import MemoryRefused
from marketdata.models import DataSet
from marketdata.services import estimate_import, import_history, instruments_of
from marketdata.store.report import Estimate

# options that make no sense for a stored file: it is replayed as what it is
REPLAY_ONLY = ("start", "as_symbol")
ALL = "ALL"


class Command(BaseCommand):
    help = (
        "Import recorded market data (Parquet, CSV, Finam or LEAN exports, Databento DBN, books of LOBSTER or Binance)"
        " into the store. Bars become Parquet, a file a month; rows that cannot be used are dropped and counted; a file"
        " of which too many rows are bad is refused. Ctrl-C stops an import with nothing half done; the same command"
        " again goes on from its last whole month or part."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", nargs="+", type=Path, metavar="SRC", help="file to import")
        parser.add_argument(
            "--symbol", required=True, help="instrument of the file, like ES or SBER; ALL: each that it holds"
        )
        parser.add_argument("--schema", default="", help="schema that a DBN file must have (default: what it has)")
        for name, words in KNOWN.items():
            if name not in REPLAY_ONLY:
                parser.add_argument(f"--{name.replace('_', '-')}", default="", help=words)
        parser.add_argument("--estimate-only", action="store_true", help="print the size estimate and read nothing")
        parser.add_argument(
            "--skip-memory-check", default="", metavar="WHY", help="import without the check of free memory; logged"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object per file")

    def handle(self, *args: Any, **arguments: Any) -> None:
        """Exit status 0 when all is stored, 1 for a refusal or an instrument that was left out, 130 for Ctrl-C."""
        options = {name: arguments[name] for name in KNOWN if arguments.get(name)}
        left_out = 0
        for path in arguments["source"]:
            try:
                if arguments["symbol"].upper() == ALL:
                    left_out += self._import_all(path, options, arguments)
                else:
                    self._import(path, options, arguments)
            except (FeedError, MemoryRefused) as error:
                raise CommandError(str(error)) from None
            except (OSError, MemoryError) as error:
                what = str(error) or "out of memory"
                raise CommandError(
                    f"{what}; nothing of {path.name} was stored; the same command goes on from its last whole month"
                ) from None
            except KeyboardInterrupt:
                raise CommandError(
                    f"stopped; nothing of {path.name} was stored; the same command goes on from its last whole month",
                    returncode=130,
                ) from None
        if left_out:
            raise CommandError(f"{left_out} could not be stored, the others were")

    def _import_all(self, path: Path, options: dict[str, str], arguments: dict[str, Any]) -> int:
        """A data set of each instrument that the file holds; one that cannot be taken stops no other.  Returns how many
        could not be.  Raises FeedError when that is all of them."""
        symbols = instruments_of(path)
        if not symbols:
            raise FeedError(f"{path} names no instrument of this desk: say which one it is of with --symbol")
        refused = []
        for symbol in symbols:
            try:
                self._import(path, options, arguments | {"symbol": symbol})
            except (FeedError, MemoryRefused) as error:
                refused.append(f"{symbol}: {error}")
        if len(refused) == len(symbols):
            raise FeedError("; ".join(refused))
        for words in refused:
            self.stderr.write(f"left out {words}")
        return len(refused)

    def _import(self, path: Path, options: dict[str, str], arguments: dict[str, Any]) -> None:
        size = estimate_import(path, options)
        if arguments["estimate_only"]:
            self._estimate(path, size, arguments["json"])
            return
        quiet = arguments["json"] or not sys.stderr.isatty()
        with tqdm(total=size.rows, unit="row", desc=path.name, disable=quiet) as bar:
            stored = import_history(
                path,
                symbol=arguments["symbol"].upper(),
                options=options,
                schema=arguments["schema"],
                skip_memory_check=arguments["skip_memory_check"],
                by=f"shell:{getpass.getuser()}",
                progress=lambda rows: bar.update(rows - bar.n),
            )
        self._report(stored, arguments["json"])

    def _estimate(self, path: Path, size: Estimate, as_json: bool) -> None:
        if as_json:
            plain = {"source": str(path), **dataclasses.asdict(size)}
            self.stdout.write(json.dumps(plain))
            return
        self.stdout.write(f"{path}: {size.format}, about {size.rows} rows, {size.disk_bytes / 2**20:.1f} MiB on disk")
        verdict = size.verdict
        self.stdout.write(
            f"  loaded whole it would take up to {size.load_bytes / 2**20:.1f} MiB of {verdict['available_mb']:.1f} MiB"
            f" available ({verdict['limited_by']}): {verdict['reason'] or verdict['warning'] or 'it fits'}"
        )
        if size.peak_bytes:
            self.stdout.write(f"  as it was measured, about {size.peak_bytes / 2**20:.1f} MiB")
        self.stdout.write(f"  in chunks: {size.chunk_rows} rows at a time")
        if note := size.import_verdict["reason"] or size.import_verdict["warning"] or size.disk_warning:
            self.stdout.write(f"  the import: {note}")

    def _report(self, stored: DataSet, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"id": stored.pk, "rows": stored.rows, **stored.report}))
            return
        held = ", which was there already" if stored.report.get("held") else ""
        self.stdout.write(f"data set {stored.pk}: {stored}, {stored.path}{held}")
        for reason, count in stored.report["dropped"].items():
            self.stdout.write(f"  left out {count}: {reason}")
        for row, reason in stored.report["examples"]:
            self.stdout.write(f"    row {row}: {reason}")
        for words, count in stored.report.get("verdicts", {}).items():
            self.stdout.write(f"  {words}: {count}")
        for at, before, after in stored.report.get("rolls", []):
            self.stdout.write(f"  roll from {before} to {after} at {at} ns UTC")
        if gaps := stored.report.get("gaps"):
            where = "gaps of the feed" if stored.kind == BOOKS else "gaps within sessions"
            self.stdout.write(f"  {len(gaps)} {where}, the first from {gaps[0][0]} to {gaps[0][1]} ns UTC")
