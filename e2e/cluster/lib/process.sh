# Long-lived processes: started detached, known by a file that holds pid and start time (a pid alone may be another process by now).

RUN=$STATE/run

spawn() { # NAME COMMAND...
  local name=$1 pid
  shift
  mkdir -p "$RUN" "$LOGS"
  ulimit -n "$(ulimit -Hn)"
  setsid "$@" >>"$LOGS/$name.log" 2>&1 </dev/null 8>&- 9>&- &
  pid=$!
  echo "$pid $(process_start "$pid")" >"$RUN/$name.pid"
}

# Field 22 of /proc/PID/stat, counted after the command's name, which may hold blanks.
process_start() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  stat=${stat##*) }
  [ "${stat:0:1}" = Z ] || awk '{print $20}' <<<"$stat"
}

# Prints the pid of a process that runs; false when it does not.
process_pid() {
  local pid start
  read -r pid start 2>/dev/null <"$RUN/$1.pid" || return 1
  [ -n "$start" ] && [ "$(process_start "$pid")" = "$start" ] && echo "$pid"
}

process_runs() { process_pid "$1" >/dev/null; }

process_gone() { ! process_runs "$1"; }
