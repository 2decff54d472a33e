# A node is a set of namespaces (network, mounts, processes, hostname, IPC) whose process 1 runs containerd, kubelet and kube-proxy.
#
# It can be killed (power cut: everything in it dies at once and sends nothing more), isolated (its cable is pulled, it lives on)
# and started again. Its directories under $STATE/nodes/NODE are its disk.

VOLUMES=/var/lib/beachmaster-volumes
# Mount points of node-init.sh. They must exist on this machine; only the node's mount namespace has anything mounted there.
NODE_MOUNT_POINTS=(/var/lib/kubelet /var/lib/containerd /var/lib/cni /etc/cni/net.d /var/log/pods /var/log/containers /run/containerd /run/netns "$VOLUMES")
NODE_TIMEOUT=120 # s until Ready; on an idle machine 5

node_dir() { echo "$STATE/nodes/$1"; }

# n3 or 3 is the node n3.
node_parse() {
  local node=n${1#n}
  [[ $node =~ ^n[1-9]$ ]] && [ -d "$(node_dir "$node")" ] || die "no such node: '$1' (there are: $(node_names | xargs))"
  echo "$node"
}

node_create() { # makes what does not exist; the disk of an existing node is kept
  local dir
  dir=$(node_dir "$1")
  mkdir -p "$dir"/{kubelet,cni,cni-config,pod-logs,volumes,loaded}
  if [ ! -d "$dir/containerd" ]; then
    template_copy "$dir/containerd"
  fi
  [ -e "$dir/machine-id" ] || tr -d - </proc/sys/kernel/random/uuid >"$dir/machine-id"
}

node_start() {
  local node=$1 dir
  dir=$(node_dir "$node")
  if process_runs "$node"; then
    node_heal "$node"
    return
  fi
  say "starting node $node"
  network_renew_node "$node"
  cgroups_renew "$node"
  node_configure "$node"
  mount_points_make
  cat /proc/sys/kernel/random/uuid >"$dir/boot-id"
  rm -f "$dir/images-loaded"
  spawn "$node" nsenter --net="/run/netns/$(node_netns "$node")" -- \
    unshare --pid --mount --uts --ipc --fork --kill-child -- \
    bash "$dir/init.sh" "$node" "$dir" "$BIN" "$PKI/proxy.conf" "$LOGS"
  until_true $NODE_TIMEOUT node_containerd_ready "$node" || node_failed "$node" "containerd does not answer"
  node_load_images "$node"
  touch "$dir/images-loaded"
}

mount_points_make() {
  local dir
  for dir in "${NODE_MOUNT_POINTS[@]}"; do
    if [ ! -d "$dir" ]; then
      mkdir -p "$dir"
      echo "$dir" >>"$STATE/made-mount-points"
    fi
  done
}

mount_points_remove() {
  [ ! -e "$STATE/made-mount-points" ] || xargs -r rmdir --ignore-fail-on-non-empty <"$STATE/made-mount-points" 2>/dev/null || true
}

node_configure() {
  local node=$1 dir
  dir=$(node_dir "$node")
  cp "$HERE/lib/node-init.sh" "$dir/init.sh" # bash reads a script as it goes: the tree may change under a running node
  node_address "$node" >"$dir/address"
  cp "$PKI/$node.conf" "$dir/kubelet.conf"
  cat >"$dir/cni-config/10-bridge.conflist" <<EOF
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$(node_pods "$node")"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
EOF
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc cannot lower a container's score and gives up.
  cat >"$dir/containerd.toml" <<EOF
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
EOF
  # evictionHard names memory alone: how full this machine's disk is says nothing about the node.
  cat >"$dir/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupsPerQOS: true
cgroupRoot: /$CGROUP/$node
enforceNodeAllocatable: []
clusterDNS: [$CONTROL_PLANE]
clusterDomain: cluster.local
resolvConf: /dev/null
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
volumePluginDir: /var/lib/kubelet/volume-plugins
authentication: {x509: {clientCAFile: $PKI/ca.crt}, webhook: {enabled: true}, anonymous: {enabled: false}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/$node.crt
tlsPrivateKeyFile: $PKI/$node.key
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
EOF
}

node_failed() {
  tail -n 20 "$LOGS/$1.log" "$LOGS/containerd-$1.log" "$LOGS/kubelet-$1.log" >&2 2>/dev/null
  die "node $1: $2; logs are $LOGS/*-$1.log"
}

# The node's process 1, in this machine's numbers.
node_init_pid() {
  local pid
  pid=$(process_pid "$1") || return 1
  pid=$(ps -o pid= --ppid "$pid" | tr -d ' ')
  [ -n "$pid" ] && echo "$pid"
}

node_exec() { # NODE COMMAND...: in the node's namespaces
  local node=$1 pid
  shift
  pid=$(node_init_pid "$node") || return 1
  nsenter --target "$pid" --mount --pid --net --uts --ipc -- "$@"
}

node_containerd_ready() { node_exec "$1" test -S /run/containerd/containerd.sock && node_exec "$1" ctr version; }

# Ready in this life: a node that was killed a moment ago is still called Ready by the API server.
node_ready() {
  local state
  state=$(k get node "$1" -o 'jsonpath={.status.nodeInfo.bootID} {.status.conditions[?(@.type=="Ready")].status}') &&
    [ "$state" = "$(cat "$(node_dir "$1")/boot-id") True" ]
}

# The cable first: a machine without power sends no FIN.
node_kill() {
  local node=$1 pid
  ip link set "$(node_netns "$node")" down
  if pid=$(process_pid "$node"); then
    kill -KILL "$pid"
    until_true 20 node_dead "$node" || die "node $node: its processes do not end"
  fi
}

node_dead() { process_gone "$1" && [ -z "$(ip netns pids "$(node_netns "$1")")" ]; }

node_isolate() { ip link set "$(node_netns "$1")" down; }
node_heal() { ip link set "$(node_netns "$1")" up; }

node_state() {
  if ! process_runs "$1"; then
    echo dead
  elif ip -o link show "$(node_netns "$1")" | grep -q '[<,]UP[,>]'; then
    echo running
  else
    echo isolated
  fi
}
