# Docker, whose driver on such a machine is systemd by itself.
driver=systemd
remove_agent
systemctl start docker
is "Docker leaves cgroups to systemd" systemd "$(docker info -f '{{.CgroupDriver}}')"
install_agent --runtime docker
minik8s image load /opt/busybox.tar
source ./pods.sh
