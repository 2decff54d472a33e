# MariaDB from Debian's packages: images for the nodes, and a tree whose programs run on this machine.

# version : the Debian suite that has it
declare -A MARIADB_SUITES=([10.11]=bookworm [11.8]=trixie)

# Prints the path of the image archive of a VERSION; builds it when the cache has none.
mariadb_image_archive() {
  local version=$1 out
  out=$CACHE/images/mariadb-$version-$(mariadb_key "$version").tar
  mariadb_once "$out" "building $(mariadb_image_name "$version") from Debian packages: 1 minute, once" mariadb_image "$version"
  echo "$out"
}

# Prints a directory with bin/mariadbd, bin/mariadb, bin/mariadb-binlog and bin/mariadb-install-db of a VERSION.
mariadb_root() {
  local version=$1 out
  mariadb_suite "$version" >/dev/null
  mariadb_user
  out=$(mariadb_roots)/$version-$(mariadb_key "$version")
  if [ ! -d "$out" ]; then
    host_commands mmdebstrap:mmdebstrap
    local archive
    archive=$(mariadb_image_archive "$version")
    mariadb_once "$out" "unpacking MariaDB $version for this machine, once" mariadb_root_unpack "$archive"
  fi
  echo "$out"
}

# The server gives up root's rights before it loads its plugins: root's home would be closed to it.
mariadb_roots() { if [ "$(id -u)" = 0 ]; then echo /var/cache/beachmaster/mariadb; else echo "$CACHE/mariadb"; fi; }

# Started by root, the server gives up root's rights for a user, whose name its accounts know.
mariadb_user() {
  [ "$(id -u)" != 0 ] || getent passwd mysql >/dev/null ||
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin mysql
}

mariadb_image_name() { echo "localhost/mariadb:$1"; }

mariadb_suite() {
  [ -n "${MARIADB_SUITES[$1]:-}" ] || die "no Debian suite is known for MariaDB $1; these are: ${!MARIADB_SUITES[*]}"
  echo "${MARIADB_SUITES[$1]}"
}

mariadb_key() { { echo "$1" && cat "$HERE/lib/mariadb-image.sh" "$HERE/lib/archive.sh"; } | hash_of; }

# mariadb_once OUT TEXT COMMAND ARGUMENTS...: runs COMMAND OUT ARGUMENTS... when OUT is missing. Two work trees may want the same
# thing at the same time: the second waits and finds it.
mariadb_once() {
  local out=$1 text=$2 command=$3
  shift 3
  [ ! -e "$out" ] || return 0
  mkdir -p "$(dirname "$out")"
  (
    flock 7
    [ -e "$out" ] || long "$text" "$CACHE/log/$(basename "$out").log" "$command" "$out" "$@"
  ) 7>"$CACHE/mariadb.lock"
}

mariadb_image() { # OUT VERSION
  local out=$1 version=$2 dir
  dir=$(mktemp -d -p "$(dirname "$out")")
  mariadb_layer "$dir/layer.tar" "$(mariadb_suite "$version")"
  archive "$out" "$(mariadb_image_name "$version")" '{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["mariadbd"]}' "$dir/layer.tar"
  rm -rf "$dir"
}

# uid and gid 999 are those of MariaDB's official images.
mariadb_layer() { # OUT SUITE
  # The user must exist before the package is configured: Debian's would pick another number, and the server lets in by name.
  mmdebstrap --variant=minbase --include=mariadb-server,mariadb-backup,ca-certificates \
    --essential-hook='echo mysql:x:999: >>"$1/etc/group"; echo mysql:x:999:999::/var/lib/mysql:/usr/sbin/nologin >>"$1/etc/passwd"; echo "mysql:!:1::::::" >>"$1/etc/shadow"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --customize-hook='rm -rf "$1"/var/lib/mysql/* "$1"/var/log/*.log "$1"/etc/machine-id' \
    "$2" "$1"
}

# The image's files without a container: what the server thinks is its installation (--basedir) are programs that run with the
# tree's own C library, because another suite's is too old or too new for them.
mariadb_root_unpack() { # OUT IMAGE-ARCHIVE
  local out=$1 archive=$2 program
  rm -rf "$out.new"
  mkdir -p "$out.new/root" "$out.new/bin" "$out.new/sbin"
  tar --extract --to-stdout --wildcards --file "$archive" '*/layer.tar' |
    tar --extract --directory "$out.new/root" --no-same-owner ./usr ./lib ./lib64
  ln -s root/usr/share root/usr/lib "$out.new"
  for program in mariadb mariadb-binlog mariadb-admin my_print_defaults resolveip; do
    mariadb_wrapper "usr/bin/$program" >"$out.new/bin/$program"
  done
  # Behind the caller's own options, because --no-defaults must be the first.
  mariadb_wrapper usr/sbin/mariadbd '--basedir="$tree"' '--plugin-dir="$tree/lib/mysql/plugin"' \
    '--lc-messages-dir="$tree/share/mariadb"' '--character-sets-dir="$tree/share/mariadb/charsets"' >"$out.new/bin/mariadbd"
  ln -s ../bin/mariadbd "$out.new/sbin"
  printf '#!/bin/sh\ntree=$(cd "${0%%/*}/.." && pwd)\nexec "$tree/root/usr/bin/mariadb-install-db" "$@" --basedir="$tree"\n' \
    >"$out.new/bin/mariadb-install-db"
  chmod 755 "$out.new"/bin/*
  chmod -R a+rX "$out.new"
  "$out.new/bin/mariadbd" --no-defaults --version
  mv -T "$out.new" "$out"
}

# A script that becomes the program, so that its process id is the program's.
mariadb_wrapper() { # PROGRAM OPTIONS...
  local program=$1
  shift
  cat <<END
#!/bin/sh
tree=\$(cd "\${0%/*}/.." && pwd)
exec "\$(echo "\$tree"/root/lib*/ld-linux*.so.*)" --library-path "\$(echo "\$tree"/root/usr/lib/*-linux-gnu*)" "\$tree/root/$program" "\$@" $*
END
}
