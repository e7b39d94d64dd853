"""`manage.py databento …`: history from the vendor: priced first, bought once, checked to its end."""

import getpass
import json
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from marketdata.databento.archive import Archive, Plan, archives, dollars, recheck, refuse_above
from marketdata.databento.request import (
    CAP_DOLLARS,
    DATASET,
    SCHEMAS,
    YEARS_BACK,
    DatabentoError,
    cap_micros_of,
    series,
    span_of,
    words,
)
from marketdata.jobs.purchases import open_vendor, root


class Command(BaseCommand):
    help = (
        "Buy history from Databento into var/databento, one DBN file a month. The cost is asked first and shown;"
        " nothing is bought without --yes or a typed yes, nothing above --cap, and nothing twice. The key comes from"
        " DATABENTO_API_KEY, or from the file of mode 0600 that DATABENTO_API_KEY_FILE names. Ctrl-C keeps the months"
        " that are there; the same command goes on with the next. The page /data/databento/ does the same, and puts the"
        " whole series into the store; import_history takes a month."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        for verb, words_ in (
            ("estimate", "dollars, bytes and records of what is not held yet"),
            ("download", "the same, then buy it"),
            ("update", "buy what came since the last download of a series"),
        ):
            each = verbs.add_parser(verb, help=words_)
            each.add_argument("symbol", help="MES.v.0 (front month by volume), MES.FUT (parent), MESH6 (contract)")
            each.add_argument("schema", help=", ".join(SCHEMAS))
            each.add_argument("--dataset", default=DATASET)
            if verb != "update":
                each.add_argument("--start", default="", help=f"first UTC day; {YEARS_BACK} years back when absent")
                each.add_argument("--end", default="", help="UTC day after the last; what there is when absent")
            if verb != "estimate":
                each.add_argument(
                    "--cap", default=CAP_DOLLARS, help="most dollars this run may cost (default %(default)s)"
                )
                each.add_argument("--yes", action="store_true", help="buy without asking")
            each.add_argument("--json", action="store_true", help="print one JSON object")
        for verb, words_ in (("list", "what is held"), ("verify", "read every held file again, to its end")):
            verbs.add_parser(verb, help=words_).add_argument(
                "--json", action="store_true", help="print one JSON object"
            )

    def handle(self, *args: Any, **given: Any) -> None:
        try:
            if given["verb"] in ("list", "verify"):
                self._held(root(), given["verb"] == "verify", given["json"])
            else:
                self._buy(root(), given)
        except DatabentoError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error}; the same command goes on after the last whole month") from None
        except KeyboardInterrupt:
            raise CommandError("stopped; the same command goes on after the last whole month", returncode=130) from None

    def _buy(self, folder: Path, given: dict[str, Any]) -> None:
        what = series(given["symbol"], given["schema"], given["dataset"])
        cap = cap_micros_of(given["cap"]) if "cap" in given else 0
        vendor = open_vendor()
        archive = Archive(folder, what)
        available = vendor.available(what)
        if given["verb"] == "update":
            span = archive.update_span(available)
        else:
            span = span_of(given["start"], given["end"], available, datetime.now(UTC).date())
        if span is None:
            self._say(given, {"parts": 0, "records": 0}, f"{what.symbol} {what.schema} is up to date")
            return
        plan = archive.plan(vendor, span)
        degraded = vendor.degraded(what, span)
        self._tell(given, plan, degraded)
        if given["verb"] == "estimate" or not plan.parts:
            return
        refuse_above(plan, cap)
        if not given["yes"] and not self._agreed(plan):
            raise DatabentoError("nothing was bought: answer yes, or give --yes")
        quiet = given["json"] or not sys.stderr.isatty()
        with tqdm(total=plan.total.records, unit="record", disable=quiet) as bar:
            parts = archive.download(
                plan, vendor, cap, f"shell:{getpass.getuser()}", lambda _, quote: bar.update(quote.records) and None
            )
        told = {"parts": len(parts), "records": sum(part.found.records for part in parts)}
        self._say(given, {**told, "files": [str(part.path) for part in parts]}, f"{told['parts']} files are held now")
        if not given["json"]:
            for part in parts:
                self.stdout.write(f"  {part.path} ({part.found.records} records)")

    def _tell(self, given: dict[str, Any], plan: Plan, degraded: list[str]) -> None:
        total = plan.total
        told = {
            "symbol": plan.series.symbol,
            "schema": plan.series.schema,
            "start": words(plan.span.start_ns),
            "end": words(plan.span.end_ns),
            "months": len(plan.parts),
            "dollars": dollars(total.micros),
            "bytes": total.size,
            "records": total.records,
            "degraded": degraded,
        }
        where = f"{plan.series.symbol} {plan.series.schema} from {told['start']} to {told['end']}"
        text = (
            f"{where}: {len(plan.parts)} files to buy, ${told['dollars']}, {total.size} bytes, {total.records} records"
        )
        if not plan.parts:
            text = f"all of {where} is held"
        self._say(given, told, text)
        if degraded and not given["json"]:
            self.stdout.write(f"  the vendor calls {len(degraded)} days less than good, the first: {degraded[0]}")

    def _agreed(self, plan: Plan) -> bool:
        if not sys.stdin.isatty():
            return False
        return input(f"Buy it for ${dollars(plan.total.micros)}? Type yes: ").strip() == "yes"

    def _say(self, given: dict[str, Any], values: dict[str, Any], text: str) -> None:
        self.stdout.write(json.dumps(values) if given["json"] else text)

    def _held(self, folder: Path, check: bool, as_json: bool) -> None:
        rows, faults = [], []
        for archive in archives(folder):
            parts = archive.parts()
            wrong = [why for part in parts if (why := recheck(part, archive.series))] if check else []
            faults += wrong
            rows.append(
                {
                    "symbol": archive.series.symbol,
                    "schema": archive.series.schema,
                    "files": len(parts),
                    "records": sum(part.found.records for part in parts),
                    "start": words(parts[0].span.start_ns),
                    "end": words(parts[-1].span.end_ns),
                    "dollars": dollars(sum(part.micros for part in parts)),
                    "faults": wrong,
                }
            )
        if as_json:
            self.stdout.write(json.dumps({"series": rows}))
        for row in [] if as_json else rows:
            self.stdout.write(
                f"{row['symbol']} {row['schema']}: {row['files']} files, {row['records']} records, {row['start']} to"
                f" {row['end']}, ${row['dollars']}"
            )
        if not rows and not as_json:
            self.stdout.write("nothing is held")
        if faults:
            raise DatabentoError("; ".join(faults))
