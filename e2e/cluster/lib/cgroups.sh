# Containers' cgroups are below /beachmaster/NODE in each hierarchy, so that they can be found and removed.

CGROUP=beachmaster

cgroups_remove() { # NODE, or nothing for all; only empty ones can be removed, so a living container is never hurt
  local dir
  for dir in /sys/fs/cgroup/"$CGROUP"${1:+/$1} /sys/fs/cgroup/*/"$CGROUP"${1:+/$1}; do
    [ ! -d "$dir" ] || find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}

# All pods together weigh as much as 8 ordinary threads. The default is one, and then a compiler on this machine starves them.
CPU_SHARES=8192 # cgroup v1; the default is 1024

# The kubelet wants its root to exist in every hierarchy.
cgroups_renew() {
  local hierarchy
  cgroups_remove "$1"
  for hierarchy in $(awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/mounts); do
    mkdir -p "$hierarchy/$CGROUP/$1"
    [ ! -e "$hierarchy/$CGROUP/cpu.shares" ] || echo $CPU_SHARES >"$hierarchy/$CGROUP/cpu.shares"
  done
}

cgroups_left() {
  local dir
  for dir in /sys/fs/cgroup/"$CGROUP" /sys/fs/cgroup/*/"$CGROUP"; do [ ! -d "$dir" ] || echo "$dir"; done
}
