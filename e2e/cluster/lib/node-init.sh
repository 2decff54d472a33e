#!/usr/bin/env bash
# Process 1 of a node: gives it directories of its own inside new namespaces, then runs containerd, kubelet and kube-proxy.
# Started by node.sh as: node-init.sh NODE NODE-DIRECTORY BINARIES PROXY-KUBECONFIG LOGS
set -euo pipefail
node=$1 dir=$2 bin=$3 proxy_kubeconfig=$4 logs=$5

mount --make-rprivate /
mount -t proc proc /proc
hostname "$node"
# A start of a node is a boot of a machine: what lives in /run is empty and the boot id is new.
mount --bind "$dir/boot-id" /proc/sys/kernel/random/boot_id
[ ! -e /etc/machine-id ] || mount --bind "$dir/machine-id" /etc/machine-id
for own in kubelet:/var/lib/kubelet containerd:/var/lib/containerd cni:/var/lib/cni cni-config:/etc/cni/net.d pod-logs:/var/log/pods volumes:/var/lib/beachmaster-volumes; do
  mount --bind "$dir/${own%%:*}" "${own#*:}"
done
for empty in /run/containerd /run/netns /var/log/containers; do mount -t tmpfs tmpfs "$empty"; done
mount --make-rshared /

# What systemd would do: a service that ends is started again.
keep() {
  local name=$1
  shift
  while true; do
    "$@" >>"$logs/$name-$node.log" 2>&1 || true
    echo "$(date -Is) $name ended and is started again" >>"$logs/$name-$node.log"
    sleep 1
  done
}

keep containerd containerd --config "$dir/containerd.toml" &
until [ -S /run/containerd/containerd.sock ] && ctr version >/dev/null 2>&1; do sleep 0.1; done
until [ -e "$dir/images-loaded" ]; do sleep 0.1; done
keep kubelet "$bin/kubelet" --config "$dir/kubelet.yaml" --kubeconfig "$dir/kubelet.conf" --hostname-override "$node" --node-ip "$(cat "$dir/address")" &
keep kube-proxy "$bin/kube-proxy" --kubeconfig "$proxy_kubeconfig" --proxy-mode nftables --hostname-override "$node" \
  --cluster-cidr 10.90.0.0/16 --conntrack-max-per-core 0 &
wait
