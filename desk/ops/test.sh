#!/usr/bin/env bash
# The whole test suite: pytest on SQLite, pytest on PostgreSQL for what touches the database, then ruff and mypy.
#
# Called by `make test` after the set-up.  Needs Chromium and PostgreSQL's server programs: as root it installs the
# missing ones from the system's packages, otherwise it says what is missing.  The PostgreSQL cluster is a throw-away
# one in a temporary folder, run by a user who is not root.  The last line has the counts of everything.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
PYTHON="$ROOT/.venv/bin/python"
LOGS="$ROOT/var/logs"
WORK=""
CLUSTER_USER=""
PASSED=0
FAILED=0
SKIPPED=0
cd "$ROOT"
mkdir -p "$LOGS"

say() {
    printf '\n== %s\n' "$1"
}

find_chromium() {
    local name
    for name in "${DESK_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
        if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

# The folder of initdb and pg_ctl, the newest version first; Debian keeps them off PATH.
find_postgres() {
    local folder
    for folder in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) "$(dirname "$(command -v initdb || echo /none/x)")"; do
        if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then
            printf '%s' "$folder"
            return 0
        fi
    done
    return 1
}

missing_packages() {
    find_chromium >/dev/null || printf 'chromium '
    find_postgres >/dev/null || printf 'postgresql '
}

require_system_packages() {
    local missing
    missing="$(missing_packages)"
    if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing ${missing}with apt-get"
        # shellcheck disable=SC2086
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } \
            >"$LOGS/apt.log" 2>&1 </dev/null || true
        missing="$(missing_packages)"
    fi
    if [ -n "$missing" ]; then
        printf 'make test: missing: %s(Debian: apt-get install -y %s); run that as root, then repeat\n' "$missing" "${missing% }" >&2
        exit 1
    fi
    DESK_CHROMIUM="$(find_chromium)"
    export DESK_CHROMIUM
}

# Runs a command as the cluster's owner: never as root, which PostgreSQL refuses.
as_owner() {
    if [ "$(id -u)" = 0 ]; then
        runuser -u "$CLUSTER_USER" -- "$@"
    else
        "$@"
    fi
}

start_postgres() {
    local bin port password
    bin="$(find_postgres)"
    WORK="$(mktemp -d /tmp/desk-postgres-XXXXXX)"
    if [ "$(id -u)" = 0 ]; then
        CLUSTER_USER="$(getent passwd postgres >/dev/null && echo postgres || echo nobody)"
        chown "$CLUSTER_USER" "$WORK"
    fi
    password="$("$PYTHON" -c 'import secrets; print(secrets.token_hex(16))')"
    port="$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
    as_owner sh -c "umask 077; printf '%s' '$password' >'$WORK/password'"
    # Outputs are redirected: a server that keeps the shell's pipe open would never let this call return.
    (cd "$WORK" && as_owner "$bin/initdb" -D "$WORK/data" -U desk -A scram-sha-256 --pwfile="$WORK/password" -E UTF8 \
        --locale=C.UTF-8 --no-sync) >"$LOGS/postgres-initdb.log" 2>&1 </dev/null
    (cd "$WORK" && as_owner "$bin/pg_ctl" -D "$WORK/data" -l "$WORK/server.log" -w -t 60 \
        -o "-p $port -k $WORK -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off" start) \
        >"$LOGS/postgres-start.log" 2>&1 </dev/null
    POSTGRES_URL="postgresql://desk:$password@127.0.0.1:$port/postgres"
}

stop_postgres() {
    local bin
    if [ -n "$WORK" ] && [ -d "$WORK" ]; then
        bin="$(find_postgres)"
        if [ -f "$WORK/data/postmaster.pid" ]; then
            (cd "$WORK" && as_owner "$bin/pg_ctl" -D "$WORK/data" -m immediate -w stop) >"$LOGS/postgres-stop.log" 2>&1 </dev/null || true
        fi
        rm -rf "$WORK"
    fi
}

# Adds the counts that tests/bootstrap.py wrote; a run that wrote none counts as one failure.
count() {
    local file="$1" status="$2" passed=0 failed=0 skipped=0
    if [ -s "$file" ]; then
        read -r passed failed skipped <"$file"
    fi
    if [ "$status" != 0 ] && [ "$failed" = 0 ]; then
        failed=1
    fi
    PASSED=$((PASSED + passed))
    FAILED=$((FAILED + failed))
    SKIPPED=$((SKIPPED + skipped))
}

suite() {
    local title="$1" file status=0
    shift
    say "$title"
    file="$(mktemp)"
    DESK_TEST_COUNTS="$file" "$PYTHON" -m pytest "$@" </dev/null || status=$?
    count "$file" "$status"
    rm -f "$file"
}

check() {
    local title="$1"
    shift
    say "$title"
    if "$@" </dev/null; then
        PASSED=$((PASSED + 1))
    else
        FAILED=$((FAILED + 1))
    fi
}

require_system_packages
trap stop_postgres EXIT
export CI="${CI:-1}"
unset DESK_DATABASE_URL

say "compiling the kernels, on every core"
"$PYTHON" "$ROOT/manage.py" warm </dev/null
suite "pytest, SQLite" "$@"
start_postgres
DESK_DATABASE_URL="$POSTGRES_URL" suite "pytest, PostgreSQL (what touches the database)" -m database "$@"
stop_postgres
check "ruff check" "$PYTHON" -m ruff check .
check "ruff format" "$PYTHON" -m ruff format --check .
check "mypy" "$PYTHON" -m mypy .

printf '\n%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
[ "$FAILED" = 0 ]
