# A volume from this machine's own NFS server, and what happens when that server stops answering.
mkdir -p /srv/share
echo '/srv/share *(rw,sync,no_subtree_check,no_root_squash,insecure,fsid=0)' >/etc/exports
systemctl restart nfs-server
exportfs -ra
node_ip=$(field nodes '.items[0].status.addresses[0].address')
pod shared "spec=volumes: [{name: share, nfs: {server: $node_ip, path: /}}]" 'container=volumeMounts: [{name: share, mountPath: /share}]'
eventually "a pod with an nfs volume runs" ready shared
kubectl exec shared -- sh -c 'echo written > /share/file'
is "what it writes is there" written "$(content /srv/share/file)"
iptables -I INPUT -p tcp --dport 2049 -j DROP
pod waiting "spec=volumes: [{name: share, nfs: {server: $node_ip, path: /}}]" 'container=volumeMounts: [{name: share, mountPath: /share}]'
eventually "a server that does not answer is named" prints 'FailedMount|does not answer' kubectl describe pod waiting
pod beside
eventually "other pods start meanwhile" ready beside
kubectl delete pod shared --wait=false >/dev/null
iptables -D INPUT -p tcp --dport 2049 -j DROP
eventually "it goes on when the server is back" ready waiting
eventually "the other one ends" gone shared
remove_pods
is "nothing is mounted any more" 0 "$(grep -c ' nfs4\? ' /proc/mounts)"
systemctl stop nfs-server
