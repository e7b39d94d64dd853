"""The kill from a shell, before anything else is loaded: no Django, settings, database or Redis (K-04).

`manage.py kill` comes here straight from its first line, because a framework that takes seconds to load on a busy
machine must not stand between a person and flat.  Exit code 1: not proved flat.
"""

import argparse
import getpass
import json
import sys
from pathlib import Path

from trading.run.guard import guard_kill

HELP = "Latch the desk, cancel every order, close every position, and say what is left.  Exit code 1: not flat."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of the command."""
    parser.add_argument("--reason", required=True, help="why, for the record")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")


def kill(var: Path, reason: str, as_json: bool) -> tuple[str, str]:
    """Kill by the guard, or by this process when it is dead.  (what to print, what is wrong or "")."""
    report = guard_kill(var, f"shell:{getpass.getuser()}", reason)
    if as_json:
        said = json.dumps(report, indent=2)
    else:
        steps = ", ".join(f"{step['step']} {step['ms']} ms" for step in report["steps"])
        said = f"{steps}; cancelled {report['cancelled']}, closed {report['closed']} ({report['road']})"
    if not report["flat"]:
        return said, f"NOT proved flat; the latch stands: {json.dumps(report['residual'])}"
    done = "flat: no position and no working order; release with `manage.py unlock`"
    return said if as_json else f"{said}\n{done}", ""


def main(arguments: list[str], var: Path) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="manage.py kill", description=HELP)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    said, fault = kill(var, options.reason, options.json)
    print(said)
    if fault:
        print(f"CommandError: {fault}", file=sys.stderr)
    return 1 if fault else 0
