# Writes a container image as a docker-archive tar of one layer, which `ctr image import` reads. The same content gives the same bytes.

archive() { # OUT IMAGE CONFIG-JSON LAYER-TAR; consumes the layer
  local out=$1 image=$2 config=$3 layer=$4 dir diff id
  dir=$(mktemp -d -p "$(dirname "$out")")
  diff=$(sha256sum <"$layer" | cut -d ' ' -f 1)
  printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(go env GOARCH)" "$config" "$diff" >"$dir/config.json"
  id=$(sha256sum <"$dir/config.json" | cut -d ' ' -f 1)
  mv "$dir/config.json" "$dir/$id.json"
  mkdir "$dir/$diff"
  mv "$layer" "$dir/$diff/layer.tar"
  printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["%s/layer.tar"]}]' "$id" "$image" "$diff" >"$dir/manifest.json"
  archive_tar "$out.new" "$dir" "$id.json" "$diff/layer.tar" manifest.json
  mv "$out.new" "$out"
  rm -rf "$dir"
}

archive_tar() { # OUT DIRECTORY FILES...
  local out=$1 dir=$2
  shift 2
  tar --create --file "$out" --directory "$dir" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner "$@"
}
