# Installs what is missing on a Debian machine. Sourced by the other scripts; safe to repeat, quiet when nothing is to do.
# Calls: need_node_tools (runtime, iptables, kubectl), need_build_tools (Bun, packages), need_test_tools.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="$root/node_modules/.bin:$PATH"

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# install_packages NAME...: those of the Debian packages that are not there yet, in one call.
install_packages() {
  local missing=()
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  [ "$(id -u)" -eq 0 ] || fail "installing ${missing[*]} needs root; run: sudo apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  if ! apt-get install -y -qq --no-install-recommends "${missing[@]}" >/tmp/minik8s-apt.log 2>&1; then
    apt-get update -qq >/tmp/minik8s-apt.log 2>&1
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/tmp/minik8s-apt.log 2>&1 \
      || fail "could not install ${missing[*]}: $(tail -n 1 /tmp/minik8s-apt.log) (all of it: /tmp/minik8s-apt.log)"
  fi
}

need_command() { command -v "$1" >/dev/null 2>&1 || install_packages "$2"; }

need_node_tools() {
  need_command containerd containerd
  need_command runc runc
  need_command iptables iptables
  need_command ip iproute2
  need_command conntrack conntrack
  need_command nsenter util-linux
  need_command kubectl kubernetes-client
  need_command curl curl
  # The sample's image is made from this one.
  need_command busybox busybox-static
  dpkg-query -W busybox-static >/dev/null 2>&1 || install_packages busybox-static
}

need_build_tools() {
  if [ ! -x "$root/node_modules/.bin/bun" ]; then
    local bootstrap=bun
    if ! command -v bun >/dev/null 2>&1; then
      need_command npm npm
      local version
      version=$(sed -n 's/.*"bun": "\(.*\)".*/\1/p' "$root/package.json")
      say "installing Bun $version"
      npm install --prefix "$root/.bootstrap" --no-save --no-audit --no-fund --loglevel=error "bun@$version" >/tmp/minik8s-npm.log 2>&1 \
        || fail "could not install Bun: $(tail -n 3 /tmp/minik8s-npm.log) (all of it: /tmp/minik8s-npm.log)"
      bootstrap="$root/.bootstrap/node_modules/.bin/bun"
    fi
    say "installing packages"
    (cd "$root" && "$bootstrap" install --frozen-lockfile >/tmp/minik8s-packages.log 2>&1) \
      || fail "could not install packages: $(tail -n 3 /tmp/minik8s-packages.log) (all of it: /tmp/minik8s-packages.log)"
  fi
  bun --version >/dev/null 2>&1 || fail "Bun does not start; remove node_modules and .bootstrap and run this again"
}

need_test_tools() {
  need_command dockerd docker.io
  need_command h2load nghttp2-client
  need_command socat socat
  need_command ps procps
  need_command etcd etcd-server
  need_command docker-registry docker-registry
  install_packages python3-kubernetes
  need_debian_kubectl
}

# Debian's old kubectl beside whatever is in PATH: many clients in the field speak as it does.
need_debian_kubectl() {
  local place="$root/dist/kubectl-debian"
  [ -x "$place/usr/bin/kubectl" ] && return 0
  dpkg-query -W kubernetes-client >/dev/null 2>&1 && { mkdir -p "$place/usr/bin"; ln -sf "$(command -v kubectl)" "$place/usr/bin/kubectl"; return 0; }
  mkdir -p "$place"
  (cd "$place" && { apt-get download -qq kubernetes-client || { apt-get update -qq && apt-get download -qq kubernetes-client; }; } >/tmp/minik8s-apt.log 2>&1) \
    || fail "could not download kubernetes-client: $(tail -n 1 /tmp/minik8s-apt.log)"
  dpkg-deb -x "$place"/kubernetes-client_*.deb "$place"
}
