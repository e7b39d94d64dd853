"""`manage.py config …`: profiles as files and as versions.  Thin: every verb is one call of `trading.configs`."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading import configs
from trading.config import running
from trading.management.progress import Bar
from trading.models import ConfigVersion, Session
from trading.reports.impact import preview as impact


class Command(BaseCommand):
    help = (
        "Configuration versions.  A profile is a YAML file with exactly the schema's keys, or a version: demo-mes (the"
        " active one, or the shipped file), demo-mes@3, or the beginning of a hash."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        rows: dict[str, tuple[str, tuple[str, ...]]] = {
            "list": ("all versions", ()),
            "show": ("one profile, whole", ("profile",)),
            "validate": ("check a file: every fault in one sentence", ("profile",)),
            "diff": ("values that differ between two profiles", ("old", "new")),
            "export": ("write a profile as YAML", ("profile",)),
            "import": ("store a file as a draft version", ("profile",)),
            "activate": ("make a version the one that new sessions take", ("profile",)),
            "impact": ("replay the last sessions of a profile under it: orders, profit, holds (N8)", ("profile",)),
            "ship": ("store and activate the shipped profiles where they are missing", ()),
        }
        for name, (text, places) in rows.items():
            verb: ArgumentParser = verbs.add_parser(name, help=text, description=text)
            for place in places:
                verb.add_argument(place)
            if name == "export":
                verb.add_argument("--out", default="", help="file to write; default: the screen")
            if name in ("import", "activate"):
                verb.add_argument("--by", default="operator", help="who")
                verb.add_argument("--reason", required=True, help="why")
            if name == "impact":
                verb.add_argument(
                    "--last", type=int, default=impact.SESSIONS_USUAL, help="how many sessions, 20 at most"
                )
                verb.add_argument("--session", type=int, action="append", default=[], help="this one; may be repeated")
            verb.add_argument("--json", action="store_true", help="JSON instead of words")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            words, values = getattr(self, f"_{options['verb']}")(options)
        except configs.ConfigError as error:
            if options["json"]:
                self.stdout.write(json.dumps({"ok": False, "faults": error.faults}))
            raise CommandError("\n".join(error.faults)) from None
        self.stdout.write(json.dumps(values) if options["json"] else words)

    def _list(self, options: dict[str, Any]) -> tuple[str, object]:
        rows = list(
            ConfigVersion.objects.order_by("profile", "number").values(
                "profile", "number", "status", "hash", "author", "reason"
            )
        )
        lines = [
            f"{r['profile']}@{r['number']:<4} {r['status']:<8} {r['hash'][:12]}  {r['author']}: {r['reason']}"
            for r in rows
        ]
        return "\n".join(lines) or "no version is stored; `config ship` stores the shipped profiles", rows

    def _show(self, options: dict[str, Any]) -> tuple[str, object]:
        profile = configs.resolve(options["profile"])
        digest = configs.profile_hash(profile)
        words = f"# hash {digest}\n{configs.to_yaml(profile)}"
        return words, {"hash": digest, "values": profile.to_values(), "limits": profile.limits()}

    def _validate(self, options: dict[str, Any]) -> tuple[str, object]:
        profile = configs.resolve(options["profile"])
        digest = configs.profile_hash(profile)
        return f"{profile.profile} is good, hash {digest}", {"ok": True, "profile": profile.profile, "hash": digest}

    def _diff(self, options: dict[str, Any]) -> tuple[str, object]:
        found = configs.diff(configs.resolve(options["old"]), configs.resolve(options["new"]))
        words = "\n".join(f"{d.path}: {d.old} → {d.new}" for d in found) or "no value differs"
        return words, [d._asdict() for d in found]

    def _export(self, options: dict[str, Any]) -> tuple[str, object]:
        text = configs.to_yaml(configs.resolve(options["profile"]))
        if not options["out"]:
            return text.rstrip(), {"yaml": text}
        Path(options["out"]).write_text(text)
        return f"written to {options['out']}", {"path": options["out"]}

    def _import(self, options: dict[str, Any]) -> tuple[str, object]:
        profile = configs.load_file(Path(options["profile"]))
        version = configs.store(profile, author=options["by"], reason=options["reason"])
        return f"stored as {version}, {version.status}", {
            "version": str(version),
            "status": version.status,
            "hash": version.hash,
        }

    def _activate(self, options: dict[str, Any]) -> tuple[str, object]:
        found = configs.find(options["profile"])
        version, handovers = running.activate(found, by=options["by"], reason=options["reason"])
        told = [f"session {h.key}: {h.state}{f' ({h.detail})' if h.detail else ''}" for h in handovers]
        return "\n".join([f"{version} is active", *told]), {
            "version": str(version),
            "hash": version.hash,
            "handovers": [h._asdict() for h in handovers],
        }

    def _impact(self, options: dict[str, Any]) -> tuple[str, object]:
        profile = configs.resolve(options["profile"])
        sessions = impact.last_sessions(profile.profile, options["last"])
        if options["session"]:
            rows = Session.objects.filter(id__in=options["session"], version__profile=profile.profile)
            sessions = list(rows.select_related("version").order_by("-id"))
        with Bar(quiet=options["json"]) as bar:
            found = impact.preview(profile, 0, sessions, bar.show)
        return "\n".join(impact.lines(found)), impact.values(found)

    def _ship(self, options: dict[str, Any]) -> tuple[str, object]:
        versions = configs.ship()
        return ", ".join(str(v) for v in versions), [str(v) for v in versions]
