"""Roles and what each may do: viewer reads, operator reduces and starts paper, admin may do all (MOEX-SEC-04).

Rights are Django permissions of the app `accounts`, roles are Django groups that hold them; both are made from the two
tables below after every migration.  Who signed in may read; everything else is asked here, by pages, API and admin
alike.  Nothing else decides by `is_staff` or `is_superuser`.
"""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

RIGHTS = {
    "reduce": "Pause, cancel, flatten, stop and kill",
    "start": "Start paper sessions",
    "resume": "Resume after a pause, with step-up",
    "reset": "Lift holds by name, with step-up",
    "override": "Ask that a rule of the gate passes once, or agree to what another asked, with step-up",
    "day_loss": "Clear a day's loss of shares, with step-up",
    "draft": "Write draft versions of a configuration",
    "tighten": "Activate a version that only tightens",
    "skip_gate": "Skip the shares' go-live gate for one day, with step-up",
    "universe": "Replace a share of the active set, or resync live data",
    "import": "Import history into the store",
    "research": "Run and cancel backtests",
    "loosen": "Activate a version that loosens, with step-up",
    "unlock": "Release the kill latch, with step-up",
    "settle": "Settle a statement that differs from the ledger, with step-up",
    "delete": "Delete stored data, with step-up",
    "spend": "Buy data from a vendor, with step-up",
    "people": "Give roles and close accounts, with step-up",
}
VIEWER, OPERATOR, ADMIN = "viewer", "operator", "admin"
ROLES: dict[str, tuple[str, ...]] = {
    VIEWER: (),
    OPERATOR: (
        "reduce",
        "start",
        "resume",
        "reset",
        "override",
        "skip_gate",
        "draft",
        "tighten",
        "universe",
        "import",
        "research",
    ),
    ADMIN: tuple(RIGHTS),
}
SENTENCES = {
    VIEWER: "reads everything and changes nothing",
    OPERATOR: (
        "reduces, starts paper sessions, resumes, lifts holds, lets a rule pass with another person, writes drafts,"
        " tightens, skips the shares' go-live gate for a day, replaces shares, imports history, runs backtests"
    ),
    ADMIN: (
        "may do all: also loosen, clear a day's loss, unlock after a kill, settle statements, delete data, buy data,"
        " and give roles"
    ),
}

Person = AbstractBaseUser | AnonymousUser


def may(person: Person, right: str) -> bool:
    """Whether this person has a right of RIGHTS.  Reads the database once a request; unknown rights are refused."""
    assert right in RIGHTS, right
    ask: Any = getattr(person, "has_perm", None)
    return bool(person.is_authenticated and person.is_active and ask is not None and ask(f"accounts.{right}"))


def may_read(person: Person) -> bool:
    """Whether this person may see pages: everybody who has an account of this desk."""
    return bool(person.is_authenticated and person.is_active)


def role_of(person: Person) -> str:
    """The person's role; without a group a viewer."""
    if getattr(person, "is_superuser", False):
        return ADMIN
    groups: Any = getattr(person, "groups", None)
    names = set(groups.values_list("name", flat=True)) if groups is not None and person.is_authenticated else set()
    return next((name for name in (ADMIN, OPERATOR) if name in names), VIEWER)


def missing(person: Person, right: str) -> str:
    """The sentence of a 403."""
    return f"Your role, {role_of(person)}, does not include: {RIGHTS[right].lower()}. Ask an admin of this desk."


def make_roles(**_: object) -> None:
    """Permissions and groups as the tables say; called after every migration, idempotent."""
    from django.contrib.auth.models import Group, Permission, User
    from django.contrib.contenttypes.models import ContentType

    kind, _made = ContentType.objects.get_or_create(app_label="accounts", model="right")
    found = {}
    for code, name in RIGHTS.items():
        found[code], _made = Permission.objects.update_or_create(
            content_type=kind, codename=code, defaults={"name": name}
        )
    for role, codes in ROLES.items():
        group, made = Group.objects.get_or_create(name=role)
        group.permissions.set([found[code] for code in codes])
        if made and role == OPERATOR:  # a desk from before there were roles: its staff operated
            group.user_set.add(*User.objects.filter(is_staff=True, is_superuser=False))
