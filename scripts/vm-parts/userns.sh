# hostUsers: false, where the runtime can; where it cannot, the pod is told so.
pod mapped 'spec=hostUsers: false'
if containerd --version | grep -q " 1\."; then
  eventually "a runtime without user namespaces is named" prints 'user namespace' kubectl describe pod mapped
else
  eventually "a pod in a user namespace runs" ready mapped
  has "its root is nobody's outside" '^ +0 +[1-9][0-9]+ +65536$' "$(kubectl exec mapped -- cat /proc/self/uid_map)"
  kubectl create configmap mapped --from-literal=key=value >/dev/null 2>&1
  pod volumes 'spec=hostUsers: false
volumes: [{name: config, configMap: {name: mapped}}, {name: scratch, emptyDir: {}}]' 'container=volumeMounts: [{name: config, mountPath: /config}, {name: scratch, mountPath: /scratch}]'
  eventually "volumes in it" ready volumes
  has "its files are its own" '^0 value$' "$(kubectl exec volumes -- sh -c 'echo "$(stat -L -c %u /config/key) $(cat /config/key)"; touch /scratch/file')"
  kubectl delete configmap mapped >/dev/null 2>&1
fi
remove_pods
