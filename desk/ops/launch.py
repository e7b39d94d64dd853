"""What must hold before the desk's processes start: one desk per folder, free ports, a current database, static files.

Each fault is a LaunchError of one sentence that says what to do.  It starts no process of the desk; `supervise` does.
Called by `manage.py run`; doctor uses the same port and path checks.
"""

import errno
import fcntl
import hashlib
import json
import os
import socket
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import connection

from desk.ops.embedded import NoRedis, wait_for_redis
from desk.ops.programs import SOCKET_PATH_MAX, Layout


class LaunchError(RuntimeError):
    """The desk cannot start; the text says why and what to do, in one sentence."""


def layout() -> Layout:
    """Where this desk stands, from the settings."""
    return Layout(
        base=settings.BASE_DIR,
        var=Path(settings.VAR).resolve(),
        web_port=settings.DESK_PORT,
        guard_port=settings.GUARD_PORT,
        redis_port=settings.REDIS_PORT,
        external_redis=bool(os.environ.get("DESK_REDIS_URL")),
    )


def make_folders(place: Layout) -> None:
    """The runtime folder, readable by its owner alone.  Raises LaunchError when it cannot be written."""
    longest = place.var / "guard" / "guard.sock"
    if len(os.fsencode(longest)) > SOCKET_PATH_MAX:
        raise LaunchError(f"the path {place.var} is too long for a Unix socket: set DESK_VAR to a shorter folder")
    try:
        for folder in (place.var, place.logs, place.var / "redis"):
            folder.mkdir(parents=True, exist_ok=True)
        place.var.chmod(0o700)
    except OSError as error:
        raise LaunchError(f"cannot write {place.var} ({error.strerror}): set DESK_VAR to a folder of yours") from error


def take_lock(place: Layout) -> int:
    """Exclusive lock on the runtime folder for as long as the returned descriptor is open anywhere."""
    descriptor = os.open(place.var / "desk.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        text = os.read(descriptor, 1000).decode(errors="replace")
        os.close(descriptor)
        owner = json.loads(text) if text.startswith("{") else {}
        where = f" (process {owner['pid']}, {owner['url']})" if owner else ""
        raise LaunchError(
            f"a desk already runs on the folder {place.var}{where}: stop it, or give this one its own with "
            "DESK_VAR and DESK_PORT"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "url": web_url(place)}).encode(), 0)
    return descriptor


def web_url(place: Layout) -> str:
    return f"http://127.0.0.1:{place.web_port}"


def port_is_free(port: int) -> bool:
    """Whether 127.0.0.1:`port` can be bound now; a port in TIME_WAIT counts as free."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def port_faults(place: Layout) -> list[str]:
    """One sentence for each port of this desk that cannot be had."""
    ports = [("the web", place.web_port, "DESK_PORT"), ("the guard", place.guard_port, "DESK_GUARD_PORT")]
    if not place.external_redis:
        ports.append(("Redis", place.redis_port, "DESK_REDIS_PORT"))
    faults = []
    for number, (use, port, variable) in enumerate(ports):
        if not 1 <= port <= 65535:
            faults.append(f"{variable}={port} is not a port number (1 to 65535)")
        elif port in [other for _, other, _ in ports[:number]]:
            faults.append(f"port {port} is asked for twice: set {variable} to another one")
        elif not port_is_free(port):
            faults.append(
                f"port {port} ({use}) is taken: stop the program that uses it, or set {variable} to a free port"
            )
    return faults


def check_services(place: Layout) -> None:
    """Ports free, a named Redis reachable.  Raises LaunchError with the first fault."""
    if faults := port_faults(place):
        raise LaunchError(faults[0])
    if place.external_redis:
        try:
            wait_for_redis(settings.REDIS_URL, timeout_s=3)
        except NoRedis as error:
            raise LaunchError(f"{error}; start it, or unset DESK_REDIS_URL to use the embedded one") from error


def static_digest() -> str:
    """Changes when a static file, or the settings that say how they are served, changes."""
    digest = hashlib.sha256(str(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            status = os.stat(storage.path(name))
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def collect_static(place: Layout) -> bool:
    """Copy static files with hashed names into the runtime folder; False when nothing has changed since."""
    stamp = place.var / "static.stamp"
    digest = static_digest()
    if stamp.exists() and stamp.read_text() == digest and Path(settings.STATIC_ROOT).is_dir():
        return False
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    stamp.write_text(digest)
    return True


def migrate() -> None:
    """Bring the database to this version and ship the profiles.  Raises LaunchError when it cannot be opened."""
    from django.db.utils import DatabaseError

    from trading import configs

    try:
        call_command("migrate", interactive=False, verbosity=0)
        configs.ship()
    except DatabaseError as error:
        name = connection.settings_dict["NAME"]
        raise LaunchError(
            f"the database {name} cannot be brought up to date ({error}): run `manage.py doctor`"
        ) from error
    finally:
        connection.close()
