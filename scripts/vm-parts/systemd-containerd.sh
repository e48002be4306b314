# The machine's own containerd, with systemd as cgroup driver, as kubeadm's manual has it.
driver=systemd
remove_agent
mkdir -p /etc/containerd
containerd config default | sed -e 's/SystemdCgroup = false/SystemdCgroup = true/' >/etc/containerd/config.toml
systemctl restart containerd
install_agent --runtime-endpoint unix:///run/containerd/containerd.sock
minik8s image load /opt/busybox.tar
source ./pods.sh
