# The two services, started by systemd as docs/operating.md says, and a first pod on them.
minik8s install-service --remove agent >/dev/null 2>&1
minik8s install-service --remove control >/dev/null 2>&1
minik8s down --purge >/dev/null 2>&1
install_control
install_agent
eventually "an image is loaded" minik8s image load /opt/busybox.tar
eventually "the default ServiceAccount is there" kubectl get serviceaccount default
