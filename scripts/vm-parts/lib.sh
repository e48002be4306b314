# What the checks share: counting, waiting, pods, and where a pod's cgroup is.
export KUBECONFIG=/etc/minik8s/admin.conf
passed=0 failed=0
IMAGE=docker.io/minik8s/busybox:1
CGROUP=/sys/fs/cgroup
# Generous, because the machine's processor may be emulated.
PATIENCE=${PATIENCE:-240}

say() { printf '%s\n' "$*"; }
ok() { passed=$((passed + 1)); say "ok   $*"; }
bad() { failed=$((failed + 1)); say "FAIL $*"; }

# is NAME WANTED FOUND
is() { if [ "$2" = "$3" ]; then ok "$1"; else bad "$1: wanted '$2', found '$3'"; fi; }

# has NAME PATTERN TEXT
has() { if grep -qE -- "$2" <<<"$3"; then ok "$1"; else bad "$1: no '$2' in: $(head -c 600 <<<"$3")"; fi; }

# eventually NAME COMMAND...: a step that holds before patience ends.
eventually() {
  local name=$1 end=$((SECONDS + PATIENCE))
  shift
  until "$@" >/tmp/check.out 2>&1; do
    if [ $SECONDS -gt $end ]; then bad "$name: $(tail -n 3 /tmp/check.out)"; return 1; fi
    sleep 1
  done
  ok "$name"
}

# prints PATTERN COMMAND...: for `eventually`.
prints() { local pattern=$1; shift; "$@" 2>&1 | tee /dev/stderr | grep -qE -- "$pattern"; }

field() { kubectl get "$1" -o "jsonpath={$2}" 2>/dev/null; }
phase_is() { [ "$(field "pod/$1" .status.phase)" = "$2" ]; }
ready() { [ "$(field "pod/$1" '.status.conditions[?(@.type=="Ready")].status')" = True ]; }

# pod NAME [KEY=YAML...]: a pod of one busybox container; keys: command, resources, spec, container, grace.
pod() {
  local name=$1 command='["sh", "-c", "sleep 100000"]' resources='{}' spec='' container='' grace=1
  shift
  for pair in "$@"; do
    case $pair in
      command=*) command=${pair#command=} ;;
      resources=*) resources=${pair#resources=} ;;
      grace=*) grace=${pair#grace=} ;;
      spec=*) spec=${pair#spec=} ;;
      container=*) container=${pair#container=} ;;
    esac
  done
  kubectl apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $name, labels: {app: $name}}
spec:
  terminationGracePeriodSeconds: $grace
$(sed 's/^/  /' <<<"$spec")
  containers:
  - name: main
    image: $IMAGE
    command: $command
    resources: $resources
$(sed 's/^/    /' <<<"$container")
YAML
}

gone() { ! kubectl get "pod/$1" >/dev/null 2>&1; }
remove_pods() {
  kubectl delete pods --all --wait=false >/dev/null 2>&1
  eventually "pods are gone" no_pods
}
no_pods() { [ -z "$(kubectl get pods -o name 2>/dev/null)" ]; }

uid_of() { field "pod/$1" .metadata.uid; }

# pod_cgroup NAME: its directory, whichever driver made it.
pod_cgroup() {
  local uid; uid=$(uid_of "$1")
  find "$CGROUP" -maxdepth 4 -type d \( -name "*pod$uid" -o -name "*pod${uid//-/_}.slice" \) -print -quit
}
# container_cgroup NAME: that of the process that runs in it.
container_cgroup() {
  local id; id=$(field "pod/$1" '.status.containerStatuses[0].containerID'); id=${id##*/}
  find "$CGROUP" -type d -name "*$id*" -print -quit
}
content() { cat "$1" 2>/dev/null; }

install_control() {
  minik8s install-service control >/dev/null
  eventually "the control plane is ready as a service" curl -sfk https://127.0.0.1:6443/readyz
}

# install_agent FLAG...: as a service, from nothing.
install_agent() {
  minik8s install-service agent -- --join "$(sed -n 's/.*server: //p' "$KUBECONFIG" | tr -d '"')" --token "$(minik8s token create)" "$@" >/dev/null
  eventually "the node is Ready" prints '^vm-[a-z]+ +Ready ' kubectl get nodes
}

remove_agent() {
  remove_pods
  minik8s install-service --remove agent >/dev/null
  kubectl delete nodes --all >/dev/null 2>&1
}

no_pod_cgroups() { ! find "$CGROUP" -maxdepth 4 -type d \( -name 'pod*-*-*' -o -name 'kubepods*pod*.slice' \) -print | grep .; }

# secret_of FIELD: a credential of the admin's kubeconfig.
secret_of() { sed -n "s/.*$1: //p" "$KUBECONFIG" | tr -d '"' | base64 -d; }

# resize POD RESOURCES: kubectl of this Debian does not know the subresource.
resize() {
  curl -sk --cert <(secret_of client-certificate-data) --key <(secret_of client-key-data) -X PATCH -H 'content-type: application/strategic-merge-patch+json' \
    --data "{\"spec\":{\"containers\":[{\"name\":\"main\",\"resources\":{\"requests\":$2,\"limits\":$2}}]}}" "https://127.0.0.1:6443/api/v1/namespaces/default/pods/$1/resize"
}
