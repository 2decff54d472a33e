# A bridge on this machine, a network namespace for the control plane and one for each node. No way out to other networks.
#
#   bm0 10.89.0.1 ── bm-cp 10.89.0.2
#                 ├─ bm-n1 10.89.0.11, its pods 10.90.1.0/24
#                 └─ bm-n2 10.89.0.12, its pods 10.90.2.0/24 …

BRIDGE=bm0
HOST_ADDRESS=10.89.0.1
CONTROL_PLANE=10.89.0.2
CONTROL_PLANE_NETNS=bm-cp
SERVICES=10.96.0.0/16
API_SERVICE=10.96.0.1
PODS=10.90.0.0/16
MAX_NODES=9

node_names() { # the nodes that exist, in order
  local dir
  for dir in "$STATE"/nodes/n[1-9]; do [ ! -d "$dir" ] || basename "$dir"; done
}
node_netns() { echo "bm-$1"; }
node_address() { echo "10.89.0.$((10 + ${1#n}))"; }
node_pods() { echo "10.90.${1#n}.0/24"; }

network_up() {
  local node
  if ! ip link show "$BRIDGE" >/dev/null 2>&1; then
    ip link add "$BRIDGE" type bridge
    ip addr add "$HOST_ADDRESS/24" dev "$BRIDGE"
  fi
  ip link set "$BRIDGE" up
  netns_ensure "$CONTROL_PLANE_NETNS" "$CONTROL_PLANE"
  for node in $(node_names); do netns_ensure "$(node_netns "$node")" "$(node_address "$node")"; done
  for node in $(node_names); do network_route_to "$node"; done
}

# From this machine, the control plane and every other node to the pods of one node.
network_route_to() {
  local node=$1 other
  ip route replace "$(node_pods "$node")" via "$(node_address "$node")"
  ip -n "$CONTROL_PLANE_NETNS" route replace "$(node_pods "$node")" via "$(node_address "$node")"
  for other in $(node_names); do
    if [ "$other" != "$node" ]; then
      ip -n "$(node_netns "$other")" route replace "$(node_pods "$node")" via "$(node_address "$node")"
    fi
  done
}

netns_ok() { nsenter --net="/run/netns/$1" ip link show eth0 >/dev/null 2>&1 && ip link show "$1" >/dev/null 2>&1; }

netns_ensure() { if ! netns_ok "$1"; then netns_make "$@"; fi; }

netns_make() { # NAME ADDRESS; the interface on this machine has the namespace's name
  local name=$1 address=$2
  netns_remove "$name"
  ip netns add "$name"
  ip link add "$name" type veth peer name eth0 netns "$name"
  ip link set "$name" master "$BRIDGE" up
  ip -n "$name" addr add "$address/24" dev eth0
  ip -n "$name" link set eth0 up
  ip -n "$name" link set lo up
  # Cluster addresses need some route, or no packet is made that kube-proxy's rules could redirect.
  ip -n "$name" route add "$SERVICES" via "$HOST_ADDRESS"
  ip netns exec "$name" sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
}

netns_remove() {
  ip netns del "$1" 2>/dev/null || rm -f "/run/netns/$1"
  ip link del "$1" 2>/dev/null || true
}

# A node that comes back from a power cut has no rules, routes or connections of its former life.
network_renew_node() {
  local other
  netns_make "$(node_netns "$1")" "$(node_address "$1")"
  network_route_to "$1"
  for other in $(node_names); do if [ "$other" != "$1" ]; then network_route_to "$other"; fi; done
}

network_down() {
  local name
  for name in $(netns_names); do netns_remove "$name"; done
  ip link del "$BRIDGE" 2>/dev/null || true
  # `ip netns add` mounts the directory onto itself.
  if mountpoint -q /run/netns && [ -z "$(ls /run/netns)" ]; then
    umount /run/netns
  fi
}

netns_names() { ip netns list 2>/dev/null | awk '{print $1}' | grep -E "^bm-(cp|n[1-9])$" || true; }
