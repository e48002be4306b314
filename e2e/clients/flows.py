"""The flows every client of a cluster runs, with the unchanged Python client; prints one line for each that held.

A flow that hangs ends the program after FLOW_SECONDS with where each thread stands.
Needs a node and the sample's image: python3 e2e/clients/flows.py KUBECONFIG
"""
import faulthandler
import json
import sys
import threading
import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import portforward, stream

NAMESPACE = "flows-py"
FLOW_SECONDS = 120
WAIT_SECONDS = 90
config.load_kube_config(sys.argv[1])
core = client.CoreV1Api()
apps = client.AppsV1Api()


def expect(what, seen, wanted):
    if seen != wanted:
        raise AssertionError(f"{what}: {seen!r} instead of {wanted!r}")


def until(what, probe):
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if probe():
            return
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {WAIT_SECONDS} s")


def config_map(name, labels=None, data=None):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)


def flow_list():
    for name in "abc":
        core.create_namespaced_config_map(NAMESPACE, config_map(name, {"flow": "list"}))
    first = core.list_namespaced_config_map(NAMESPACE, label_selector="flow=list", limit=2)
    second = core.list_namespaced_config_map(NAMESPACE, label_selector="flow=list", limit=2, _continue=first.metadata._continue)
    expect("names", [item.metadata.name for item in first.items + second.items], ["a", "b", "c"])


def flow_watch():
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version

    def write():
        core.create_namespaced_config_map(NAMESPACE, config_map("watched"))
        core.replace_namespaced_config_map("watched", NAMESPACE, config_map("watched", data={"a": "1"}))
        core.delete_namespaced_config_map("watched", NAMESPACE)

    threading.Timer(0.3, write).start()
    seen = []
    for event in watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=WAIT_SECONDS):
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            break
    expect("events", seen, [("ADDED", "watched"), ("MODIFIED", "watched"), ("DELETED", "watched")])


def flow_informer():
    """This client has none: list, then watch from there, as informers do; a version too old is told."""
    cache = {item.metadata.name for item in core.list_namespaced_config_map(NAMESPACE, label_selector="flow=list").items}
    expect("the list", cache, {"a", "b", "c"})
    watching = watch.Watch()
    threading.Timer(0.3, lambda: core.delete_namespaced_config_map("c", NAMESPACE)).start()
    for event in watching.stream(core.list_namespaced_config_map, NAMESPACE, label_selector="flow=list", timeout_seconds=WAIT_SECONDS):
        if event["type"] == "DELETED":
            cache.discard(event["object"].metadata.name)
            watching.stop()
    expect("the cache", cache, {"a", "b"})


def flow_patch():
    labels = {"app": "p"}
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[client.V1Container(name="one", image="x")]))
    spec = client.V1DeploymentSpec(replicas=0, selector=client.V1LabelSelector(match_labels=labels), template=template)
    apps.create_namespaced_deployment(NAMESPACE, client.V1Deployment(metadata=client.V1ObjectMeta(name="patched"), spec=spec))
    apps.patch_namespaced_deployment("patched", NAMESPACE, [{"op": "add", "path": "/metadata/labels", "value": {"json": "yes"}}])
    apps.patch_namespaced_deployment("patched", NAMESPACE, {"spec": {"template": {"spec": {"containers": [{"name": "two", "image": "y"}]}}}})
    dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="apps/v1", kind="Deployment").patch(
        name="patched", namespace=NAMESPACE, body={"metadata": {"labels": {"merge": "yes"}}}, content_type="application/merge-patch+json")
    found = apps.read_namespaced_deployment("patched", NAMESPACE)
    expect("labels", found.metadata.labels, {"json": "yes", "merge": "yes"})
    expect("containers", sorted(container.name for container in found.spec.template.spec.containers), ["one", "two"])
    expect("replicas", apps.patch_namespaced_deployment_scale("patched", NAMESPACE, {"spec": {"replicas": 0}}).spec.replicas, 0)


def flow_apply():
    resource = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="v1", kind="ConfigMap")

    def apply(manager, value, force=False):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"key": value}}
        return resource.server_side_apply(body=json.dumps(body), name="applied", namespace=NAMESPACE, field_manager=manager, force_conflicts=force)

    apply("one", "1")
    try:
        apply("two", "2")
        raise AssertionError("no conflict")
    except ApiException as error:
        expect("the conflict", error.status, 409)
    expect("managers", [entry.manager for entry in apply("two", "2", True).metadata.managedFields], ["two"])
    utils.create_from_dict(client.ApiClient(), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "made", "namespace": NAMESPACE}, "stringData": {"a": "b"}})
    expect("the secret", core.read_namespaced_secret("made", NAMESPACE).data, {"a": "Yg=="})


def flow_pod():
    container = client.V1Container(name="web", image="minik8s/hello:1", ports=[client.V1ContainerPort(container_port=8080)],
                                   readiness_probe=client.V1Probe(http_get=client.V1HTTPGetAction(port=8080), period_seconds=1))
    core.create_namespaced_pod(NAMESPACE, client.V1Pod(metadata=client.V1ObjectMeta(name="shell"), spec=client.V1PodSpec(termination_grace_period_seconds=1, containers=[container])))
    until("the pod to answer", lambda: any(status.ready for status in core.read_namespaced_pod("shell", NAMESPACE).status.container_statuses or []))


def flow_exec():
    command = ["sh", "-c", "read line; echo out $line; echo err >&2; exit 3"]
    session = stream(core.connect_get_namespaced_pod_exec, "shell", NAMESPACE, command=command, stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False)
    session.write_stdin("in\n")
    session.run_forever(timeout=WAIT_SECONDS)
    expect("output", (session.read_stdout(), session.read_stderr()), ("out in\n", "err\n"))
    expect("the exit code", session.returncode, 3)


def flow_log():
    stream(core.connect_get_namespaced_pod_exec, "shell", NAMESPACE, command=["sh", "-c", "echo to-the-log > /proc/1/fd/1"], stdout=True, stderr=True, stdin=False, tty=False)
    until("the line", lambda: "to-the-log" in core.read_namespaced_pod_log("shell", NAMESPACE, tail_lines=10))
    for line in watch.Watch().stream(core.read_namespaced_pod_log, "shell", NAMESPACE, follow=True):
        if "to-the-log" in line:
            return


def flow_port_forward():
    forward = portforward(core.connect_get_namespaced_pod_portforward, "shell", NAMESPACE, ports="8080")
    socket = forward.socket(8080)
    socket.setblocking(True)
    socket.sendall(b"GET / HTTP/1.0\r\n\r\n")
    text = b""
    while b"hello from shell" not in text:
        chunk = socket.recv(4096)
        if not chunk:
            raise AssertionError(f"the connection ended after {text!r}")
        text += chunk
    socket.close()


def flow_delete():
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="flow=list")
    expect("what is left", core.list_namespaced_config_map(NAMESPACE, label_selector="flow=list").items, [])
    core.delete_namespaced_pod("shell", NAMESPACE)
    until("the pod to go", lambda: not core.list_namespaced_pod(NAMESPACE).items)
    core.delete_namespace(NAMESPACE)


core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
until("the namespace's account", lambda: core.list_namespaced_service_account(NAMESPACE).items)
for name in ("list", "watch", "informer", "patch", "apply", "pod", "exec", "log", "port_forward", "delete"):
    print(f"running {name}", file=sys.stderr, flush=True)
    faulthandler.dump_traceback_later(FLOW_SECONDS, exit=True)
    globals()[f"flow_{name}"]()
    faulthandler.cancel_dump_traceback_later()
    print(name, flush=True)
