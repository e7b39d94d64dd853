"""The checks of `manage.py doctor`: what this installation needs, what was found, and what to do about each fault.

A check reads and never repairs.  It works on a running desk and on a stopped one.
"""

import fcntl
import importlib.metadata
import json
import os
import re
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from desk.ops.embedded import NoRedis, redis_binary, wait_for_redis
from desk.ops.launch import port_faults, port_is_free, static_digest
from desk.ops.programs import Layout
from desk.ops.warming import is_warm
from marketdata.services import DATA
from marketdata.store.columns.form import FOLDER, manifest_of
from marketdata.store.columns.kept import kept, noted

DISK_BYTES_MIN = 1_000_000_000
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;#]+)")


class Finding(NamedTuple):
    """What one check saw; `advice` is empty when nothing has to be done."""

    check: str
    good: bool
    found: str
    advice: str = ""


def good(check: str, found: str) -> Finding:
    return Finding(check, True, found)


def fault(check: str, found: str, advice: str) -> Finding:
    return Finding(check, False, found, advice)


def is_running(place: Layout) -> bool:
    """Whether a desk holds the lock of this runtime folder."""
    try:
        descriptor = os.open(place.var / "desk.lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def check_python(place: Layout) -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] != (3, 11):
        return fault("python", version, "install Python 3.11, remove .venv and run `make setup`")
    return good("python", version)


def check_packages(place: Layout) -> Finding:
    """Installed versions against requirements.txt; a local tag (+cpu) does not count."""
    wrong = []
    count = 0
    for line in (place.base / "requirements.txt").read_text().splitlines():
        if not (pin := PIN.match(line.strip())):
            continue
        count += 1
        name, wanted = pin.groups()
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if found.split("+")[0] != wanted:
            wrong.append(f"{name} is {found}, wanted {wanted}")
    if wrong:
        return fault("packages", "; ".join(wrong), "run `make setup`; if that says nothing, `make clean` first")
    return good("packages", f"all {count} as pinned")


def check_folder(place: Layout) -> Finding:
    if not place.var.is_dir():
        return fault("runtime folder", f"{place.var} does not exist", "run `make run` once")
    status = place.var.stat()
    mode = stat.S_IMODE(status.st_mode)
    if not os.access(place.var, os.W_OK):
        return fault("runtime folder", f"{place.var} cannot be written", f"make it yours: chown -R $USER '{place.var}'")
    if mode & 0o077:
        return fault(
            "runtime folder", f"{place.var} has mode {mode:04o}", f"close it to others: chmod 700 '{place.var}'"
        )
    key = place.var / "secret_key"
    if key.exists() and stat.S_IMODE(key.stat().st_mode) & 0o077:
        return fault(
            "runtime folder", f"{key} can be read by others", f"chmod 600 '{key}', or remove it to sign everyone out"
        )
    return good("runtime folder", f"{place.var}, mode {mode:04o}")


def check_disk(place: Layout) -> Finding:
    folder = next(path for path in (place.var, *place.var.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free for {place.var}"
    if free < DISK_BYTES_MIN:
        return fault("disk", text, "free some space: the journal and the ledger must never meet a full disk")
    return good("disk", text)


def check_database(place: Layout) -> Finding:
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite" and not Path(name).exists():
        return fault("database", f"{name} does not exist yet", "run `make run` once, or `manage.py migrate`")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, sqlite3.Error) as error:
        advice = "see DESK_DATABASE_URL" if connection.vendor != "sqlite" else "restore it from a backup"
        return fault("database", f"{connection.vendor} {name}: {error}", advice)
    finally:
        connection.close()
    if pending:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in pending[:3])
        return fault("database", f"{len(pending)} migrations are missing ({names} …)", "run `manage.py migrate`")
    return good("database", f"{connection.vendor} {name}, up to date")


def check_redis(place: Layout) -> Finding:
    if place.external_redis or is_running(place):
        try:
            wait_for_redis(settings.REDIS_URL, timeout_s=1)
        except NoRedis as error:
            advice = "start it, or unset DESK_REDIS_URL" if place.external_redis else f"see {place.logs / 'redis.log'}"
            return fault("redis", str(error), advice)
        return good("redis", f"{settings.REDIS_URL} answers")
    try:
        return good("redis", f"{redis_binary()}, started with the desk")
    except NoRedis as error:
        return fault("redis", "no server", str(error))


def check_ports(place: Layout) -> Finding:
    ports = f"web {place.web_port}, guard {place.guard_port}, Redis {place.redis_port}"
    if is_running(place):
        silent = [str(port) for port in (place.web_port, place.guard_port) if port_is_free(port)]
        if silent:
            return fault(
                "ports", f"the desk runs, but nobody listens on {', '.join(silent)}", f"see the logs in {place.logs}"
            )
        return good("ports", f"the desk runs on {ports}")
    if faults := port_faults(place):
        return fault("ports", "; ".join(text.split(":")[0] for text in faults), faults[0].split(": ", 1)[-1])
    return good("ports", f"{ports} are free")


def check_browser_libraries(place: Layout) -> Finding:
    """Every package of the lock file is installed in the locked version, and the served files are there."""
    assets = place.base / "desk" / "assets"
    lock = json.loads((assets / "package-lock.json").read_text())
    for path, row in lock["packages"].items():
        if not path:
            continue
        installed = assets / path / "package.json"
        found = json.loads(installed.read_text())["version"] if installed.exists() else "missing"
        if found != row["version"]:
            return fault("browser libraries", f"{path} is {found}, wanted {row['version']}", "run `make setup`")
    if not list((assets / "vendor").glob("*/*.mjs")):
        return fault(
            "browser libraries", "desk/assets/vendor is empty", "remove desk/assets/vendor and run `make setup`"
        )
    return good("browser libraries", f"all {len(lock['packages']) - 1} as locked")


def check_static(place: Layout) -> Finding:
    stamp = place.var / "static.stamp"
    if not stamp.exists() or not Path(settings.STATIC_ROOT).is_dir():
        return fault("static files", "not collected yet", "run `make run` once, or `manage.py collectstatic`")
    if stamp.read_text() != static_digest():
        return fault("static files", "older than their sources", "start the desk again: `make run` collects them")
    return good("static files", str(settings.STATIC_ROOT))


def check_columns(place: Layout) -> Finding:
    """Mapped columns beside the data sets: within their limit, each of a data set that is there."""
    folder = place.var / DATA / FOLDER
    found = kept(*noted(folder))
    size, limit = sum(size for _, size, _ in found), settings.COLUMN_CACHE_MB << 20
    text = f"{len(found)} files, {size >> 20} of {settings.COLUMN_CACHE_MB} MB"
    if gone := [file for _, _, file in found if not manifest_of(file).is_file()]:
        return fault("mapped columns", f"{gone[0].name} belongs to no data set", f"remove it: rm '{gone[0]}'")
    if size > limit:
        named = " ".join(f"'{each}'" for each in noted(folder))
        advice = f"raise DESK_COLUMN_CACHE_MB, or remove the folders, they are made anew: rm -r {named}"
        return fault("mapped columns", f"{text}: more than allowed", advice)
    return good("mapped columns", text)


def check_kernels(place: Layout) -> Finding:
    if not is_warm():
        return fault("compiled kernels", "not compiled for this version", "run `manage.py warm` (about a minute)")
    return good("compiled kernels", os.environ["NUMBA_CACHE_DIR"])


def check_latch(place: Layout) -> Finding:
    latch = place.var / "guard" / "latch.json"
    try:
        latched = latch.exists()
    except PermissionError:
        return fault("kill switch", f"{latch} cannot be read", "run doctor as the desk's owner")
    if latched:
        return fault(
            "kill switch", "latched: no order leaves this desk", "when you know why, release it: `manage.py unlock`"
        )
    return good("kill switch", "not latched")


CHECKS: tuple[Callable[[Layout], Finding], ...] = (
    check_python,
    check_packages,
    check_folder,
    check_disk,
    check_database,
    check_redis,
    check_ports,
    check_browser_libraries,
    check_static,
    check_columns,
    check_kernels,
    check_latch,
)


def examine(place: Layout) -> list[Finding]:
    """All checks, in order; one never stops the others."""
    return [check(place) for check in CHECKS]
