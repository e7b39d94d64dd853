#!/usr/bin/env bash
# The whole test suite: pytest on SQLite, pytest on PostgreSQL for what touches the database; ruff and mypy.
#
# Two lanes, so that neither of two cores waits for the other.  In front, one after the other: the tests that start
# processes and look at clocks.  Beside them, at a lower priority: ruff, mypy, what only computes, what asks a database
# within the test's own process, and what starts processes and is patient (tests/conftest.py); of these the lane that
# comes to its end first takes the last.  Nothing is shared but compiled code: each pytest has a folder, ports and a Redis
# address of its own (tests/bootstrap.py).  While the kernels compile, what needs none of them runs.
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
BESIDE="" # process group of what runs beside
BESIDE_LOG="$LOGS/tests-beside.log"
SHARED="" # folder of what the lanes tell each other
PACKAGES="" # process that installs them
BEHIND=0 # niceness of what runs
POSTGRES="" # address of the server, without a database
PASSED=0
FAILED=0
SKIPPED=0
ASKED=("$@") # words for pytest
CORES="${DESK_TEST_CORES:-$(nproc)}" # 1: nothing runs beside anything
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

# The packages come while the kernels compile: both wait for other things.
begin_system_packages() {
    local missing
    missing="$(missing_packages)"
    if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing ${missing}with apt-get"
        # shellcheck disable=SC2086
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } \
            >"$LOGS/apt.log" 2>&1 </dev/null &
        PACKAGES=$!
    else
        finish_system_packages
    fi
}

finish_system_packages() {
    local missing
    if [ -n "$PACKAGES" ]; then
        wait "$PACKAGES" || true
        PACKAGES=""
    fi
    missing="$(missing_packages)"
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
    local bin port password name
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
    POSTGRES="postgresql://desk:$password@127.0.0.1:$port"
    # One database for each list: they make their own beside it, by its name.
    for name in rows desks patient; do
        PGPASSWORD="$password" "$bin/createdb" -h 127.0.0.1 -p "$port" -U desk "$name" </dev/null
    done
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
    local title="$1" file status=0 began="$SECONDS"
    shift
    say "$title"
    file="$(mktemp)"
    DESK_TEST_COUNTS="$file" nice -n "$BEHIND" "$PYTHON" -m pytest -p no:cacheprovider --durations=40 "$@" </dev/null || status=$?
    if [ "$status" = 5 ] && [ "${#ASKED[@]}" -gt 0 ]; then
        status=0 # the words that were asked for select nothing here
    fi
    count "$file" "$status"
    rm -f "$file"
    printf '== %s: %d s\n' "$title" $((SECONDS - began))
}

check() {
    local title="$1" began="$SECONDS"
    shift
    say "$title"
    if nice -n "$BEHIND" "$@" </dev/null; then
        PASSED=$((PASSED + 1))
    else
        FAILED=$((FAILED + 1))
    fi
    printf '== %s: %d s\n' "$title" $((SECONDS - began))
}

lint() {
    check "ruff check" "$PYTHON" -m ruff check .
    check "ruff format" "$PYTHON" -m ruff format --check .
    check "mypy" "$PYTHON" -m mypy .
}

compile() {
    say "compiling the kernels"
    "$PYTHON" "$ROOT/manage.py" warm </dev/null
}

# The first lane that asks for a list gets it: a folder can be made only once.
take() {
    mkdir "$SHARED/$1" 2>/dev/null
}

# The lists of tests.  A test is in one of them on SQLite, and in one on PostgreSQL where the database has a part in it.
in_front() {
    suite "pytest, SQLite: processes" -m "processes and not patient" "${ASKED[@]}"
}

clocks() {
    suite "pytest, loops, sockets and clocks" -m "not pure and not database and not processes" "${ASKED[@]}"
}

computing() {
    suite "pytest, what only computes" -m pure "${ASKED[@]}"
}

rows() {
    suite "pytest, SQLite: in this process" -m "database and not processes" "${ASKED[@]}"
}

rows_on_postgres() {
    DESK_DATABASE_URL="$POSTGRES/rows" suite "pytest, PostgreSQL: in this process" -m "database and not processes" "${ASKED[@]}"
}

desks_on_postgres() {
    DESK_DATABASE_URL="$POSTGRES/desks" suite "pytest, PostgreSQL: processes" -m "database and processes and not patient" \
        "${ASKED[@]}"
}

# Desks and browsers wait for one another: at the lowest priority they would wait for ever.
patient() {
    local BEHIND=$((BEHIND > 5 ? 5 : BEHIND))
    suite "pytest, SQLite: patient processes" -m "processes and patient" "${ASKED[@]}"
}

patient_on_postgres() {
    local BEHIND=$((BEHIND > 5 ? 5 : BEHIND))
    DESK_DATABASE_URL="$POSTGRES/patient" suite "pytest, PostgreSQL: patient processes" \
        -m "database and processes and patient" "${ASKED[@]}"
}

what_is_left() {
    local list
    for list in "$@"; do
        if take "$list"; then
            "$list"
        fi
    done
}

# A list that neither lane could take was not run: it is no pass.
check_lists() {
    local list
    for list in computing rows rows_on_postgres patient patient_on_postgres clocks desks_on_postgres; do
        if [ ! -d "$SHARED/$list" ]; then
            say "$list: no lane took it"
            FAILED=$((FAILED + 1))
        fi
    done
}

# In a shell of its own: its counts are its own, too.
beside() {
    PASSED=0 FAILED=0 SKIPPED=0 BEHIND=19
    export DESK_TEST_LANE=1
    lint
    until [ -f "$SHARED/ready" ]; do
        sleep 1
    done
    POSTGRES="$(cat "$SHARED/ready")"
    what_is_left computing patient patient_on_postgres rows rows_on_postgres # what looks at clocks stays in front: two desks on two cores are late
    printf '%d %d %d\n' "$PASSED" "$FAILED" "$SKIPPED" >"$SHARED/counts"
}

start_beside() {
    set -m # a process group of its own, so that all of it can be ended
    beside >"$BESIDE_LOG" 2>&1 </dev/null &
    BESIDE=$!
    set +m
}

finish_beside() {
    local status=0
    wait "$BESIDE" || status=$?
    BESIDE=""
    cat "$BESIDE_LOG"
    count "$SHARED/counts" "$status"
}

clean_up() {
    if [ -n "$BESIDE" ]; then
        kill -- "-$BESIDE" 2>/dev/null || true
    fi
    stop_postgres
    rm -rf "$SHARED"
}

SHARED="$(mktemp -d)"
trap clean_up EXIT
export CI="${CI:-1}"
unset DESK_DATABASE_URL

begin_system_packages
[ "$CORES" -le 1 ] || start_beside
compile
finish_system_packages
start_postgres
printf "%s" "$POSTGRES" >"$SHARED/address" # only its owner reads this folder
mv "$SHARED/address" "$SHARED/ready"
in_front
what_is_left desks_on_postgres clocks rows_on_postgres rows patient_on_postgres patient computing
if [ -n "$BESIDE" ]; then
    finish_beside
else
    lint
fi
check_lists
stop_postgres

printf '\n== %d minutes\n%d passed, %d failed, %d skipped\n' $(((SECONDS + 30) / 60)) "$PASSED" "$FAILED" "$SKIPPED"
[ "$FAILED" = 0 ]
