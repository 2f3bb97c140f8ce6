"""charts/skerry-site on a real Kubernetes (tests/k8s_cluster.py) that no link reaches, as docs/deploy.md has it, word by word: image and chart come in a bundle to the
site of the cluster's host, whose registry containerd and Helm pull from, and records go out of the cluster's site in bundles. The hub runs in a network of its own,
without a way out. Needs root and what `scripts/deps --k8s-test` builds: `make k8s-test` runs it. Prints "N passed, N failed, N skipped"."""
import os
import pathlib
import shutil
import time

import k8s_cluster
from k8s_case import REASON, ROOT, ClusterCase, Guide, tell
from k8s_cluster import HUB, wait_until
from skerry_process import SKERRY, run, run_tests

STICK, SETTINGS = pathlib.Path("/media/stick"), pathlib.Path("/etc/skerry")
REGISTRY = "127.0.0.1:5000"


class AirGap(ClusterCase):
    apart = True

    def start_host_site(self):
        """As its service does."""
        self.cluster.launch("host-site", SKERRY, "site", "--data", "/var/lib/skerry-site", "--config", SETTINGS / "site.yaml")
        wait_until(lambda: self.type("skerry health --data /var/lib/skerry-site") or True, 60, "the host's site answers")

    def test_a_cluster_without_a_link(self):
        self.guide = Guide("On Kubernetes without a link")
        self.assertNotEqual(run("pull", f"{HUB}:8443/images/skerry-site:0.1.0", "--out", self.desk / "none").returncode, 0)
        tell(self.at_hub(self.guide.block("helm package ")).strip().replace("\n", "; "))
        self.install_the_host()
        self.at_hub(self.guide.block("skerry bundle import - --hub /var/lib/skerry-hub </media/stick/from-north-host.tar"))
        self.install_the_site()
        self.carry()
        client = self.start_client("north")
        tell("it has joined by bundles, and scores")
        self.refuse_a_push()
        for step in (self.delete_the_pod, self.kill_containerd, self.restart_without_the_registry, self.upgrade):
            before, kept = time.monotonic(), len(client.acknowledged)
            step()
            silent = client.goes_on()
            tell(f"{step.__name__.replace('_', ' ')}: {time.monotonic() - before:.1f} s; without an answer {silent:.1f} s; {len(client.acknowledged) - kept} rows kept")
        client.end()
        self.skerry("north-0", "outbox", "seal", "--data", "/var/lib/skerry")
        self.carry()  # what it captured, and the receipt back
        self.carry()  # that it has the receipt
        self.assertEqual(self.guide.left_out(), [])
        self.cluster.kill("hub")
        type(self).apart = False
        self.start_hub()  # where this test reaches it, now that all is over
        terms = self.check_the_hub(client.acknowledged)
        self.assertEqual((terms["lost"], terms["not_captured"]), (0, 0))

    def install_the_host(self):
        """What the installer and `systemctl` do (tests/service_test.py), without an init system."""
        settings = next(body for kind, body in self.guide.blocks if kind == "yaml")
        (SETTINGS / "site.yaml").write_text((ROOT / "packaging/debian/site.yaml").read_text() + settings)
        shutil.copy(STICK / "north-host.token", SETTINGS / "site.token")
        self.start_host_site()
        restart, export = self.guide.block("systemctl restart skerry-site").splitlines()
        self.assertEqual(restart, "systemctl restart skerry-site")
        self.type(export)

    def install_the_site(self):
        trust = pathlib.Path(f"/etc/containerd/certs.d/{REGISTRY}")
        trust.mkdir()
        (trust / "hosts.toml").write_text(self.guide.block(f'server = "http://{REGISTRY}"'))
        self.cluster.add_volume("north", 10)
        begun = time.monotonic()
        self.type(self.guide.block("helm install north "))
        self.until_running("north-0")
        tell(f"image and chart came out of the bundle, containerd pulled from the host's site, and the cluster's site has started: {time.monotonic() - begun:.0f} s")

    def carry(self):
        """A stick to the hub and back."""
        self.type(self.guide.block("kubectl -n skerry exec north-0 -- skerry bundle export"))
        self.at_hub(self.guide.block("skerry bundle import - --hub /var/lib/skerry-hub </media/stick/from-north.tar"))
        self.type(self.guide.block("kubectl -n skerry exec -i north-0 -- skerry bundle import"))

    def refuse_a_push(self):
        done = run("push", self.desk / "site.image", "--to", f"{REGISTRY}/images/skerry-site:0.1.0", "--plain-http")
        self.assertNotEqual(done.returncode, 0, done.stdout)

    def delete_the_pod(self):
        uid = self.uid("north-0")
        self.cluster.kubectl("delete", "pod", "north-0", "--grace-period=0", "--force")
        self.until_ready("north-0", other_than=uid)

    def kill_containerd(self):
        self.cluster.kill("containerd")
        self.cluster.start_containerd()
        wait_until(lambda: self.skerry("north-0", "health", "--data", "/var/lib/skerry") or True, 120, "the runtime answers")
        self.until_ready("north-0")

    def restart_without_the_registry(self):
        """The node has the image: a host's site that is away holds up no pod."""
        self.cluster.kill("host-site")
        self.delete_the_pod()
        self.start_host_site()

    def upgrade(self):
        """Another image and another chart, in another bundle."""
        newer, old, new = self.desk / "newer", "0.1.0", "0.1.1"
        shutil.copytree(ROOT / "charts/skerry-site", newer / "charts/skerry-site")
        for name in ("Chart.yaml", "values.yaml"):
            path = newer / "charts/skerry-site" / name
            path.write_text(path.read_text().replace(old, new))
        made = [line for line in self.guide.block("helm package ").splitlines() if line.startswith(("skerry image", "skerry push", "helm"))]
        self.at_hub("\n".join(["cd newer", *made]).replace("--for site", f"--for site --version {new}")
                    .replace("<ci.secret", "<../ci.secret").replace(old, new))
        self.type(self.guide.block("systemctl restart skerry-site").splitlines()[1])
        self.at_hub(self.guide.block("skerry bundle import - --hub /var/lib/skerry-hub </media/stick/from-north-host.tar").replace(old, new))
        self.type(self.guide.block("helm install north ").splitlines()[0])
        uid = self.uid("north-0")
        self.type(self.guide.block("helm upgrade north ").replace("NEW", new) + "kubectl -n skerry rollout status statefulset/north --timeout=300s")
        pod = self.until_ready("north-0", other_than=uid)
        self.assertEqual(pod["spec"]["containers"][0]["image"], f"{REGISTRY}/images/skerry-site:{new}")


if __name__ == "__main__":
    if not REASON and "SKERRY_K8S" not in os.environ:
        k8s_cluster.in_own_namespaces()
    run_tests(__name__)
