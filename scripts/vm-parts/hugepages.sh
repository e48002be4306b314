# The machine was booted with 64 pages of 2 MiB.
node=$(field nodes '.items[0].metadata.name')
is "capacity" 128Mi "$(field "node/$node" '.status.capacity.hugepages-2Mi')"
is "allocatable" 128Mi "$(field "node/$node" '.status.allocatable.hugepages-2Mi')"
pod huge 'resources={limits: {cpu: 100m, memory: 64Mi, hugepages-2Mi: 8Mi}}' 'spec=volumes: [{name: huge, emptyDir: {medium: HugePages}}]' 'container=volumeMounts: [{name: huge, mountPath: /huge}]'
pod plain
eventually "a pod with hugepages runs" ready huge
eventually "one without too" ready plain
is "its limit" 8388608 "$(content "$(pod_cgroup huge)/hugetlb.2MB.max")"
is "its container's limit" 8388608 "$(content "$(container_cgroup huge)/hugetlb.2MB.max")"
is "who asked for none gets none" 0 "$(content "$(pod_cgroup plain)/hugetlb.2MB.max")"
has "the volume is of huge pages" 'hugetlbfs.*pagesize=2M' "$(kubectl exec huge -- grep /huge /proc/mounts)"
remove_pods
