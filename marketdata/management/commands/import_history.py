"""`manage.py import_history SRC...`: recorded files into the store, with an estimate first and a report after."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from marketdata.feeds.options import KNOWN
from marketdata.feeds.port import FeedError
from marketdata.models import DataSet
from marketdata.services import estimate_import, import_history

# options that make no sense for a stored file: it is replayed as what it is
REPLAY_ONLY = ("start", "as_symbol")


class Command(BaseCommand):
    help = (
        "Import recorded market data (Parquet, CSV, Finam or LEAN exports, Databento DBN) into the store. Bars become"
        " Parquet; rows that cannot be used are dropped and counted; a file of which too many rows are bad is refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", nargs="+", type=Path, metavar="SRC", help="file to import")
        parser.add_argument("--symbol", required=True, help="instrument of the file, like ES or SBER")
        parser.add_argument("--schema", default="", help="schema that a DBN file must have (default: what it has)")
        for name, words in KNOWN.items():
            if name not in REPLAY_ONLY:
                parser.add_argument(f"--{name.replace('_', '-')}", default="", help=words)
        parser.add_argument("--estimate-only", action="store_true", help="print the size estimate and read nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object per file")

    def handle(self, *args: Any, **arguments: Any) -> None:
        options = {name: arguments[name] for name in KNOWN if arguments.get(name)}
        for path in arguments["source"]:
            try:
                self._import(path, options, arguments)
            except FeedError as error:
                raise CommandError(str(error)) from None

    def _import(self, path: Path, options: dict[str, str], arguments: dict[str, Any]) -> None:
        size = estimate_import(path, options)
        if arguments["estimate_only"]:
            self._estimate(path, size.format, size.rows, size.disk_bytes, arguments["json"])
            return
        quiet = arguments["json"] or not sys.stderr.isatty()
        with tqdm(total=size.rows, unit="row", desc=path.name, disable=quiet) as bar:
            stored = import_history(
                path,
                symbol=arguments["symbol"].upper(),
                options=options,
                schema=arguments["schema"],
                progress=lambda rows: bar.update(rows - bar.n),
            )
        self._report(stored, arguments["json"])

    def _estimate(self, path: Path, kind: str, rows: int, disk_bytes: int, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"source": str(path), "format": kind, "rows": rows, "disk_bytes": disk_bytes}))
        else:
            self.stdout.write(f"{path}: {kind}, about {rows} rows, {disk_bytes / 2**20:.1f} MiB on disk")

    def _report(self, stored: DataSet, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"id": stored.pk, "rows": stored.rows, **stored.report}))
            return
        self.stdout.write(f"data set {stored.pk}: {stored}, {stored.path}")
        for reason, count in stored.report["dropped"].items():
            self.stdout.write(f"  left out {count}: {reason}")
        for row, reason in stored.report["examples"]:
            self.stdout.write(f"    row {row}: {reason}")
