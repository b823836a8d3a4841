#!/usr/bin/env bash
# Makes what TLS between csi-9p and its exporter needs: a certificate authority, a certificate for the server and one for the
# clients, and prints them as Secrets.
#
#   certificates.sh [options] [NAME-or-IP ...] | kubectl apply -f -
#
# The server's certificate is for the names and addresses given (clients check the host of their URL, or tlsServerName), or for those
# of the Service csi-9p-exporter. What is there already is kept, so running it again changes nothing; --renew replaces both
# certificates, not the authority, and neither side has to be restarted.
#
#   --dir DIR               where the files are kept (default: csi-9p-certificates). Guard it: ca.key makes clients
#   --days N                how long the certificates hold (default: 365; the authority ten times that)
#   --namespace NS          of the exporter and its Secret csi-9p-exporter-tls (default: csi-9p-exporter)
#   --client-namespace NS   of the driver and its Secret csi-9p-client-tls (default: csi-9p-system)
#   --renew                 make the server's and the clients' certificates anew
#
# It needs bash and openssl, 1.1.1 or newer.
set -euo pipefail
umask 077

dir=csi-9p-certificates
days=365
namespace=csi-9p-exporter
client_namespace=csi-9p-system
renew=false
names=()

usage() { sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p;}' "$0"; }
say() { printf '%s\n' "$*" >&2; }
die() {
  say "certificates.sh: $*"
  exit 1
}

while [ $# -gt 0 ]; do
  case $1 in
    --dir | --days | --namespace | --client-namespace)
      [ $# -ge 2 ] || die "$1 wants a value; see --help"
      case $1 in
        --dir) dir=$2 ;;
        --days) days=$2 ;;
        --namespace) namespace=$2 ;;
        --client-namespace) client_namespace=$2 ;;
      esac
      shift
      ;;
    --renew) renew=true ;;
    -h | --help)
      usage
      exit
      ;;
    -*) die "$1 is no option; see --help" ;;
    *) names+=("$1") ;;
  esac
  shift
done

[[ $days =~ ^[1-9][0-9]{0,4}$ ]] || die "--days $days: not a number of days"
for n in "$namespace" "$client_namespace"; do
  [[ $n =~ ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$ ]] || die "$n is no name of a namespace"
done
command -v openssl >/dev/null || die "openssl is missing: install it"
if [ ${#names[@]} -eq 0 ]; then
  service=csi-9p-exporter
  names=("$service.$namespace.svc" "$service.$namespace.svc.cluster.local" "$service.$namespace" "$service")
fi

# alternatives prints the names as a subjectAltName.
alternatives() {
  local name list=()
  for name in "${names[@]}"; do
    if [[ $name =~ ^[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*$ || $name =~ ^[0-9.]+$ ]]; then
      list+=("IP:$name")
    elif [[ $name =~ ^[A-Za-z0-9*]([-A-Za-z0-9.]*[A-Za-z0-9])?$ ]]; then
      list+=("DNS:$name")
    else
      die "$name is no host name and no address"
    fi
  done
  local IFS=,
  printf '%s' "${list[*]}"
}

# run calls openssl and shows what it says only if it fails.
run() {
  local said
  said=$(openssl "$@" 2>&1) || die "openssl $1 failed: $said"
}

# key makes a new key, of the curve P-256.
key() { run genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

# serial prints 127 random bits: RFC 5280 wants a positive number.
serial() { printf '0x4%s' "$(openssl rand -hex 16 | cut -c2-)"; }

# request writes a configuration of openssl: $1 the common name, $2 the extensions.
request() {
  printf '[req]\nprompt=no\ndistinguished_name=dn\n[dn]\nO=csi-9p\nCN=%s\n[ext]\nsubjectKeyIdentifier=hash\n%b' "$1" "$2"
}

authority() {
  local to=$dir/ca
  if [ -e "$to.crt" ] && [ -e "$to.key" ]; then
    say "kept: $to.crt"
    return
  fi
  if [ -e "$to.crt" ] || [ -e "$to.key" ]; then
    die "of $to.crt and $to.key one is missing: put it back, or take another --dir"
  fi
  # A name of its own, so that messages about certificates tell one authority from another.
  request "csi-9p authority $(openssl rand -hex 4)" 'basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n' >"$work/ca.cnf"
  key "$work/ca.key"
  run req -new -x509 -sha256 -config "$work/ca.cnf" -extensions ext -key "$work/ca.key" -set_serial "$(serial)" \
    -days $((days * 10)) -out "$work/ca.crt"
  mv "$work/ca.key" "$to.key"
  mv "$work/ca.crt" "$to.crt"
  say "made: $to.crt, $to.key"
}

# keep says whether the certificate $1 stays: there is one, and no new one is asked for. It has to be of this authority and for the
# names asked, $2, which may be empty.
keep() {
  [ -e "$1.crt" ] || return 1
  ! $renew || return 1
  openssl verify -CAfile "$dir/ca.crt" "$1.crt" >/dev/null 2>&1 ||
    die "$1.crt has expired or is not of $dir/ca.crt; replace it with --renew"
  [ "$(openssl x509 -noout -pubkey -in "$1.crt")" = "$(openssl pkey -pubout -in "$1.key" 2>&1)" ] ||
    die "$1.key is not the key of $1.crt; replace both with --renew"
  [ "$(cat "$1.names")" = "$2" ] ||
    die "$1.crt is for $(cat "$1.names"), not for $2; replace it with --renew, or take another --dir"
  say "kept: $1.crt, until $(openssl x509 -noout -enddate -in "$1.crt" | cut -d= -f2)"
}

# leaf makes the certificate $1 with the common name $2 for the use $3 and the subjectAltName $4.
leaf() {
  local to=$dir/$1
  keep "$to" "$4" && return
  local extensions="authorityKeyIdentifier=keyid\nbasicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=$3\n"
  [ -z "$4" ] || extensions+="subjectAltName=$4\n"
  request "$2" "$extensions" >"$work/leaf.cnf"
  key "$work/leaf.key"
  run req -new -sha256 -config "$work/leaf.cnf" -key "$work/leaf.key" -out "$work/leaf.csr"
  run x509 -req -sha256 -in "$work/leaf.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -set_serial "$(serial)" \
    -extfile "$work/leaf.cnf" -extensions ext -days "$days" -out "$work/leaf.crt"
  printf '%s' "$4" >"$work/leaf.names"
  mv "$work/leaf.key" "$to.key"
  mv "$work/leaf.names" "$to.names"
  mv "$work/leaf.crt" "$to.crt"
  say "made: $to.crt, $to.key, for $days days"
}

# secret prints a Secret of the form that cert-manager makes too: $1 its name, $2 its namespace, $3 the certificate.
secret() {
  printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: %s\ntype: kubernetes.io/tls\ndata:\n' "$1" "$2"
  printf '  ca.crt: %s\n  tls.crt: %s\n  tls.key: %s\n' \
    "$(openssl base64 -A -in "$dir/ca.crt")" "$(openssl base64 -A -in "$dir/$3.crt")" "$(openssl base64 -A -in "$dir/$3.key")"
}

san=$(alternatives)
mkdir -p "$dir"
work=$(mktemp -d "$dir/.making.XXXXXX") # beside their destination, so that a half-made file is never seen there
trap 'rm -rf "$work"' EXIT
authority
leaf server "${names[0]}" serverAuth "$san"
leaf client csi-9p clientAuth ""
secret csi-9p-exporter-tls "$namespace" server
secret csi-9p-client-tls "$client_namespace" client
