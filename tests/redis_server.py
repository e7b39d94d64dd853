"""A real Redis-compatible server of a test's own: killed, stopped and restarted at will, with or without its data."""

import shutil
import signal
import subprocess
from pathlib import Path

import redis

from desk.ops.embedded import redis_arguments, redis_binary, wait_for_redis
from tests.bootstrap import free_ports
from trading.run.streams import make_client


class RedisServer:
    """One server process on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports(1)[0]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RedisServer":
        """Start and wait until it answers."""
        arguments = redis_arguments(redis_binary(), self.port, self.folder)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for_redis(self.url, timeout_s=60)
        return self

    def kill(self) -> None:
        """SIGKILL, as a crash would; does nothing when it does not run."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def restart(self, empty: bool) -> None:
        """Start again after `kill`, with or without what it had."""
        if empty:
            shutil.rmtree(self.folder)
        self.start()

    def client(self) -> "redis.Redis":
        """A new client as the loops use them."""
        return make_client(self.url)
