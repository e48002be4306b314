# Docker, whose driver on such a machine is systemd by itself.
driver=systemd
remove_agent
systemctl start docker
has "Docker leaves cgroups to systemd" '"CgroupDriver":"systemd"' "$(curl -s --unix-socket /run/docker.sock http://docker/info)"
install_agent --runtime docker
minik8s image load /opt/busybox.tar
source ./pods.sh
