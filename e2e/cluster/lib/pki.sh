# One certificate authority and a client certificate with its kubeconfig for every component.

PKI=$STATE/pki

pki_make() {
  local node
  mkdir -p "$PKI"
  chmod 700 "$STATE" "$PKI"
  if [ ! -e "$PKI/ca.crt" ]; then
    pki_key ca
    openssl req -x509 -new -key "$PKI/ca.key" -out "$PKI/ca.crt.new" -days 3650 -subj /CN=beachmaster-test-ca
    mv "$PKI/ca.crt.new" "$PKI/ca.crt"
  fi
  if [ ! -e "$PKI/sa.pub" ]; then # signs the tokens of service accounts
    pki_key sa
    openssl ec -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub.new" 2>/dev/null
    mv "$PKI/sa.pub.new" "$PKI/sa.pub"
  fi
  pki_cert apiserver /CN=kube-apiserver \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$CONTROL_PLANE,IP:$API_SERVICE"
  pki_cert admin /O=system:masters/CN=admin
  pki_cert controller-manager /CN=system:kube-controller-manager
  pki_cert scheduler /CN=system:kube-scheduler
  pki_cert proxy /CN=system:kube-proxy
  pki_cert coredns /CN=system:coredns
  pki_cert local-provisioner /CN=beachmaster:local-provisioner
  for node in $(node_names); do
    pki_cert "$node" "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$(node_address "$node")"
  done
  [ -e "$KUBECONFIG_OWN" ] || cp "$PKI/admin.conf" "$KUBECONFIG_OWN"
}

pki_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/$1.key"; }

pki_cert() { # NAME SUBJECT [ALTERNATIVE-NAMES]; the kubeconfig comes last and says that all of it is there
  local name=$1 subject=$2 alternative=${3:-}
  [ ! -e "$PKI/$name.conf" ] || return 0
  pki_key "$name"
  openssl req -new -key "$PKI/$name.key" -subj "$subject" |
    openssl x509 -req -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 3650 -out "$PKI/$name.crt" \
      -extfile <(printf 'extendedKeyUsage=serverAuth,clientAuth\n%s\n' "${alternative:+subjectAltName=$alternative}") 2>/dev/null
  pki_kubeconfig "$name"
}

pki_kubeconfig() {
  local name=$1
  cat >"$PKI/$name.conf.new" <<EOF
apiVersion: v1
kind: Config
clusters:
  - name: beachmaster-e2e
    cluster:
      server: https://$CONTROL_PLANE:6443
      certificate-authority-data: $(base64 -w 0 "$PKI/ca.crt")
users:
  - name: $name
    user:
      client-certificate-data: $(base64 -w 0 "$PKI/$name.crt")
      client-key-data: $(base64 -w 0 "$PKI/$name.key")
contexts:
  - name: beachmaster-e2e
    context: {cluster: beachmaster-e2e, user: $name}
current-context: beachmaster-e2e
EOF
  chmod 600 "$PKI/$name.conf.new"
  mv "$PKI/$name.conf.new" "$PKI/$name.conf"
}
