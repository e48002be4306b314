# A volume from this machine's own NFS server, and what happens when that server stops answering.
mkdir -p /srv/share
echo '/srv/share *(rw,sync,no_subtree_check,no_root_squash,insecure,fsid=0)' >/etc/exports
systemctl restart nfs-server
exportfs -ra
node_ip=$(field nodes '.items[0].status.addresses[0].address')
share="spec=volumes: [{name: share, nfs: {server: $node_ip, path: /}}]"
at='container=volumeMounts: [{name: share, mountPath: /share}]'
pod shared "$share" "$at"
pod writer 'command=["sh", "-c", "while true; do date > /share/now; sleep 1; done"]' "$share" "$at"
eventually "a pod with an nfs volume runs" ready shared
eventually "another one writes there" ready writer
kubectl exec shared -- sh -c 'echo written > /share/file'
is "what it writes is there" written "$(content /srv/share/file)"
iptables -I INPUT -p tcp --dport 2049 -j DROP
pod waiting "$share" "$at"
pod unborn "$share" "$at"
pod beside
eventually "other pods start though a server does not answer" ready beside
kubectl delete pod shared writer --wait=false >/dev/null
eventually "a pod ends whose server does not answer" gone shared
eventually "one that was writing, too" gone writer
eventually "a server that does not answer is named" prints 'FailedMount|does not answer' kubectl describe pod waiting
kubectl delete pod unborn --wait=false >/dev/null
eventually "a pod ends that waits for its mount" gone unborn
has "the node is Ready all the while" ' Ready ' "$(kubectl get nodes --no-headers)"
iptables -D INPUT -p tcp --dport 2049 -j DROP
eventually "a pod that waited starts when the server is back" ready waiting
has "it sees what was written" '^written$' "$(kubectl exec waiting -- cat /share/file)"
remove_pods
no_nfs_mounts() { ! grep ' nfs4\? ' /proc/mounts; }
eventually "nothing is mounted any more" no_nfs_mounts
systemctl stop nfs-server
