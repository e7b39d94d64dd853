"""`manage.py bench`: measures the kernel, the real loops and the kill on a private desk, and prints one table."""

import getpass
import json
import subprocess
import sys
from typing import Any

import numpy as np
import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from desk.jitcache import code_hash
from desk.ops.bench.private import NotStarted, PrivateDesk
from desk.ops.bench.table import Row, as_json, as_text, failures, quantiles
from desk.ops.drills import record
from desk.ops.launch import LaunchError

PART_SECONDS = {"quick": 20.0, "full": 60.0}
KILLS = {"quick": 5, "full": 50}
GUARD_KILLS = {"quick": 2, "full": 6}


def _tell(rows: list[Row]) -> None:
    """Behind the whole table: exit status 1 where something could not be measured.  Raises CommandError."""
    if names := failures(rows):
        raise CommandError(f"{len(names)} rows have no figure: {'; '.join(names)}. Their notes say why.")


class Command(BaseCommand):
    help = "Benchmarks on a desk of their own (folder, ports, processes): a quarter of an hour, --quick 3 minutes."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
        parser.add_argument("--quick", action="store_true", help="short samples and no peers: to see that it works")
        parser.add_argument(
            "--only", choices=("peers",), help="the common work beside the installed peers alone, without a desk"
        )
        parser.add_argument("--bars", type=int, default=0, help="of the common work, with --only; otherwise a million")
        parser.add_argument("--inside", action="store_true", help="(internal) measure the desk of this environment")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["inside"]:
            self.stdout.write(json.dumps(self._measure("quick" if options["quick"] else "full")))
            return
        if options["only"]:
            head, rows = self._peers(options["bars"])
            self.stdout.write(json.dumps(as_json(rows, head)) if options["json"] else as_text(rows, head))
            _tell(rows)
            return
        try:
            record.prepare()
            recorder = record.begin("bench", f"shell:{getpass.getuser()}", {"quick": options["quick"]})
        except (record.Busy, LaunchError) as error:
            raise CommandError(str(error)) from None
        detail = "ended before its end"
        try:
            found = self._on_private_desk(options["quick"])
            recorder.head(found["head"])
            rows = [Row(**{name: row[name] for name in Row._fields}) for row in found["rows"]]
            for row in rows:
                recorder.add(record.row(row.name, row.value, row.unit, ok=row.met, goal=row.goal, detail=row.note))
            detail = ""
        except CommandError as error:
            detail = str(error)
            raise
        finally:
            recorder.finish(detail)
        self.stdout.write(json.dumps(found) if options["json"] else as_text(rows, found["head"]))
        _tell(rows)

    @staticmethod
    def _peers(bars: int = 0) -> tuple[dict[str, str], list[Row]]:
        """The common work, side by side, over so many bars (0: a million); a peer that fails has a row saying why."""
        from desk.ops.bench.backtest import BARS
        from desk.ops.bench.books import sidebyside as books
        from desk.ops.bench.peers import sidebyside

        head = {"code": code_hash(), "python": sys.version.split()[0]}
        return head, sidebyside.measure(bars or BARS) + books.measure(settings.SAMPLE_DATA)

    @staticmethod
    def _on_private_desk(quick: bool) -> dict[str, Any]:
        """Head and rows, as the private desk printed them.  Raises CommandError."""
        try:
            with PrivateDesk() as desk:
                words = ["bench", "--inside", *(["--quick"] if quick else [])]
                done = desk.manage(*words, timeout_s=3600)
        except (NotStarted, subprocess.TimeoutExpired) as error:
            raise CommandError(f"the desk to be measured failed: {error}") from None
        if done.returncode != 0:
            raise CommandError(f"the measurement failed:\n{done.stderr[-3000:]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def _measure(self, size: str) -> dict[str, object]:
        # here: they need the private desk's settings
        from desk.ops.bench import backtest, barfeatures, bookfeatures, dataengine, hops, kernel, ring
        from desk.ops.bench.features import peers, years

        head = {"code": code_hash(), "python": sys.version.split()[0], "size": size, "profile": "demo-mes, as shipped"}
        shipped = ring.start(seed=7)
        head["profile hash"] = str(shipped.version.hash)
        frames = ring.run_for(shipped, PART_SECONDS[size])
        rows = kernel.measure(kernel.inputs_of(frames)) + backtest.measure()
        rows += barfeatures.measure() + bookfeatures.measure() + dataengine.measure()
        entries = hops.measure(frames)
        ring.stop(shipped)
        if size == "full":
            rows += self._peers()[1] + peers.measure() + years.measure()
        floor_rows = self._floor()
        head["exits and kills"] = f"demo-mes with {ring.CHANGED}"
        brisk = ring.start(seed=11, changed=ring.CHANGED)
        found = hops.measure(ring.run_for(brisk, PART_SECONDS[size]))
        rows += quantiles("market event → exit order sent (2 hops)", found.market_to_exit, "ms", 1.2, 6.0)
        rows += quantiles("market event → score → entry sent (3 hops)", found.market_to_entry, "ms", 2.0, 8.0)
        rows += quantiles("  the same, shipped profile", entries.market_to_entry, "ms")
        rows += quantiles("  of it: market event → score", found.market_to_score, "ms")
        rows += quantiles("  of it: sender → decision", found.inbox, "ms")
        rows += quantiles("  of it: decision → sent (journal, fsync, outbox)", found.outbox, "ms")
        rows += floor_rows
        sent, flat = ring.kill_samples(brisk, KILLS[size])
        rows += quantiles("kill click → all cancels and closes sent", sent, "ms", None, 100.0)
        rows += quantiles("kill click → flat proved", flat, "ms")
        venue_ms = 2 * brisk.spec["venue"]["latency_ns"] / 1e6
        rows += quantiles(f"  the same less the venue's own {venue_ms:g} ms, to it and back", flat - venue_ms, "ms")
        pid = self._redis_pid()
        rows += quantiles(
            "kill by the guard, Redis stopped → flat",
            ring.guard_samples(brisk, GUARD_KILLS[size], pid),
            "ms",
            None,
            2000.0,
        )
        return as_json(rows, head)

    @staticmethod
    def _floor() -> list[Row]:
        """What two hops and a durable append cost here with nobody else at work."""
        from desk.ops.bench import floor

        hop, append = floor.hops(settings.REDIS_URL), floor.appends(settings.VAR)
        least = 2 * float(np.median(hop)) + float(np.median(append))
        note = "no desk by Redis and disk is faster on this machine"
        return [
            *quantiles("  bare hop by Redis, desk idle", hop, "ms"),
            *quantiles("  journal append with fsync, desk idle", append, "ms"),
            Row("  two bare hops and one append, p50", least, "ms", note=note),
        ]

    @staticmethod
    def _redis_pid() -> int:
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            return int(client.info("server")["process_id"])
