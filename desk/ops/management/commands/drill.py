"""`manage.py drill kill`, `manage.py drill load`: prove on a private desk what the desk promises, keep the result."""

import argparse
import getpass
import json
import signal
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from desk.ops.bench.private import CommandFailed, NotStarted, PrivateDesk
from desk.ops.drills import record
from desk.ops.drills.outside import Cancelled, Private, as_text, tell
from desk.ops.drills.record import Row
from desk.ops.launch import LaunchError

ROADS = ("button", "form", "shell")
DEAD = (
    "nothing", "web", "redis", "database", "database-read-only", "feed", "inference", "risk", "execution", "sinks",
)  # fmt: skip
RESTART_ROWS = 3  # killed, after SIGKILL, after a stop
PROOFS = 7  # rows of faults.prove
INPUTS = {
    "kill": ("roads", "dead", "times"),
    "rehearsal": ("release",),
    "load": ("browsers", "hz", "stalled", "minutes"),
}


def words_of(allowed: tuple[str, ...]) -> Any:
    """An argument type: names from a list, with commas."""

    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in names if name not in allowed]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: known are {', '.join(allowed)}")
        return names

    return read


class Command(BaseCommand):
    help = (
        "Drills on a private desk (folder, ports, processes of its own): `kill` presses the kill by every road while "
        "things are dead and checks the latch across restarts; `load` puts browsers on a running session. "
        "`kill --here` rehearses on this desk's own paper sessions."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        kinds = parser.add_subparsers(dest="kind", required=True)
        kill = kinds.add_parser("kill", help="the kill matrix, or with --here a rehearsal on this desk")
        kill.add_argument("--roads", type=words_of(ROADS), default=list(ROADS), help=f"of {','.join(ROADS)}")
        kill.add_argument("--dead", type=words_of(DEAD), default=list(DEAD), help=f"of {','.join(DEAD)}")
        kill.add_argument("--times", type=int, default=1, help="presses of each case (the full drill: 20)")
        kill.add_argument("--no-restarts", action="store_true", help="leave out the latch across restarts")
        kill.add_argument("--no-unlock", action="store_true", help="leave out the release after the latch's minute")
        kill.add_argument("--here", action="store_true", help="a real kill of this desk's paper sessions, no faults")
        kill.add_argument("--release", action="store_true", help="with --here: unlock after the latch's minute")
        load = kinds.add_parser("load", help="browsers at a rate, some of them stalled")
        load.add_argument("--browsers", type=int, default=40)
        load.add_argument("--hz", type=int, default=20, help="frames a second that each asks for, 1 to 20")
        load.add_argument("--stalled", type=int, default=5, help="of them, how many never acknowledge a frame")
        load.add_argument("--minutes", type=float, default=10.0)
        load.add_argument("--age-ms", type=float, help="goal for the oldest value's p99; 100, or 250 up to 5 Hz")
        load.add_argument("--no-path", action="store_true", help="leave out the order path without browsers")
        for one in (kill, load):
            one.add_argument("--by", default=f"shell:{getpass.getuser()}", help="who asks, for the record")
            one.add_argument("--run", type=int, help="(internal) the stored run that waits for this process")
            one.add_argument("--inside", default="", help="(internal) a part, on the desk of this environment")
            one.add_argument("--session", type=int, default=0, help="(internal)")
            one.add_argument("--json", action="store_true", help="print the rows as JSON at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        if options["inside"]:
            for found in inside(options):
                tell(row=found)
            return
        kind = "rehearsal" if options.get("here") else str(options["kind"])
        recorder = self._begin(kind, options)
        detail = "ended before its end"
        try:
            detail = self._run(kind, options, recorder)
        except SystemExit:
            detail = "ended by a signal"
            raise
        finally:
            good = recorder.finish(detail)
        if options["json"]:
            self.stdout.write(json.dumps({"run": recorder.run_id, "ok": good, "rows": recorder.rows}))
        self.stdout.write(f"kept as run {recorder.run_id}", ending="\n") if not options["json"] else None
        if not good:
            raise CommandError(detail or "a drill failed; see the rows above")

    def _begin(self, kind: str, options: dict[str, Any]) -> record.Recorder:
        head = {name: options[name] for name in INPUTS[kind]}
        try:
            record.prepare()
            return record.begin(kind, options["by"], head, total=total_of(kind, options), run_id=options["run"])
        except (record.Busy, record.NoSuchRun, LaunchError) as error:
            raise CommandError(str(error)) from None

    def _run(self, kind: str, options: dict[str, Any], recorder: record.Recorder) -> str:
        """All rows; why the run ended early, or ""."""

        def say(found: Row) -> None:
            if not options["json"]:
                self.stdout.write(as_text(found))
                self.stdout.flush()

        if kind == "rehearsal":
            return self._rehearse(options, recorder, say)
        try:
            recorder.step("a private desk starts")
            with PrivateDesk() as desk:
                private = Private(desk, recorder, say)
                if kind == "kill":
                    kill_parts(private, options)
                else:
                    load_part(private, options)
        except NotStarted as error:
            return f"the private desk did not start: {str(error)[-400:]}"
        except CommandFailed as error:
            return f"cut short: {str(error)[-400:]}"
        except Cancelled as error:
            return f"cancelled by {error}"
        return ""

    def _rehearse(self, options: dict[str, Any], recorder: record.Recorder, say: Any) -> str:
        from desk.ops.drills import rehearsal

        recorder.step("a real kill of this desk's paper sessions")
        try:
            for found in rehearsal.rehearse(options["by"], options["release"]):
                recorder.add(found)
                say(found)
        except rehearsal.Refused as refused:
            return str(refused)
        return ""


def total_of(kind: str, options: dict[str, Any]) -> int:
    """How many rows there will be; 0: not known."""
    if kind == "kill":
        rows = len(options["roads"]) * len(options["dead"]) * options["times"]
        rows += 0 if options["no_restarts"] else RESTART_ROWS
        return rows + (0 if options["no_restarts"] or options["no_unlock"] else 1) + PROOFS
    return (5 if options["release"] else 4) if kind == "rehearsal" else 0


def kill_parts(private: Private, options: dict[str, Any]) -> None:
    """The matrix, the proof of its session, then the latch across restarts."""
    common = ("--roads", ",".join(options["roads"]), "--dead", ",".join(options["dead"]))
    private.part("kill matrix", "drill", "kill", "--inside", "matrix", *common, "--times", str(options["times"]))
    if options["no_restarts"]:
        return
    first = private.part("kill, then restarts", "drill", "kill", "--inside", "latch-down")
    session = str(first[-1]["session"])
    for how in ("SIGKILL", "stop"):
        private.restart(how)
        after = f"after a {how} of everything"
        private.part(after, "drill", "kill", "--inside", f"latch-after-{how}", "--session", session)
    if not options["no_unlock"]:
        private.part("released by a person", "drill", "kill", "--inside", "latch-released", "--session", session)


def load_part(private: Private, options: dict[str, Any]) -> None:
    """One load."""
    names = ("browsers", "hz", "stalled", "minutes")
    words = [word for name in names for word in (f"--{name}", str(options[name]))]
    words += ["--age-ms", str(options["age_ms"])] if options["age_ms"] else []
    words += ["--no-path"] if options["no_path"] else []
    private.part(f"{options['browsers']} browsers", "drill", "load", "--inside", "load", *words)


def inside(options: dict[str, Any]) -> Iterator[Row]:
    """One part, on the desk of this environment: its rows, as they come."""
    from desk.ops.bench import ring
    from desk.ops.drills import kill, load  # they need the private desk's settings

    part = options["inside"]
    if part == "matrix":
        yield from kill.matrix(options["roads"], options["dead"], options["times"])
    elif part == "latch-down":
        yield from kill.latch_down()
    elif part.startswith("latch-after-"):
        how = part.removeprefix("latch-after-")
        yield from kill.latch_stands(f"{how} and start of the whole desk", options["session"])
    elif part == "latch-released":
        yield from kill.latch_released(options["session"])
    elif part == "load":
        seconds = options["minutes"] * 60
        age_ms = options["age_ms"] or (250.0 if options["hz"] <= 5 else 100.0)
        session = ring.start(seed=23, changed=load.CHANGED)
        ring.wait_for_position(session)
        tell(head={"profile": f"demo-mes with {load.CHANGED}", "profile hash": session.version.hash})
        asked = load.Load(
            browsers=options["browsers"],
            hz=options["hz"],
            stalled=options["stalled"],
            seconds=seconds,
            age_ms=age_ms,
            path_seconds=0.0 if options["no_path"] else seconds,
        )
        yield from load.run(asked, session)
        ring.stop(session)
    else:
        raise CommandError(f"unknown part {part!r}")
