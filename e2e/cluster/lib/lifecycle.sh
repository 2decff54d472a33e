# The commands: what is done in which order.

# KUBECONFIG names somebody else's cluster: nothing of ours is started or removed.
external() { [ -n "${KUBECONFIG:-}" ] && [ "$KUBECONFIG" != "$KUBECONFIG_OWN" ]; }

cluster_up() {
  local count=$1 i node
  if external; then
    say "KUBECONFIG=$KUBECONFIG is set: that cluster is used, nothing is started"
    return
  fi
  [[ $count =~ ^[1-$MAX_NODES]$ ]] || die "a cluster has 1 to $MAX_NODES nodes, not '$count'"
  host_check
  lock
  require_owner
  binaries_build
  base_images_build
  mkdir -p "$STATE" "$LOGS" "$RUN"
  echo "$STATE" >"$OWNER"
  for ((i = 1; i <= count; i++)); do node_create "n$i"; done
  pki_make
  network_up
  control_plane_up
  for node in $(node_names); do node_start "$node"; done
  cluster_wait
  say "cluster of $(node_names | wc -l) nodes is ready; kubeconfig: $KUBECONFIG_OWN"
}

cluster_wait() {
  local node
  for node in $(node_names); do
    until_true $NODE_TIMEOUT node_ready "$node" || node_failed "$node" "not Ready after $NODE_TIMEOUT s"
  done
  until_true 30 dns_ready || component_failed coredns "CoreDNS is not ready after 30 s"
}

cluster_images() {
  if external; then
    say "KUBECONFIG=$KUBECONFIG is set: its images come from where the chart's values say"
    return
  fi
  own_images_compile
  lock
  mkdir -p "$LOGS" "$OWN_IMAGES"
  own_images_pack
  images_load
}

cluster_before() { # COMMIT
  external && die "KUBECONFIG=$KUBECONFIG is set: nothing is loaded into that cluster"
  [ -d "$STATE/nodes" ] || die "no cluster here: make cluster"
  before_compile "$1"
  lock
  mkdir -p "$LOGS" "$OWN_IMAGES"
  own_image beachmaster-before "$OPERATOR_CONFIG" "$BEFORE_OUT/beachmaster" "$BEFORE_OUT/launch"
  images_load
  echo "$BEFORE_TREE"
}

cluster_down() {
  local name pid left
  if external; then
    say "KUBECONFIG=$KUBECONFIG is set: that cluster is not ours to remove"
    return
  fi
  [ "$(id -u)" = 0 ] || die "needs root, as 'up' did"
  lock
  require_owner
  # By namespace and not by pid file: this finds everything, whatever was lost. A node's process 1 takes the whole node with it.
  for name in $(netns_names); do
    for pid in $(ip netns pids "$name"); do kill -KILL "$pid" 2>/dev/null || true; done
  done
  until_true 20 no_process_left || die "processes do not end: $(for name in $(netns_names); do ip netns pids "$name"; done | xargs)"
  network_down
  until_true 10 cgroups_gone || die "cgroups cannot be removed: $(cgroups_left | xargs)"
  left=$(awk -v state="$STATE/" 'index($2, state) == 1 {print $2}' /proc/mounts)
  [ -z "$left" ] || die "still mounted, so nothing is deleted: $left"
  mount_points_remove
  rm -rf "$STATE"
  rm -f "$OWNER"
  say "nothing of the cluster is left; builds stay cached in $CACHE"
}

no_process_left() {
  local name
  for name in $(netns_names); do [ -z "$(ip netns pids "$name")" ] || return 1; done
}

cgroups_gone() {
  cgroups_remove
  [ -z "$(cgroups_left)" ]
}

cluster_kubeconfig() {
  if external; then
    echo "$KUBECONFIG"
  elif [ -e "$KUBECONFIG_OWN" ]; then
    echo "$KUBECONFIG_OWN"
  else
    die "no cluster here: make cluster"
  fi
}

cluster_status() {
  local name
  [ -d "$STATE/nodes" ] || die "no cluster here: make cluster"
  for name in $(control_plane_names); do printf '%-20s %s\n' "$name" "$(process_pid "$name" || echo dead)"; done
  for name in $(node_names); do printf '%-20s %s\n' "$name" "$(node_state "$name")"; done
}

cluster_logs() { # LINES
  local log
  for log in "$LOGS"/*.log; do
    [ ! -s "$log" ] || { printf '\n==> %s <==\n' "$log" && tail -n "$1" "$log"; }
  done
}

with_node() { # ACT NODE
  local act=$1 node
  [ "$(id -u)" = 0 ] || die "needs root"
  node=$(node_parse "${2:-}")
  lock
  binaries_build
  "node_$act" "$node"
  if [ "$act" = start ]; then
    until_true $NODE_TIMEOUT node_ready "$node" || node_failed "$node" "not Ready after $NODE_TIMEOUT s"
  fi
}
