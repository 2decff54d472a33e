# What this tool needs of the machine: rights, kernel features, packages, tool chains.

# command or file : Debian package that brings it
NEEDS=(
  containerd:containerd ctr:containerd runc:runc /usr/lib/cni/bridge:containernetworking-plugins
  iptables:iptables nft:nftables conntrack:conntrack ethtool:ethtool ip:iproute2 sysctl:procps ps:procps
  nsenter:util-linux flock:util-linux mount:mount openssl:openssl mmdebstrap:mmdebstrap
  gcc:gcc strip:binutils /usr/include/stdio.h:libc6-dev
)

# capability bits of linux/capability.h : what they are for
CAPABILITIES=(
  '0:CHOWN' '1:DAC_OVERRIDE' '5:KILL' '6:SETGID' '7:SETUID' '12:NET_ADMIN' '18:SYS_CHROOT' '19:SYS_PTRACE' '21:SYS_ADMIN' '27:MKNOD'
)

host_check() {
  host_rights
  host_packages
  host_kernel
  host_toolchains
}

host_rights() {
  [ "$(id -u)" = 0 ] ||
    die "needs root (network namespaces, mounts and cgroups of its own), but runs as $(id -un). Run it with sudo, or set KUBECONFIG to a cluster that exists."
  local effective entry missing=()
  effective=$((16#$(awk '/^CapEff/ {print $2}' /proc/self/status)))
  for entry in "${CAPABILITIES[@]}"; do
    ((effective >> ${entry%%:*} & 1)) || missing+=("CAP_${entry#*:}")
  done
  [ ${#missing[@]} = 0 ] ||
    die "root here lacks ${missing[*]}: probably a container. Run it on a machine or virtual machine, in a privileged container, or set KUBECONFIG to a cluster that exists."
}

host_packages() { host_commands "${NEEDS[@]}"; }

# host_commands ENTRIES...: installs the packages of those that are missing.
host_commands() {
  local entry missing=()
  for entry in "$@"; do
    command -v "${entry%%:*}" >/dev/null || [ -e "${entry%%:*}" ] || missing+=("${entry#*:}")
  done
  [ ${#missing[@]} = 0 ] && return
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  command -v apt-get >/dev/null || die "needs these programs (names of Debian packages): ${missing[*]}"
  long "installing Debian packages: ${missing[*]}" "$CACHE/log/apt.log" host_install "${missing[@]}"
}

# The packages' own services are not wanted: every node runs its containerd itself.
host_install() {
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    made=yes
  fi
  export DEBIAN_FRONTEND=noninteractive
  local status=0
  { apt-get update && apt-get install -y --no-install-recommends "$@"; } || status=$?
  [ -z "$made" ] || rm -f $policy
  return $status
}

host_kernel() {
  [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || modprobe br_netfilter 2>/dev/null ||
    die "the kernel has no br_netfilter (Services between pods of one node need it): modprobe br_netfilter"
  unshare --mount --pid --net --uts --ipc --fork true 2>/dev/null ||
    die "the kernel or a seccomp filter refuses new namespaces (unshare --mount --pid --net failed): run it outside of the container"
  [ -w /sys/fs/cgroup ] || die "/sys/fs/cgroup is not writable: containers cannot get cgroups here"
  grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || die "the kernel has no overlay file system: modprobe overlay"
}

host_toolchains() {
  command -v go >/dev/null || die "needs Go $(awk '/^go / {print $2}' "$HERE/kubernetes/go.mod") or newer on PATH to build Kubernetes"
  command -v cargo >/dev/null || die "needs cargo on PATH to build the operator"
}
