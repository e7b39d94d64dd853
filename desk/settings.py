"""Deployment settings, all from the environment.  Trading parameters are not here: they are versioned rows.

Everything has a default that works on one machine with nothing installed; `DESK_DATABASE_URL` and `DESK_REDIS_URL`
name a shared database and Redis.
"""

import os
import secrets
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from desk.config import theme
from desk.jitcache import code_hash, set_jit_cache

set_jit_cache()

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("DESK_VAR", BASE_DIR / "var"))
CODE_HASH = code_hash()  # in every journal segment: a restart with other code is seen
SAMPLE_DATA = Path(os.environ.get("DESK_SAMPLE_DATA", BASE_DIR.parent / "shared" / "data"))

DATABASE_CONNECT_S = 3  # of PostgreSQL


def env_int(name: str, default: int) -> int:
    """An integer from the environment; anything else is refused with the variable's name."""
    text = os.environ.get(name, "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={text!r} is not a whole number") from None


def secret_key() -> str:
    """The signing key: from DESK_SECRET_KEY, else made once and kept under var/ with mode 0600."""
    if key := os.environ.get("DESK_SECRET_KEY"):
        return key
    path = VAR / "secret_key"
    if not path.exists():
        VAR.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
    return path.read_text()


def database() -> dict[str, object]:
    """SQLite (WAL, BEGIN IMMEDIATE) under var/, or the PostgreSQL that DESK_DATABASE_URL names."""
    url = os.environ.get("DESK_DATABASE_URL", "")
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": VAR / "desk.sqlite3",
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                " PRAGMA cache_size=-20000; PRAGMA journal_size_limit=67108864",
            },
        }
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured(f"DESK_DATABASE_URL must start with postgresql://, not {parts.scheme!r}")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_HEALTH_CHECKS": True,
        # one that takes connections and never answers is away, too: a pause must not wait for it (T-02)
        "OPTIONS": {"connect_timeout": DATABASE_CONNECT_S},
    }


def import_folders() -> list[Path]:
    """The folders whose recordings a page may offer: DESK_IMPORT_FOLDERS, parted by colons; else var/imports and the
    sample data."""
    text = os.environ.get("DESK_IMPORT_FOLDERS", "")
    if not text:
        return [VAR / "imports", SAMPLE_DATA]
    found = [Path(part) for part in text.split(os.pathsep) if part]
    if wrong := [path for path in found if not path.is_absolute()]:
        raise ImproperlyConfigured(f"DESK_IMPORT_FOLDERS names {wrong[0]}, which is no absolute path")
    return found


def metrics_token() -> str:
    """What a collector of metrics shows instead of a sign-in (DESK_METRICS_TOKEN); empty: only who signed in reads."""
    token = os.environ.get("DESK_METRICS_TOKEN", "")
    if token and len(token) < 20:
        raise ImproperlyConfigured(
            "DESK_METRICS_TOKEN has fewer than 20 characters: make one with `openssl rand -hex 20`"
        )
    return token


def time_server() -> tuple[str, int] | None:
    """Who is asked for the time, as DESK_TIME_SERVER names it (host or host:port); None: nobody."""
    text = os.environ.get("DESK_TIME_SERVER", "")
    host, colon, port = text.rpartition(":")
    if not text:
        return None
    if not colon:
        return text, 123
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ImproperlyConfigured(f"DESK_TIME_SERVER={text!r} is neither host nor host:port")
    return host, int(port)


DEBUG = False
SECRET_KEY = secret_key()
ALLOWED_HOSTS = os.environ.get("DESK_HOSTS", "127.0.0.1,localhost,[::1]").split(",")
DESK_PORT = env_int("DESK_PORT", 8000)
GUARD_PORT = env_int("DESK_GUARD_PORT", DESK_PORT + 1)
REDIS_PORT = env_int("DESK_REDIS_PORT", DESK_PORT + 2)
REDIS_URL = os.environ.get("DESK_REDIS_URL", f"redis://127.0.0.1:{REDIS_PORT}/0")

INSTALLED_APPS = [
    "desk.config.apps.AdminThemeConfig",  # the library `unfold`; before the admin, which it dresses
    "django.contrib.admin.apps.SimpleAdminConfig",  # desk/urls.py registers: who serves no page loads none
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "axes",
    "marketdata",
    "risk",
    "trading",
    "trading.studies",
    "trading.news",
    "trading.overrides",
    "trading.statements",
    "trading.golive",
    "desk.audit",
    "desk.alerts",
    "desk.accounts",
    "desk.dashboard",
    "desk.config",
    "desk.ops",
    "desk.backtests",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "desk.config.policy.AdminPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "desk.dashboard.kill.KillTokenMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",  # every page, unless its view says otherwise
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
ROOT_URLCONF = "desk.urls"
ASGI_APPLICATION = "desk.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "desk.dashboard.rights.head",
            ]
        },
    }
]
DATABASES = {"default": database()}
SEND_JOB = "desk.batch.send"  # what puts a job into the batch queue, for who stands below the desk
COUNT_WORKERS = "desk.batch.workers"  # who takes the trials of studies
STUDY_QUEUE = "hands"  # where they are asked: no long batch job stands before them
STUDY_LEASE_S = env_int("DESK_STUDY_LEASE_S", 30)  # a worker of a study that is silent for so long is gone
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/desk/"
LOGOUT_REDIRECT_URL = "/sign-in/"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_TEMPLATE = "accounts/locked.html"
SESSION_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_SAMESITE = "Strict"
UNFOLD = theme.UNFOLD  # the admin's look
# Everything comes from this desk; the guard's address is the KILL button's second road.
GUARD_ORIGINS = [f"http://{host}:{GUARD_PORT}" for host in ("127.0.0.1", "localhost")]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "connect-src": ["'self'", *GUARD_ORIGINS],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}
# The admin's library evaluates its own attributes and writes its colours inline; nothing foreign gets in there either.
ADMIN_CONTENT_SECURITY_POLICY = {
    "default-src": ["'self'"],
    "script-src": ["'self'", "'unsafe-eval'"],
    "style-src": ["'self'", "'unsafe-inline'"],
    "img-src": ["'self'", "data:"],
    "object-src": ["'none'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
}
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
BUILD = CODE_HASH
IMPORT_FOLDERS = import_folders()
METRICS_TOKEN = metrics_token()
COLUMN_CACHE_MB = env_int("DESK_COLUMN_CACHE_MB", 8192)  # bars as mapped columns beside the data sets; 0: none
STRATEGIES = Path(os.environ.get("DESK_STRATEGIES", VAR / "strategies"))  # the functions that a page may name
DISK_BYTES_MIN = env_int("DESK_DISK_BYTES_MIN", 1_000_000_000)  # with less, pre-flight refuses a start
SOCKET_RECHECK_S = env_int("DESK_SOCKET_RECHECK_S", 30)  # how often a socket's sign-in is looked up again
# Who is told outside of this desk, in the order of escalation, and who raises an alarm when the desk falls silent.
ALERT_CHANNELS = os.environ.get("DESK_ALERT_CHANNELS", "")
ALERT_HEARTBEAT = os.environ.get("DESK_ALERT_HEARTBEAT", "")
TIME_SERVER = time_server()
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
# desk/assets/vendor is filled by the set-up from the locked npm packages and is never committed
STATICFILES_DIRS = [BASE_DIR / "static", ("vendor", BASE_DIR / "desk" / "assets" / "vendor")]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "desk.staticfiles.HashedStorage"},
}

# What follows the journal, in order; `trading` may not import `desk`, so the floor above is named here.
SINK_FOLLOWERS = ["trading.sinks.LedgerFollower", "desk.audit.follower.AuditFollower"]
# Where a lower floor's audit rows go, and what its pre-flight asks of this one, for the same reason.
AUDIT_APPEND = "desk.audit.services.append"
PREFLIGHT_EVIDENCE = "desk.dashboard.pages.evidence.evidence"
