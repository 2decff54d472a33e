# Containers' cgroups are below /beachmaster/NODE in each hierarchy, so that they can be found and removed.

CGROUP=beachmaster

cgroups_remove() { # NODE, or nothing for all; only empty ones can be removed, so a living container is never hurt
  local dir
  for dir in /sys/fs/cgroup/"$CGROUP"${1:+/$1} /sys/fs/cgroup/*/"$CGROUP"${1:+/$1}; do
    [ ! -d "$dir" ] || find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}

cgroups_left() {
  local dir
  for dir in /sys/fs/cgroup/"$CGROUP" /sys/fs/cgroup/*/"$CGROUP"; do [ ! -d "$dir" ] || echo "$dir"; done
}
