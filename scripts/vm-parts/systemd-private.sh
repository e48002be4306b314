# A containerd of the agent's own that leaves cgroups to systemd.
driver=systemd
remove_agent
printf 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncgroupDriver: systemd\n' >/etc/minik8s/kubelet.yaml
install_agent --kubelet-config /etc/minik8s/kubelet.yaml
minik8s image load /opt/busybox.tar
source ./pods.sh
