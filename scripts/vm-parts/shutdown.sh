# A real shutdown: pods get their time, and what they said about it is there after the next boot. What comes after that boot is `after-shutdown.sh`'s.
printf 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nshutdownGracePeriod: 30s\nshutdownGracePeriodCriticalPods: 10s\n' >/etc/minik8s/kubelet.yaml
remove_agent
install_agent --kubelet-config /etc/minik8s/kubelet.yaml
minik8s image load /opt/busybox.tar
eventually "logind knows who delays" prints 'kubelet.*shutdown.*delay' systemd-inhibit --list
pod polite grace=20 "command=[\"sh\", \"-c\", \"trap 'sleep 5; date > /said/goodbye; exit 0' TERM; while true; do sleep 1; done\"]" 'spec=volumes: [{name: said, hostPath: {path: /root/said, type: DirectoryOrCreate}}]' 'container=volumeMounts: [{name: said, mountPath: /said}]'
eventually "polite is ready" ready polite
rm -f /root/said/goodbye
