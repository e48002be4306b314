# What pods of each class get of the machine; sourced by each check that has set a node up.
big=$(grep -c processor /proc/cpuinfo)
pod guaranteed 'resources={limits: {cpu: 250m, memory: 64Mi}}'
pod burstable 'resources={requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 500m, memory: 96Mi}}'
pod besteffort
for name in guaranteed burstable besteffort; do eventually "$name is ready" ready $name; done

root=$(dirname "$(pod_cgroup guaranteed)")
case $driver in
  systemd)
    is "all pods are in a slice" kubepods.slice "$(basename "$root")"
    is "a burstable pod's slice" "$root/kubepods-burstable.slice/kubepods-burstable-pod$(uid_of burstable | tr - _).slice" "$(pod_cgroup burstable)"
    has "the container has a scope" '(cri-containerd|docker)-[0-9a-f]+\.scope$' "$(container_cgroup guaranteed)"
    is "systemd knows the limit" 67108864 "$(systemctl show -P MemoryMax "$(basename "$(pod_cgroup guaranteed)")")"
    ;;
  cgroupfs)
    is "all pods are in one cgroup" kubepods "$(basename "$root")"
    is "a burstable pod's cgroup" "$root/burstable/pod$(uid_of burstable)" "$(pod_cgroup burstable)"
    ;;
esac
is "guaranteed cpu.max" "25000 100000" "$(content "$(pod_cgroup guaranteed)/cpu.max")"
is "guaranteed cpu.weight" 10 "$(content "$(pod_cgroup guaranteed)/cpu.weight")"
is "guaranteed memory.max" 67108864 "$(content "$(pod_cgroup guaranteed)/memory.max")"
is "guaranteed pids.max" 4096 "$(content "$(pod_cgroup guaranteed)/pids.max")"
is "guaranteed memory.min" 0 "$(content "$(pod_cgroup guaranteed)/memory.min")"
is "its container's cpu.max" "25000 100000" "$(content "$(container_cgroup guaranteed)/cpu.max")"
is "its container's memory.max" 67108864 "$(content "$(container_cgroup guaranteed)/memory.max")"
is "its container ends as one" 1 "$(content "$(container_cgroup guaranteed)/memory.oom.group")"
is "burstable cpu.max" "50000 100000" "$(content "$(pod_cgroup burstable)/cpu.max")"
is "burstable cpu.weight" 4 "$(content "$(pod_cgroup burstable)/cpu.weight")"
is "burstable memory.max" 100663296 "$(content "$(pod_cgroup burstable)/memory.max")"
is "besteffort cpu.weight" 1 "$(content "$(pod_cgroup besteffort)/cpu.weight")"
is "besteffort memory.max" max "$(content "$(pod_cgroup besteffort)/memory.max")"
is "all best effort pods weigh least" 1 "$(content "$(dirname "$(pod_cgroup besteffort)")/cpu.weight")"
is "all burstable pods weigh their requests" 4 "$(content "$(dirname "$(pod_cgroup burstable)")/cpu.weight")"
is "all pods weigh the machine's cores" $((1 + (big * 1024 - 2) * 9999 / 262142)) "$(content "$root/cpu.weight")"

has "exec" '^hello$' "$(kubectl exec guaranteed -- echo hello 2>&1)"
pod talker 'command=["sh", "-c", "echo said; sleep 100000"]'
eventually "logs" prints said kubectl logs talker
pod killed 'command=["sh", "-c", "sleep 5; dd if=/dev/zero of=/dev/null bs=200M"]' 'resources={limits: {memory: 32Mi}}' 'spec=restartPolicy: Never'
eventually "a container over its memory is OOMKilled" prints '^OOMKilled 137$' kubectl get pod killed -o 'jsonpath={.status.containerStatuses[0].state.terminated.reason} {.status.containerStatuses[0].state.terminated.exitCode}'

resize guaranteed '{"cpu":"300m","memory":"80Mi"}' >/dev/null
eventually "a resize reaches the container's cpu" prints '^30000 100000$' cat "$(container_cgroup guaranteed)/cpu.max"
eventually "a resize reaches the container's memory" prints '^83886080$' cat "$(container_cgroup guaranteed)/memory.max"
eventually "a resize reaches the pod's memory" prints '^83886080$' cat "$(pod_cgroup guaranteed)/memory.max"

pod probed 'command=["sh", "-c", "mkdir /www; echo served > /www/index.html; httpd -p 8080 -h /www; sleep 5; touch /ready; sleep 100000"]' 'container=readinessProbe: {exec: {command: [ls, /ready]}, periodSeconds: 1, timeoutSeconds: 20}
livenessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 2, timeoutSeconds: 20}'
eventually "probes" ready probed
kubectl expose pod probed --name probed --port 80 --target-port 8080 >/dev/null 2>&1
eventually "a Service from the node" prints served curl -s -m 5 "http://$(field service/probed .spec.clusterIP)/"
eventually "a Service from a pod, by its name" prints served kubectl exec guaranteed -- sh -c 'wget -q -O - http://probed.default.svc.cluster.local/'

pid=$(head -n 1 "$(container_cgroup guaranteed)/cgroup.procs")
systemctl restart minik8s-agent
eventually "the node is Ready after the agent's restart" prints '^vm-[a-z]+ +Ready ' kubectl get nodes
eventually "exec after it" kubectl exec guaranteed -- true
is "the container was adopted" "$pid" "$(head -n 1 "$(container_cgroup guaranteed)/cgroup.procs")"
is "it was not restarted" 0 "$(field pod/guaranteed '.status.containerStatuses[0].restartCount')"

systemctl daemon-reload
sleep 2
is "limits outlive systemd's reload" "50000 100000" "$(content "$(pod_cgroup burstable)/cpu.max")"
is "the memory's too" 100663296 "$(content "$(pod_cgroup burstable)/memory.max")"

eventually "kubectl top" prints '^guaranteed +[0-9]+m +[0-9]+Mi' kubectl top pods
node=$(field nodes '.items[0].metadata.name')
has "stats/summary has working sets" '"workingSetBytes": ?[1-9]' "$(kubectl get --raw "/api/v1/nodes/$node/proxy/stats/summary")"

kubectl delete service probed >/dev/null 2>&1
remove_pods
eventually "no pod's cgroup is left" no_pod_cgroups
