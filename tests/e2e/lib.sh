# SPDX-License-Identifier: GPL-3.0-or-later
# For the end-to-end tests: a place of their own, simulators, waiting for conditions instead of sleeping.
# Sourced. $BUILD: where the programs are.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
BUILD=${BUILD:-$PWD}
BMSCOPE=${BMSCOPE:-$BUILD/bmscope}
SIM=${SIM:-$BUILD/bmscope-sim}
work=$(mktemp -d "${TMPDIR:-/tmp}/bmscope-test.XXXXXX")
export STATE_DIRECTORY="$work/state"
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=1"
children=()

cleanup() {
  local c
  for c in "${children[@]:-}"; do [ -n "$c" ] && kill "$c" 2>/dev/null; done
  wait 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT

failures=0
fail() {
  printf 'FAIL: %s\n' "$*"
  failures=$((failures + 1))
}
pass() { printf 'ok: %s\n' "$*"; }
# check WHAT CONDITION...: the condition is a command
check() {
  local what=$1
  shift
  if "$@"; then pass "$what"; else fail "$what"; fi
}
finish() {
  [ $failures = 0 ] && exit 0
  printf '%d failed\n' $failures
  exit 1
}

need() {
  local p
  for p in "$@"; do
    command -v "$p" >/dev/null || { printf 'FAIL: %s is needed for this test\n' "$p"; exit 1; }
  done
}

# until_true SECONDS COMMAND...: true as soon as the command is
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

# simulate ARGUMENT...: starts bmscope-sim; its ports are in ${ports[@]}, its process in $sim
simulate() {
  local n=0 a
  for a in "$@"; do [ "$a" = --port ] && n=$((n + 1)); done
  : >"$work/sim.out"
  "$SIM" "$@" >"$work/sim.out" 2>"$work/sim.err" &
  sim=$!
  children+=("$sim")
  local end=$((SECONDS + 10))
  while [ "$(wc -l <"$work/sim.out")" -lt "$n" ]; do
    [ $SECONDS -lt $end ] || { fail "bmscope-sim does not start: $(cat "$work/sim.err")"; finish; }
    sleep 0.05
  done
  mapfile -t ports <<<"$(cut -d" " -f1 "$work/sim.out" | cut -f1)"
}

stop_sim() {
  kill "$sim" 2>/dev/null
  wait "$sim" 2>/dev/null
}
