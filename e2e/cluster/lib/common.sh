# Paths, progress and small helpers. Sourced by `cluster`; defines functions and constants only.

STATE=${BEACHMASTER_STATE:-${XDG_STATE_HOME:-${HOME:-/root}/.local/state}/beachmaster}
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/beachmaster
LOGS=$STATE/log
KUBECONFIG_OWN=$STATE/kubeconfig

# Names and addresses on this machine are fixed, so one machine runs one cluster. This file names its state directory.
OWNER=/run/beachmaster-cluster/owner
LOCK=/run/beachmaster-cluster/lock

# Progress goes to stderr: stdout is for what a caller asked for (a path, a name).
say() { printf '%4ds  %s\n' "$SECONDS" "$*" >&2; }

die() {
  printf 'cluster: %s\n' "$*" >&2
  exit 1
}

# long TEXT LOG COMMAND...: runs a command that may take minutes; shows that it is alive, and its last lines if it fails.
long() {
  local text=$1 log=$2 pid beat=0
  shift 2
  mkdir -p "$(dirname "$log")"
  say "$text (log: $log)"
  # A process group of its own, so that nothing of it stays when this one is stopped.
  set -m
  "$@" >"$log" 2>&1 </dev/null 8>&- 9>&- &
  pid=$!
  set +m
  trap 'kill -- -"$pid" 2>/dev/null; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    beat=$((beat + 1))
    [ $((beat % 100)) -ne 0 ] || say "  … $(tail -n 1 "$log" | cut -c 1-100)"
  done
  trap - INT TERM
  wait "$pid" && return
  tail -n 30 "$log" >&2
  die "failed: $text; the whole log is in $log"
}

# until_true SECONDS COMMAND...: asks again until the command succeeds; false when the time is up.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

k() { "$BIN/kubectl" --kubeconfig "$KUBECONFIG_OWN" --cache-dir "$STATE/kubectl-cache" "$@"; }

# One command at a time changes the cluster. Started processes must not inherit its descriptor (`9>&-`; 8 is that of builds): they would keep the lock.
lock() {
  mkdir -p "$(dirname "$LOCK")"
  exec 9>"$LOCK"
  flock -n 9 && return
  say "another cluster command is running; waiting for it"
  flock 9
}

require_owner() {
  local owner
  owner=$(cat "$OWNER" 2>/dev/null || true)
  [ -z "$owner" ] || [ "$owner" = "$STATE" ] || [ ! -d "$owner" ] ||
    die "this machine already runs the cluster of $owner; remove it first: BEACHMASTER_STATE=$owner $HERE/cluster down"
}

hash_of() { sha256sum | cut -c 1-16; }
