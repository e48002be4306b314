# The machine's own containerd, with systemd as cgroup driver, as kubeadm's manual has it.
driver=systemd
remove_agent
mkdir -p /etc/containerd
containerd config default | sed -e 's/SystemdCgroup = false/SystemdCgroup = true/' -e 's|sandbox_image = .*|sandbox_image = "minik8s.io/pause:check"|' -e "s|sandbox = 'registry.*|sandbox = 'minik8s.io/pause:check'|" >/etc/containerd/config.toml
systemctl restart containerd
install_agent --runtime-endpoint unix:///run/containerd/containerd.sock
minik8s image load /opt/busybox.tar
minik8s image load /opt/pause.tar
has "its directory has the pod network" 'minik8s-bridge' "$(content /etc/cni/net.d/10-minik8s.conflist)"
source ./pods.sh
