# etcd, API server, controller manager, scheduler, CoreDNS and the volume provisioner: processes in one network namespace.
#
# Settings are those of a kubeadm cluster where they matter for timing: etcd syncs every write to the disk, CoreDNS' TTL is 30 s,
# all default admission plugins are on (PodSecurity among them).

API_TIMEOUT=90  # s; first start on 2 busy cores: 15
CORE_FILES=$HERE/manifests

control_plane_up() {
  mkdir -p "$STATE/etcd" "$LOGS"
  chmod 700 "$STATE/etcd"
  if ! process_runs apiserver || ! process_runs etcd; then say "starting etcd and the API server"; fi
  component etcd "$BIN/etcd" --data-dir "$STATE/etcd" --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
  component apiserver "$BIN/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
    --advertise-address "$CONTROL_PLANE" --secure-port 6443 --service-cluster-ip-range "$SERVICES" \
    --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" --client-ca-file "$PKI/ca.crt" \
    --service-account-key-file "$PKI/sa.pub" --service-account-signing-key-file "$PKI/sa.key" \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged --profiling=false \
    --kubelet-certificate-authority "$PKI/ca.crt" --kubelet-client-certificate "$PKI/admin.crt" --kubelet-client-key "$PKI/admin.key" \
    --kubelet-preferred-address-types InternalIP --enable-aggregator-routing
  until_true $API_TIMEOUT api_ready || component_failed apiserver "the API server is not ready after $API_TIMEOUT s"
  component controller-manager "$BIN/kube-controller-manager" --kubeconfig "$PKI/controller-manager.conf" --leader-elect=false \
    --use-service-account-credentials --service-account-private-key-file "$PKI/sa.key" --root-ca-file "$PKI/ca.crt" \
    --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" \
    --cluster-cidr "$PODS" --allocate-node-cidrs=false --profiling=false
  component scheduler "$BIN/kube-scheduler" --kubeconfig "$PKI/scheduler.conf" --leader-elect=false --profiling=false \
    --authentication-kubeconfig "$PKI/scheduler.conf" --authorization-kubeconfig "$PKI/scheduler.conf"
  if ! process_runs coredns || ! process_runs local-provisioner; then
    k apply --server-side --field-manager beachmaster-cluster -f "$CORE_FILES" >>"$LOGS/apply.log" 2>&1 ||
      component_failed apply "the objects of $CORE_FILES were refused"
  fi
  sed "s|@KUBECONFIG@|$PKI/coredns.conf|" "$HERE/lib/Corefile" >"$STATE/Corefile"
  component coredns "$BIN/coredns" -conf "$STATE/Corefile"
  component local-provisioner "$BIN/local-provisioner" --kubeconfig "$PKI/local-provisioner.conf" --nodes "$STATE/nodes" --mount "$VOLUMES"
}

component() { # NAME COMMAND...: started unless it runs
  local name=$1
  shift
  if ! process_runs "$name"; then spawn "$name" nsenter --net="/run/netns/$CONTROL_PLANE_NETNS" -- "$@"; fi
}

component_failed() {
  tail -n 20 "$LOGS/$1.log" >&2
  die "$2; its log is $LOGS/$1.log"
}

api_ready() { k get --raw /readyz; }

dns_ready() { nsenter --net="/run/netns/$CONTROL_PLANE_NETNS" -- bash -c 'exec 3<>/dev/tcp/127.0.0.1/8181 && printf "GET /ready HTTP/1.0\r\n\r\n" >&3 && grep -q "200 OK" <&3'; }

control_plane_names() { echo etcd apiserver controller-manager scheduler coredns local-provisioner; }
