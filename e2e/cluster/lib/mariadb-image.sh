# The MariaDB image, from Debian's packages. uid and gid 999 are those of MariaDB's official images.

mariadb_image() {
  local out=$1 dir
  dir=$(mktemp -d -p "$(dirname "$out")")
  # The user must exist before the package is configured: Debian's would pick another number, and the server lets in by name.
  mmdebstrap --variant=minbase --include=mariadb-server,mariadb-backup,ca-certificates \
    --essential-hook='echo mysql:x:999: >>"$1/etc/group"; echo mysql:x:999:999::/var/lib/mysql:/usr/sbin/nologin >>"$1/etc/passwd"; echo "mysql:!:1::::::" >>"$1/etc/shadow"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --customize-hook='rm -rf "$1"/var/lib/mysql/* "$1"/var/log/*.log "$1"/etc/machine-id' \
    "$MARIADB_SUITE" "$dir/layer.tar"
  archive "$out" "$MARIADB_IMAGE" '{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["mariadbd"]}' "$dir/layer.tar"
  rm -rf "$dir"
}
