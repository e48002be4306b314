# Profiles of Debian's kernel.
is "the kernel has it" Y "$(content /sys/module/apparmor/parameters/enabled)"
pod confined
pod chosen 'container=securityContext: {appArmorProfile: {type: RuntimeDefault}}'
pod free 'container=securityContext: {appArmorProfile: {type: Unconfined}}'
pod missing 'container=securityContext: {appArmorProfile: {type: Localhost, localhostProfile: nowhere}}'
printf '#include <tunables/global>\nprofile minik8s-check flags=(attach_disconnected) { #include <abstractions/base>\n file,\n capability,\n network,\n signal,\n deny /forbidden/** rw,\n}\n' >/tmp/profile
apparmor_parser -r /tmp/profile
pod local 'container=securityContext: {appArmorProfile: {type: Localhost, localhostProfile: minik8s-check}}'
for name in confined chosen free local; do eventually "$name is ready" ready $name; done
has "confined by default" '(cri-containerd.apparmor.d|docker-default) \(enforce\)' "$(kubectl exec confined -- cat /proc/1/attr/current)"
has "confined when it says so" '(cri-containerd.apparmor.d|docker-default) \(enforce\)' "$(kubectl exec chosen -- cat /proc/1/attr/current)"
has "unconfined" unconfined "$(kubectl exec free -- cat /proc/1/attr/current)"
has "a profile of the machine's own" 'minik8s-check \(enforce\)' "$(kubectl exec local -- cat /proc/1/attr/current)"
eventually "an unknown profile is named" prints 'nowhere' kubectl describe pod missing
kubectl describe pod missing | sed -n '/^Status/p;/^Reason/p;/^Message/p;/^Events/,$p'
remove_pods
