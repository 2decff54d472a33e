# Binaries: Kubernetes, etcd, CoreDNS and helm, built from the Go module proxy and cached by what they are made of.

KUBERNETES_PACKAGES=(
  k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kube-proxy,kubectl}
  go.etcd.io/etcd/server/v3 ./coredns ./local-provisioner
)
export GOFLAGS=-buildvcs=false CGO_ENABLED=0

# Sets BIN to the directory with every binary; builds what the cache lacks.
binaries_build() {
  local kubernetes helm
  kubernetes=$CACHE/bin/kubernetes-$(module_key kubernetes)
  helm=$CACHE/bin/helm-$(module_key helm)
  build_lock "$kubernetes" "$helm"
  if [ ! -d "$kubernetes" ]; then
    GOFLAGS="$GOFLAGS -v" long "building Kubernetes, etcd and CoreDNS from source: 6 to 12 minutes on 2 cores, once" "$CACHE/log/build-kubernetes.log" build_kubernetes "$kubernetes"
  fi
  if [ ! -d "$helm" ]; then
    GOFLAGS="$GOFLAGS -v" long "building helm from source: 2 to 4 minutes on 2 cores, once" "$CACHE/log/build-helm.log" build_helm "$helm"
  fi
  BIN=$CACHE/bin/all-$(basename "$kubernetes")-$(basename "$helm")
  if [ ! -d "$BIN" ]; then
    rm -rf "$BIN.new"
    mkdir -p "$BIN.new"
    ln -s "$kubernetes"/* "$helm"/* "$BIN.new"
    mv -T "$BIN.new" "$BIN"
  fi
}

# Two work trees may want the same binaries at the same time: the second waits and finds them.
build_lock() {
  if [ -d "$1" ] && [ -d "$2" ]; then return; fi
  mkdir -p "$CACHE"
  exec 8>"$CACHE/build.lock"
  flock 8
}

# A new go.sum, Go version, source of ours or way of building makes a new key.
module_key() {
  local dir=$HERE/$1
  {
    go version
    find "$dir" -type f -name '*.go' -o -type f -name 'go.*' | sort | xargs cat
    declare -f "build_$1"
  } | hash_of
}

module_version() { # MODULE DIRECTORY-OF-GO.MOD
  awk -v module="$1" '$1 == module && !done {print $2; done = 1}' "$HERE/$2/go.mod"
}

build_kubernetes() {
  local out=$1 version v=k8s.io/component-base/version c=k8s.io/client-go/pkg/version.gitVersion
  version=$(module_version k8s.io/kubernetes kubernetes)
  rm -rf "$out.new"
  cd "$HERE/kubernetes"
  nice go build -trimpath -o "$out.new/" \
    -ldflags "-s -w -X $v.gitVersion=$version -X $v.gitMajor=1 -X $v.gitMinor=$(cut -d. -f2 <<<"$version") -X $c=$version" \
    "${KUBERNETES_PACKAGES[@]}"
  mv "$out.new/server" "$out.new/etcd" # its package is called server
  mv -T "$out.new" "$out"
}

build_helm() {
  local out=$1 version
  version=$(module_version helm.sh/helm/v4 helm)
  rm -rf "$out.new"
  cd "$HERE/helm"
  nice go build -trimpath -o "$out.new/" -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$version" helm.sh/helm/v4/cmd/helm
  mv -T "$out.new" "$out"
}
