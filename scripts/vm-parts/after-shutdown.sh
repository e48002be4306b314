# After the boot that follows a shutdown with a polite pod.
has "it was given its time" 20 "$(content /root/said/goodbye)"
eventually "the control plane runs after the boot" curl -sfk https://127.0.0.1:6443/readyz
eventually "the node is Ready after it" prints '^vm-[a-z]+ +Ready ' kubectl get nodes
has "the pod failed" '^Failed Terminated$' "$(field pod/polite .status.phase) $(field pod/polite .status.reason)"
has "in upstream's words" 'Pod was terminated in response to imminent node shutdown' "$(field pod/polite .status.message)"
remove_pods
