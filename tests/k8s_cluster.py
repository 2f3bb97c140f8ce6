"""A Kubernetes cluster of one node on this machine, for tests/k8s_test.py and tests/k8s_airgap_test.py: etcd, API server, controllers, scheduler, kube-proxy, CoreDNS,
and a kubelet with containerd, runc and CNI. It lives in namespaces of its own (mounts, processes, network): interfaces, firewall rules, mounts and processes end with them, also when the
test is killed; kernel settings outside the network cannot be written there. What remains is put back by `in_own_namespaces`: control groups and files."""
import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl", "pause", "dns")
COMMANDS = ("nsenter", "containerd", "containerd-shim-runc-v2", "ctr", "runc", "iptables", "ip", "mount", "unshare", "setpriv", "openssl", "helm")
PLUGINS = pathlib.Path("/usr/lib/cni")
GROUPS = pathlib.Path("/sys/fs/cgroup")
NODE, POD_NET, SERVICE_NET = "10.231.0.1", "10.232.0.0/24", "10.233.0.0/24"
API = f"https://{NODE}:6443"
HUB = "hub.example"  # what docs/deploy.md calls the hub's machine: the node, by its hosts file and by the cluster's name service
# Of the machine, and in the namespaces what the cluster's directory has under that name below `places`; their parents may not be there yet.
PLACES = ("/var/lib/cni", "/var/lib/skerry-hub", "/var/lib/skerry-site", "/media/stick", "/etc/containerd/certs.d", "/etc/skerry")
# Kernel settings that the kubelet insists on: in the namespaces they are files of the cluster's, so that the machine's stay as they are.
KUBELETS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes")
USERS = {"admin": "system:masters", "system:kube-controller-manager": "", "system:kube-scheduler": "", "system:kube-proxy": "", "system:node:node": "system:nodes"}


def missing():
    """Why no cluster can be started here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    tools = os.environ.get("SKERRY_KUBERNETES")
    if not tools:
        return "Kubernetes is not built: scripts/deps --k8s-test"
    lacking = [name for name in BINARIES if not os.access(f"{tools}/bin/{name}", os.X_OK)] + [name for name in COMMANDS if not shutil.which(name)]
    lacking += [f"{PLUGINS}/{name}" for name in ("bridge", "host-local", "loopback", "portmap") if not (PLUGINS / name).exists()]
    if not (GROUPS / "memory").is_dir() and not (GROUPS / "cgroup.controllers").exists():
        lacking.append("control groups")
    return f"not found: {', '.join(lacking)} (scripts/deps --k8s-test)" if lacking else None


def wait_until(holds, seconds, what):
    """Its first value that is true; what it raises is as good as false until the time is over."""
    ends, last = time.monotonic() + seconds, None
    while time.monotonic() < ends:
        try:
            if value := holds():
                return value
        except (AssertionError, OSError, KeyError, IndexError, ValueError) as error:
            last = error
        time.sleep(0.25)
    raise AssertionError(f"after {seconds} s not yet: {what} ({last})")


# --- namespaces -------------------------------------------------------------------------------------------------------------------------------------------

def group_roots():
    return [GROUPS] if (GROUPS / "cgroup.controllers").exists() else [path for path in GROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def make_groups(name):
    for root in group_roots():
        (root / name).mkdir()
        for inherited in ("cpuset.cpus", "cpuset.mems"):
            if (root / inherited).exists() and not (root / "cgroup.controllers").exists():
                (root / name / inherited).write_text((root / inherited).read_text())


def remove_groups(name):
    for root in group_roots():
        for group in sorted((root / name).rglob("*/"), reverse=True) + [root / name]:
            if group.is_dir():
                wait_until(lambda group=group: group.rmdir() or True, 20, f"{group} is empty")


def make_places():
    """The directories of PLACES that are not there. Those that were made, the innermost last."""
    made = []
    for place in map(pathlib.Path, PLACES):
        for directory in (*reversed(place.parents), place):
            if not directory.exists():
                directory.mkdir()
                made.append(directory)
    return made


def in_own_namespaces():
    """Runs this program again, in namespaces of its own, and ends with its exit status. There `SKERRY_K8S` names its directory."""
    name = f"skerry-k8s-{os.getpid()}"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    status = 1
    with tempfile.TemporaryDirectory(prefix="skerry-k8s-") as directory, contextlib.ExitStack() as undo:
        for made in make_places():
            undo.callback(os.rmdir, made)
        undo.callback(remove_groups, name)
        make_groups(name)
        # The shell is process 1 there and takes up what others leave behind.
        with subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                               "sh", "-c", '"$@"; exit $?', "sh", sys.executable, *sys.argv],
                              env=dict(os.environ, SKERRY_K8S=directory, SKERRY_K8S_GROUP=name)) as inner:
            try:
                status = inner.wait()
            finally:
                inner.kill()
    sys.exit(status)


def settle_in(directory):
    """What is of the machine's is hidden or cannot be written; a network of its own."""
    for hidden in ("/run", "/var/log"):
        must("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", hidden)
    for place in PLACES:
        own = directory / "places" / place.lstrip("/")
        own.mkdir(parents=True)
        must("mount", "--bind", own, place)
    (directory / "hosts").write_text(f"127.0.0.1 localhost\n{NODE} {HUB}\n")
    must("mount", "--bind", directory / "hosts", "/etc/hosts")
    for setting in KUBELETS:
        own = directory / setting.replace("/", ".")
        own.write_text((pathlib.Path("/proc/sys") / setting).read_text())
        must("mount", "--bind", own, f"/proc/sys/{setting}")
    for fixed in ("/proc/sys/kernel", "/proc/sys/vm", "/proc/sys/fs"):
        must("mount", "--rbind", fixed, fixed)
        must("mount", "-o", "remount,bind,ro", fixed)
    for command in ("ip link set lo up", "ip link add node0 type veth peer name node1", f"ip addr add {NODE}/24 dev node0", "ip link set node0 up",
                    "ip link set node1 up", f"ip route add default via {NODE}"):
        must(*command.split())
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")


def must(*command, **options):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **options)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


# --- the cluster ------------------------------------------------------------------------------------------------------------------------------------------

def pause_image(binary):
    """An image archive (OCI layout) whose one file is the binary."""
    blobs = {}

    def blob(data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def archive(files):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, data in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(data), 0o755
                tar.addfile(entry, io.BytesIO(data))
        return out.getvalue()

    layer = archive({"pause": binary.read_bytes()})
    config = {"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/pause"]}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}
    types = "application/vnd.oci.image."
    manifest = {"schemaVersion": 2, "mediaType": types + "manifest.v1+json", "config": blob(json.dumps(config).encode(), types + "config.v1+json"),
                "layers": [blob(gzip.compress(layer), types + "layer.v1.tar+gzip")]}
    entry = blob(json.dumps(manifest).encode(), types + "manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": "localhost/pause:1"}
    return archive({**blobs, "oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()})


class Cluster:
    """Of one node, called `node`. `start` returns when the node is ready; `stop` ends every process. Logs are below `directory`."""

    def __init__(self, directory, group):
        self.dir, self.group, self.processes = pathlib.Path(directory), group, {}
        self.bin = pathlib.Path(os.environ["SKERRY_KUBERNETES"]) / "bin"
        self.tokens = {user: secrets.token_hex(16) for user in USERS}
        self.as_admin = ("--kubeconfig", self.config("admin"), "-n", "skerry")
        self.environment = dict(os.environ, HOME=str(self.dir), KUBECONFIG=str(self.config("admin")),  # where kubectl and helm cache
                                PATH=f"{self.bin}:{os.environ['PATH']}")

    # Processes

    def launch(self, name, *command, environment=None):
        """Starts it, its output in NAME.log. Popen."""
        with open(self.dir / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def kill(self, name):
        """SIGKILL, as a crash."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self):
        for name in reversed(list(self.processes)):
            self.kill(name)

    def logs(self, lines=15):
        return "\n".join(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) for path in sorted(self.dir.glob("*.log")))

    def start(self):
        self.write_access()
        self.launch("etcd", self.bin / "etcd", "--data-dir", self.dir / "etcd", "--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls",
                    "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
                    "--initial-cluster", "default=http://127.0.0.1:2380")
        key = self.dir / "accounts.key"
        must("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        self.launch("kube-apiserver", self.bin / "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--cert-dir={self.dir / 'pki'}", f"--advertise-address={NODE}",
                    f"--bind-address={NODE}", "--secure-port=6443", f"--service-cluster-ip-range={SERVICE_NET}", "--authorization-mode=Node,RBAC",
                    f"--token-auth-file={self.dir / 'tokens.csv'}", f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
                    f"--service-account-issuer={API}", "--enable-admission-plugins=NodeRestriction", "--kubelet-preferred-address-types=InternalIP")
        wait_until(lambda: self.kubectl("get", "--raw", "/readyz") == "ok", 300, "the API server is ready")
        self.launch("kube-controller-manager", self.bin / "kube-controller-manager", f"--kubeconfig={self.config('system:kube-controller-manager')}", "--leader-elect=false", "--use-service-account-credentials",
                    f"--service-account-private-key-file={key}", f"--root-ca-file={self.authority}", f"--cluster-cidr={POD_NET}",
                    f"--cert-dir={self.dir / 'pki'}", f"--flex-volume-plugin-dir={self.dir / 'volume-plugins'}", "--bind-address=127.0.0.1")
        self.launch("kube-scheduler", self.bin / "kube-scheduler", f"--kubeconfig={self.config('system:kube-scheduler')}", "--leader-elect=false",
                    f"--cert-dir={self.dir / 'pki'}", "--bind-address=127.0.0.1")
        (self.dir / "Corefile").write_text(f".:53 {{\n errors\n kubernetes cluster.local {{\n  kubeconfig {self.config('admin')} here\n }}\n hosts {{\n  {NODE} {HUB}\n }}\n}}\n")
        self.launch("dns", self.bin / "dns", "-conf", self.dir / "Corefile")
        self.start_containerd()
        image = self.dir / "pause.tar"
        image.write_bytes(pause_image(self.bin / "pause"))
        wait_until(lambda: must("ctr", "-n", "k8s.io", "images", "import", image), 120, "containerd answers")
        self.start_node()
        wait_until(lambda: self.node_is_ready(), 300, "the node is ready")

    def node_is_ready(self):
        conditions = self.get("node", "node")["status"]["conditions"]
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    # What each needs

    @property
    def authority(self):
        return self.dir / "pki/apiserver.crt"

    def write_access(self):
        (self.dir / "pki").mkdir()
        (self.dir / "tokens.csv").write_text("".join(f'{self.tokens[user]},{user},{user},"{group}"\n' for user, group in USERS.items()))
        os.chmod(self.dir / "tokens.csv", 0o600)

    def config(self, user):
        """The kubeconfig of a user."""
        path = self.dir / f"{user.replace(':', '-')}.conf"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": API, "certificate-authority": str(self.authority)}}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": user}}]}))
        path.chmod(0o600)
        return path

    def start_containerd(self):
        """The container runtime, with its own state; what `kill("containerd")` ended goes on."""
        plugin = '[plugins."io.containerd.grpc.v1.cri"'
        (self.dir / "containerd.toml").write_text(f"""version = 2
root = "{self.dir}/containerd"
state = "/run/containerd"
oom_score = 0
{plugin}]
sandbox_image = "localhost/pause:1"
restrict_oom_score_adj = true
disable_apparmor = true
tolerate_missing_hugetlb_controller = true
disable_hugetlb_controller = true
{plugin}.cni]
bin_dir = "{PLUGINS}"
conf_dir = "{self.dir}/cni"
{plugin}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
{plugin}.containerd.runtimes.runc.options]
SystemdCgroup = false
{plugin}.registry]
config_path = "/etc/containerd/certs.d"
""")
        (self.dir / "cni").mkdir(exist_ok=True)
        (self.dir / "cni/pods.conflist").write_text(json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [
            {"type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
             "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_NET}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": str(self.dir / "addresses")}},
            {"type": "portmap", "capabilities": {"portMappings": True}}]}))
        self.launch("containerd", "containerd", "--config", self.dir / "containerd.toml")

    def start_node(self):
        (self.dir / "resolv.conf").write_text("")
        (self.dir / "kubelet.json").write_text(json.dumps({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "address": NODE, "healthzBindAddress": "127.0.0.1",
            # Its port is reached from this network namespace alone.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}}, "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{self.group}", "failCgroupV1": False, "enforceNodeAllocatable": ["pods"],
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock", "failSwapOn": False, "featureGates": {"KubeletInUserNamespace": True},
            "clusterDNS": [NODE], "clusterDomain": "cluster.local",
            "resolvConf": str(self.dir / "resolv.conf"), "volumePluginDir": str(self.dir / "volume-plugins"), "podLogsDir": str(self.dir / "pod-logs"),
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"}, "imageGCHighThresholdPercent": 100}))
        self.launch("kubelet", self.bin / "kubelet", "--config", self.dir / "kubelet.json", "--kubeconfig", self.config("system:node:node"), "--root-dir",
                    self.dir / "kubelet", "--cert-dir", self.dir / "pki", "--hostname-override", "node", "--node-ip", NODE)
        (self.dir / "proxy.json").write_text(json.dumps({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables", "clusterCIDR": POD_NET, "hostnameOverride": "node",
            "clientConnection": {"kubeconfig": str(self.config("system:kube-proxy"))}, "conntrack": {"maxPerCore": 0}, "bindAddress": NODE,
            "healthzBindAddress": "127.0.0.1:10256"}))
        self.launch("kube-proxy", self.bin / "kube-proxy", "--config", self.dir / "proxy.json")

    def add_volume(self, name, gibibytes):
        """A directory of the node as a volume that claims without a class take. Its path."""
        path = self.dir / "volumes" / name
        path.mkdir(parents=True)
        self.apply({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                    "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"})
        here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node"]}]}
        self.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                    "spec": {"capacity": {"storage": f"{gibibytes}Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local", "local": {"path": str(path)},
                             "persistentVolumeReclaimPolicy": "Retain", "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}}}})
        return path

    # Use

    def kubectl(self, *args, **options):
        return must(self.bin / "kubectl", *self.as_admin, *args, env=self.environment, **options)

    def helm(self, *args):
        return must("helm", *self.as_admin, *args, env=self.environment)

    def apply(self, resource):
        return self.kubectl("apply", "-f", "-", input=json.dumps(resource))

    def get(self, *what):
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def processes_of(self, *words):
        """The ids of the processes whose command begins with these words."""
        start = b"\0".join(word.encode() for word in words)
        found = []
        for place in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (place / "cmdline").read_bytes().startswith(start):
                    found.append(int(place.name))
        return found

    def process_of(self, *words):
        found = self.processes_of(*words)
        assert len(found) == 1, (words, found)
        return found[0]
