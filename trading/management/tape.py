"""The words by which a person names a tape on the command line, the same for every command that reads one."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from trading.learning.dataset import Tape

SECONDS = 3600  # of the simulated market, where none are given


def add_tape_arguments(parser: CommandParser, *, positional: bool = False) -> None:
    """--symbol, --data (or DATA), --option, --seconds."""
    words = "recorded file to read; without it the simulated market is used"
    if positional:
        parser.add_argument("data", nargs="?", default="", metavar="DATA", help=words)
    else:
        parser.add_argument("--data", default="", metavar="PATH", help=words)
    parser.add_argument("--symbol", default="MES", help="instrument (MES)")
    words = "option of the feed; may repeat"
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help=words)
    words = f"length of tape ({SECONDS} simulated, all of a file)"
    parser.add_argument("--seconds", type=int, default=None, help=words)


def tape_from(options: dict[str, Any], seed: int) -> tuple[Tape, int]:
    """(tape, seconds; 0 = all of it).  Raises CommandError for an option that is no NAME=VALUE."""
    pairs: dict[str, str] = {}
    for text in options["option"]:
        name, equals, value = text.partition("=")
        if equals == "" or name == "":
            raise CommandError(f"--option {text!r} is not NAME=VALUE")
        pairs[name] = value
    recorded = options["data"] != ""
    seconds = options["seconds"] if options["seconds"] is not None else (0 if recorded else SECONDS)
    if seconds < 0 or (seconds == 0 and not recorded):
        raise CommandError("--seconds must be above zero: the simulated market has no end")
    name = "replay" if recorded else "simulated"
    return Tape(name=name, symbols=[options["symbol"]], seed=seed, path=options["data"], options=pairs), seconds
