# Images without a registry. The base images (pause, MariaDB) are built once and come with every new node;
# the project's own are built from the work tree and imported into the running nodes when they changed.

PAUSE_IMAGE=localhost/pause:1
MARIADB_VERSIONS=(10.11 11.8)
OWN_IMAGES=$STATE/images

# --- base images -----------------------------------------------------------------------------------------------------------

# Sets TEMPLATE to a containerd root that holds the base images, unpacked; makes it when the cache has none.
base_images_build() {
  local pause version archive archives=()
  pause=$CACHE/images/pause-$(module_version k8s.io/kubernetes kubernetes).tar
  mkdir -p "$CACHE/images"
  if [ ! -e "$pause" ]; then
    pause_image "$pause"
  fi
  for version in "${MARIADB_VERSIONS[@]}"; do
    archive=$(mariadb_image_archive "$version")
    archives+=("$archive")
  done
  # Archives are named after what made them.
  TEMPLATE=$CACHE/images/containerd-$(basename --multiple "$pause" "${archives[@]}" | hash_of)
  if [ ! -d "$TEMPLATE" ]; then
    long "unpacking the base images, once" "$CACHE/log/image-template.log" template_build "$TEMPLATE" "$pause" "${archives[@]}"
  fi
}

# The container that holds a pod's network namespace is one C file of Kubernetes' own.
pause_image() {
  local dir source
  dir=$(mktemp -d -p "$CACHE/images")
  source=$(cd "$HERE/kubernetes" && go mod download -json k8s.io/kubernetes | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  gcc -Os -static -DVERSION=beachmaster -o "$dir/pause" "$source/build/pause/linux/pause.c"
  archive_tar "$dir/layer.tar" "$dir" pause
  archive "$1" "$PAUSE_IMAGE" '{"User":"65535:65535","Entrypoint":["/pause"]}' "$dir/layer.tar"
  rm -rf "$dir"
}

# A containerd of its own imports the archives; its socket's path must stay below 108 bytes.
template_build() {
  local out=$1 run archive pid
  shift
  run=$(mktemp -d /tmp/bm.XXXXXX)
  rm -rf "$out.new"
  printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[plugins."io.containerd.internal.v1.opt"]\npath = "%s/opt"\n' "$run" >"$run/config.toml"
  unshare --mount -- containerd --config "$run/config.toml" --root "$out.new" --state "$run/state" --address "$run/s" &
  pid=$!
  if until_true 30 ctr --address "$run/s" version; then
    for archive in "$@"; do ctr --address "$run/s" --namespace k8s.io image import "$archive"; done
  fi
  kill "$pid"
  wait "$pid" || true
  rm -rf "$run"
  [ -s "$out.new/io.containerd.metadata.v1.bolt/meta.db" ]
  mv -T "$out.new" "$out"
}

# Hard links: content and unpacked layers are never written to again. The databases are, so each node has its own.
template_copy() {
  local out=$1 db
  rm -rf "$out.new"
  cp --archive --link "$TEMPLATE" "$out.new" 2>/dev/null || { rm -rf "$out.new" && cp --archive "$TEMPLATE" "$out.new"; }
  find "$out.new" -name '*.db' | while read -r db; do
    cp --archive "$db" "$db.own"
    mv "$db.own" "$db"
  done
  mv -T "$out.new" "$out"
}

# --- the project's own images ----------------------------------------------------------------------------------------------

# Compiles the programs into OUT. In the dev profile they share the dependencies' compilation with the tests: a cold machine
# compiles those once, and a change is in the nodes after seconds. PROFILE=release is for measuring.
OWN_PROFILE=${PROFILE:-dev}
OPERATOR_CONFIG='{"User":"65532:65532","Entrypoint":["/beachmaster"]}'

own_images_directory() { echo "${CARGO_TARGET_DIR:-$REPOSITORY/target}/${OWN_PROFILE/#dev/debug}"; }

own_images_compile() {
  OUT=$(own_images_directory)
  say "compiling the programs of the images"
  # All in one go: alone, a program would get dependencies with fewer features, which are other builds of them.
  RUSTC_WORKSPACE_WRAPPER="$HERE/lib/rustc-static" \
    cargo build --manifest-path "$REPOSITORY/Cargo.toml" --quiet --profile "$OWN_PROFILE" --workspace --bins
}

own_images_pack() {
  own_image beachmaster "$OPERATOR_CONFIG" "$OUT/beachmaster" "$OUT/launch"
  own_image beachmaster-e2e '{"User":"65532:65532","Entrypoint":["/e2e"]}' "$OUT/e2e"
}

own_image() { # NAME CONFIG FILES...; FROM scratch: the files, users with names, /tmp
  local name=$1 config=$2 file dir key
  shift 2
  for file in "$@"; do require_static "$file"; done
  key=$(cat "$HERE/lib/images.sh" "$HERE/lib/archive.sh" "$@" | hash_of)
  [ "$(cat "$OWN_IMAGES/$name.key" 2>/dev/null)" != "$key" ] || return 0
  dir=$(mktemp -d -p "$OWN_IMAGES")
  mkdir -p "$dir/root/etc" "$dir/root/tmp"
  chmod 755 "$dir/root"
  chmod 1777 "$dir/root/tmp"
  printf '%s\n' root:x:0:0::/:/sbin/nologin mysql:x:999:999::/:/sbin/nologin nonroot:x:65532:65532::/:/sbin/nologin >"$dir/root/etc/passwd"
  printf '%s\n' root:x:0: mysql:x:999: nonroot:x:65532: >"$dir/root/etc/group"
  install -m 755 --strip "$@" "$dir/root"
  archive_tar "$dir/layer.tar" "$dir/root" .
  archive "$OWN_IMAGES/$name.tar" "localhost/$name:dev" "$config" "$dir/layer.tar"
  rm -rf "$dir"
  echo "$key" >"$OWN_IMAGES/$name.key"
}

# Compiles an earlier commit's programs for beachmaster-before. Sets BEFORE_TREE, where its chart is, and BEFORE_OUT.
# The path names the commit: cargo takes files that are older than its last build for built.
before_compile() { # COMMIT
  local name=$1 commit failed=
  [ -n "$name" ] || name=$(git -C "$REPOSITORY" describe --tags --abbrev=0 2>/dev/null || echo HEAD^)
  commit=$(git -C "$REPOSITORY" rev-parse --quiet --verify "$name^{commit}") ||
    die "'$name' is no commit of $REPOSITORY: a clone of depth 1 has none but its own"
  BEFORE_TREE=$STATE/before/$commit
  BEFORE_OUT=$BEFORE_TREE.$OWN_PROFILE
  [ ! -e "$BEFORE_OUT" ] || return 0
  rm -rf "$BEFORE_TREE" "$BEFORE_OUT.new"
  mkdir -p "$BEFORE_TREE" "$BEFORE_OUT.new"
  git -C "$REPOSITORY" archive "$commit" | tar --extract --directory "$BEFORE_TREE"
  say "compiling the programs of $(git -C "$REPOSITORY" log -1 --format='%h %s' "$commit")"
  OUT=$(own_images_directory)
  # The same target directory, so that dependencies are compiled once; its programs lie over ours until ours are asked for again.
  { CARGO_TARGET_DIR=$(dirname "$OUT") REPOSITORY=$BEFORE_TREE own_images_compile &&
    cp "$OUT/beachmaster" "$OUT/launch" "$BEFORE_OUT.new"; } || failed=yes
  own_images_compile
  [ -z "$failed" ] || die "the programs of $name were not compiled"
  mv -T "$BEFORE_OUT.new" "$BEFORE_OUT"
}

require_static() {
  [ -x "$1" ] || die "$1 was not built"
  # A dynamic program names its loader in its first page.
  if head -c 4096 "$1" | grep -aq /ld-linux; then die "$1 is linked dynamically; it must run in an image without libraries"; fi
}

# Brings a node's images up to date: only those whose content changed since this node last loaded them.
node_load_images() {
  local node=$1 tar name key dir
  dir=$(node_dir "$node")
  for tar in "$OWN_IMAGES"/*.tar; do
    [ -e "$tar" ] || continue
    name=$(basename "$tar" .tar)
    key=$(cat "$OWN_IMAGES/$name.key")
    if [ "$(cat "$dir/loaded/$name" 2>/dev/null)" != "$key" ]; then
      node_exec "$node" ctr --namespace k8s.io image import "$tar" >>"$LOGS/images-$node.log" 2>&1 || die "node $node: import of $tar failed, see $LOGS/images-$node.log"
      echo "$key" >"$dir/loaded/$name"
      say "  $node has localhost/$name:dev $key"
    fi
  done
}

images_load() { # into every running node, side by side
  local node jobs=() job
  for node in $(node_names); do
    if process_runs "$node"; then
      node_load_images "$node" &
      jobs+=($!)
    fi
  done
  for job in "${jobs[@]}"; do wait "$job" || die "not every node has the new images"; done
}
