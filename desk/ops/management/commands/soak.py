"""`manage.py soak`: the long form of every drill, one after the other, each on a private desk, each kept as a run."""

import getpass
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from desk.jitcache import BASE
from desk.ops.bench.private import CommandFailed, NotStarted, PrivateDesk
from desk.ops.drills import record
from desk.ops.drills.outside import Cancelled, Private, as_text, tell
from desk.ops.drills.record import Row
from desk.ops.launch import LaunchError
from trading.run.context import LOOPS

PARTS = ("faults", "kill", "load")
PROOFS = 7  # rows of faults.prove


class Command(BaseCommand):
    help = (
        "Everything that must hold under faults and load: loops and venue killed, Redis lost, the database locked; the "
        "kill matrix, 20 times; 40 browsers at 20 Hz and 500 at 4 Hz for 10 minutes. About five hours; --quick about "
        "20 minutes. Results are kept: see the page /ops/drills/."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--quick", action="store_true", help="everything once and briefly: to see that it works")
        parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be repeated")
        parser.add_argument("--kills", type=int, help="SIGKILLs of each loop's worker (20)")
        parser.add_argument("--venue-kills", type=int, help="SIGKILLs of the paper venue (5)")
        parser.add_argument("--redis-s", type=float, help="how long Redis is away (10)")
        parser.add_argument("--feed-s", type=float, help="how long the feed is silent (10)")
        parser.add_argument("--database-s", type=float, help="how long the database is locked (30)")
        parser.add_argument("--kill-times", type=int, help="presses of each case of the kill matrix (20)")
        parser.add_argument("--load-minutes", type=float, help="length of each load (10)")
        parser.add_argument("--json", action="store_true", help="print the runs as JSON at the end")
        parser.add_argument("--inside", action="store_true", help="(internal) drill the desk of this environment")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = sizes(options)
        if options["inside"]:
            for found in drill(wanted):
                tell(row=found)
            return
        parts = options["only"] or PARTS
        began = time.time()
        good = [self._faults(wanted, quiet=options["json"])] if "faults" in parts else []
        for words in commands(wanted, parts):
            good.append(self._command(words, quiet=options["json"]))
        if options["json"]:
            self.stdout.write(json.dumps(runs_since(began)))
        if not all(good):
            raise CommandError("a drill failed; see the rows above, or the page /ops/drills/")

    def _faults(self, wanted: dict[str, Any], quiet: bool) -> bool:
        def say(found: Row) -> None:
            if not quiet:
                self.stdout.write(as_text(found))
                self.stdout.flush()

        total = wanted["kills"] * len(LOOPS) + wanted["venue_kills"] + PROOFS
        total += sum(wanted[name] > 0 for name in ("redis_s", "feed_s", "database_s"))
        words = [word for name in FAULT_SIZES for word in (f"--{name.replace('_', '-')}", str(wanted[name]))]
        detail = "ended before its end"
        try:
            record.prepare()
            recorder = record.begin("faults", f"shell:{getpass.getuser()}", wanted, total=total)
        except (record.Busy, LaunchError) as error:
            raise CommandError(str(error)) from None
        try:
            recorder.step("a private desk starts")
            with PrivateDesk() as desk:
                Private(desk, recorder, say).part("faults", "soak", "--inside", *words)
            detail = ""
        except NotStarted as error:
            detail = f"the private desk did not start: {str(error)[-400:]}"
        except CommandFailed as error:
            detail = f"cut short: {str(error)[-400:]}"
        except Cancelled as error:
            detail = f"cancelled by {error}"
        finally:
            good = recorder.finish(detail)
        if detail and not quiet:
            self.stdout.write(detail)
        return good

    def _command(self, words: list[str], quiet: bool) -> bool:
        if not quiet:
            self.stdout.write(f"\nmanage.py {' '.join(words)}")
            self.stdout.flush()
        output = subprocess.DEVNULL if quiet else None
        done = subprocess.run(
            [sys.executable, "-u", str(BASE / "manage.py"), *words], cwd=BASE, stdout=output, check=False
        )
        return done.returncode == 0


FULL = {
    "kills": 20,
    "venue_kills": 5,
    "redis_s": 10.0,
    "feed_s": 10.0,
    "database_s": 30.0,
    "kill_times": 20,
    "load_minutes": 10.0,
}
BRIEF = {"redis_s": 3.0, "feed_s": 6.0, "database_s": 6.0}
QUICK = FULL | BRIEF | {"kills": 1, "venue_kills": 1, "kill_times": 1, "load_minutes": 0.5}
FAULT_SIZES = ("kills", "venue_kills", "redis_s", "feed_s", "database_s")


def sizes(options: dict[str, Any]) -> dict[str, Any]:
    """How long each part is: the full or the quick form, and what was asked for."""
    chosen = QUICK if options["quick"] else FULL
    return {name: chosen[name] if options[name] is None else options[name] for name in FULL}


def commands(wanted: dict[str, Any], parts: tuple[str, ...] | list[str]) -> Iterator[list[str]]:
    """The drills as commands of their own."""
    if "kill" in parts:
        yield ["drill", "kill", "--times", str(wanted["kill_times"])]
    if "load" in parts:
        minutes = str(wanted["load_minutes"])
        yield ["drill", "load", "--browsers", "40", "--hz", "20", "--stalled", "5", "--minutes", minutes]
        words = ["--browsers", "500", "--hz", "4", "--stalled", "0", "--minutes", minutes, "--no-path"]
        yield ["drill", "load", *words]


def runs_since(began: float) -> list[dict[str, Any]]:
    """The runs that were kept since then, oldest first, with their rows."""
    from datetime import UTC, datetime

    from desk.ops.models import DrillRun

    runs = DrillRun.objects.filter(started_at__gte=datetime.fromtimestamp(began, UTC)).order_by("id")
    return [{"run": run.pk, "kind": run.kind, "ok": run.ok, "detail": run.detail, "rows": run.rows} for run in runs]


def drill(wanted: dict[str, Any]) -> Iterator[Row]:
    """The faults, on the desk of this environment, then the proof of its session."""
    from desk.ops.bench import faults, ring  # they need the private desk's settings

    session = ring.start(seed=5, changed=ring.CHANGED)
    ring.wait_for_position(session)
    tell(
        head={
            "profile": f"demo-mes with {ring.CHANGED}",
            "profile hash": session.version.hash,
        }
    )
    for _ in range(wanted["kills"]):
        for loop in LOOPS:
            yield faults.as_row(faults.kill_loop(session, loop))
    for _ in range(wanted["venue_kills"]):
        yield faults.as_row(faults.kill_venue(session))
    if wanted["redis_s"] > 0:
        yield faults.as_row(faults.lose_redis(session, wanted["redis_s"]))
    if wanted["feed_s"] > 0:
        yield faults.as_row(faults.silence_feed(session, wanted["feed_s"]))
    if wanted["database_s"] > 0:
        yield faults.as_row(faults.lock_database(session, wanted["database_s"]))
    time.sleep(5)  # the last answers come back by themselves
    ring.stop(session)
    for found in faults.prove(session):
        yield faults.as_row(found)
