"""Configuration versions as rows: stored as drafts, activated, rolled back; profiles as YAML come from `config.schema`.

A profile is checked as a whole and every fault is told in one sentence; nothing is stored unless all of it is right.
A version's values never change: its hash names them, sessions and orders carry it.  Called by services, the command
`config`, the desk's configuration pages and tests.
"""

import difflib
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.module_loading import import_string

from trading.config.schema import (
    ConfigError,
    Diff,
    Fault,
    Profile,
    bar_limits,
    diff,
    load_file,
    parse_profile,
    parse_yaml,
    profile_hash,
    schema_keys,
    to_yaml,
)
from trading.core import states
from trading.models import ConfigVersion

__all__ = [
    "ConfigError", "Diff", "Fault", "Profile", "activate", "bar_limits", "diff", "find", "load_file", "parse_profile",
    "parse_yaml", "profile_hash", "profile_of", "resolve", "schema_keys", "ship", "store", "tell_audit", "to_yaml",
    "version_for",
]  # fmt: skip
FOLDER = Path(__file__).resolve().parent / "profiles"
SHIPPED = ("demo-mes", "demo-moex", "mes-topstep", "moex-tinvest")
BACKTEST = ("sanity",)  # no version is stored of them: no session can name one


def profile_of(version: ConfigVersion) -> Profile:
    """The checked profile of a stored version.  Raises ConfigError when it is not what its hash says."""
    profile = parse_profile(version.values)
    if profile_hash(profile) != version.hash:
        raise ConfigError([f"{version} does not match its hash: the row was changed behind the desk's back"])
    return profile


def find(word: str) -> ConfigVersion:
    """The version that "demo-mes" (the active one), "demo-mes@3" or a hash's beginning names.  Raises ConfigError."""
    name, at, number = word.partition("@")
    rows = ConfigVersion.objects.filter(profile=name)
    if at and number.isdigit():
        rows = rows.filter(number=int(number))
    elif not at:
        rows = rows.filter(status=states.ACTIVE)
    found = rows.first() or (ConfigVersion.objects.filter(hash__startswith=word).first() if len(word) >= 8 else None)
    if found is None:
        names = sorted(set(ConfigVersion.objects.values_list("profile", flat=True)) | {*SHIPPED})
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
        raise ConfigError([f"{word!r} names no version; did you mean {near[0]}?"])
    return found


def resolve(word: str) -> Profile:
    """A profile by file name, by version, or of those shipped.  Raises ConfigError."""
    if word.endswith((".yaml", ".yml")):
        return load_file(Path(word))
    if word in BACKTEST:
        return load_file(FOLDER / f"{word}.yaml")
    if word in SHIPPED and not ConfigVersion.objects.filter(profile=word, status=states.ACTIVE).exists():
        return load_file(FOLDER / f"{word}.yaml")
    return profile_of(find(word))


def store(profile: Profile, *, author: str, reason: str) -> ConfigVersion:
    """A new draft version; equal values of the same profile give the version that has them."""
    if not reason.strip():
        raise ConfigError(["a version needs a reason"])
    digest = profile_hash(profile)
    with transaction.atomic():
        same = ConfigVersion.objects.filter(profile=profile.profile, hash=digest).first()
        if same is not None:
            return same
        last = ConfigVersion.objects.filter(profile=profile.profile).aggregate(last=Max("number"))["last"] or 0
        version = ConfigVersion.objects.create(
            profile=profile.profile,
            number=last + 1,
            values=profile.to_values(),
            hash=digest,
            author=author,
            reason=reason,
            created_at=timezone.now(),
        )
        tell_audit("config", "stored", author, str(version), {"hash": digest, "reason": reason})
    return version


def activate(version: ConfigVersion, *, by: str, reason: str) -> ConfigVersion:
    """Make this the version that new sessions of its profile take; the one before is retired."""
    if not reason.strip():
        raise ConfigError(["an activation needs a reason"])
    profile_of(version)  # a version that cannot be loaded any more is never activated
    with transaction.atomic():
        for old, new in states.before(states.VERSION, "replace").items():
            others = ConfigVersion.objects.filter(profile=version.profile, status=old).exclude(id=version.id)
            others.update(status=new)
        for old, new in states.before(states.VERSION, "activate").items():
            rows = ConfigVersion.objects.filter(id=version.id, status=old)
            rows.update(status=new, activated_at=timezone.now())
        tell_audit("config", "activated", by, str(version), {"hash": version.hash, "reason": reason})
    version.refresh_from_db()
    return version


def ship(*, by: str = "set-up") -> list[ConfigVersion]:
    """Store the shipped profiles and activate those that have no active version yet.  Idempotent."""
    versions = []
    for name in SHIPPED:
        version = store(load_file(FOLDER / f"{name}.yaml"), author=by, reason="shipped with the desk")
        if not ConfigVersion.objects.filter(profile=name, status=states.ACTIVE).exists():
            version = activate(version, by=by, reason="shipped with the desk")
        versions.append(version)
    return versions


def tell_audit(category: str, action: str, actor: str, about: str, detail: dict[str, object]) -> None:
    """One audit row through the function that the settings name: the audit log stands a floor above."""
    import_string(settings.AUDIT_APPEND)(category=category, action=action, actor=actor, object=about, detail=detail)


def version_for(word: str, *, by: str) -> ConfigVersion:
    """The stored version that a word or a YAML file names; a shipped profile or a file is stored when it is not yet."""
    if word.endswith((".yaml", ".yml")):
        return store(load_file(Path(word)), author=by, reason=f"from {Path(word).name}")
    if word in SHIPPED and not ConfigVersion.objects.filter(profile=word, status=states.ACTIVE).exists():
        ship(by=by)
    return find(word)
