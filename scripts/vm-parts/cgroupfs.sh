# A containerd of the agent's own, which drives cgroups itself.
driver=cgroupfs
source ./pods.sh
