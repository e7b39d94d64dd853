"""A PostgreSQL that takes connections and never answers is away within seconds: a pause does not wait for it (T-02)."""

import socket
import time

import pytest
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg import OperationalError

from desk import settings as desk_settings


def test_a_database_that_never_answers_is_away_t_02(monkeypatch: pytest.MonkeyPatch) -> None:
    """T-02: what reduces goes without the database then, and its row follows (`trading.control`)."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://desk:secret@127.0.0.1:{silent.getsockname()[1]}/desk"
        monkeypatch.setenv("DESK_DATABASE_URL", url)
        usual: dict[str, object] = {
            "TIME_ZONE": None,
            "AUTOCOMMIT": True,
            "CONN_MAX_AGE": 0,
            "ATOMIC_REQUESTS": False,
            "TEST": {},
        }
        wrapper = DatabaseWrapper(usual | desk_settings.database())
        began = time.monotonic()
        with pytest.raises(OperationalError):
            wrapper.get_new_connection(wrapper.get_connection_params())
        assert time.monotonic() - began < 3 * desk_settings.DATABASE_CONNECT_S
