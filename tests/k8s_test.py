"""charts/skerry-site and charts/skerry-hub on a real Kubernetes (tests/k8s_cluster.py), as docs/deploy.md has it, word by word: installed from a hub's registry,
scored through the site's service and the scorers' while the model is rolled, processes, pods, the container runtime and the hub are killed, the chart is upgraded
and the node is drained; every row that a client was told is kept is at the hub, once. Needs root and what `scripts/deps --k8s-test` builds: `make k8s-test` runs
it. Prints "N passed, N failed, N skipped"."""
import json
import os
import pathlib
import time

import k8s_cluster
from k8s_case import HUB_DATA, REASON, ROOT, ClusterCase, Guide, tell
from k8s_cluster import HUB, wait_until
from skerry_process import run_tests, write_table

SITE_PROCESS, SCORER_PROCESS = ("/usr/bin/skerry", "site"), ("/usr/bin/skerry", "serve")


class Kubernetes(ClusterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.guide = Guide("On Kubernetes, in ten minutes")
        tell(cls.at_hub(cls.guide.block("skerry push site.image ")).strip().replace("\n", "; "))
        trust = pathlib.Path(f"/etc/containerd/certs.d/{HUB}:8443")
        trust.mkdir()
        (trust / "hosts.toml").write_text(cls.guide.block(f'server = "https://{HUB}'))
        (trust / "ca.pem").write_bytes((HUB_DATA / "ca/ca.pem").read_bytes())

    # A site, from its installation to its removal

    def test_a_site(self):
        self.cluster.add_volume("north", 10)
        begun = time.monotonic()
        install = self.guide.block("helm install north ")
        self.type(install)
        self.until_running("north-0")
        tell("the site's image was pulled from the hub's registry, and the site has started")
        self.type(self.guide.block("skerry deploy milling:1 "))
        self.assertEqual(self.restarts("north-0"), 0)
        self.score_from_a_desk()
        tell(f"steps 3 to 5 took {time.monotonic() - begun:.0f} s")
        self.direct = self.start_client("north")
        self.add_scorers()
        # An answer of theirs may wait for the site: longer than it may take to come back.
        self.by_scorers = self.start_client("north-scorers", timeout_s=60)
        self.clients = (self.direct, self.by_scorers)
        for step in (self.roll_the_model, self.kill_the_process, self.kill_the_shim, self.delete_the_pod, self.kill_a_scorer, self.delete_the_scorers, self.kill_containerd,
                     self.kill_the_hub, self.upgrade, self.answer_without_the_site, self.drain_the_node, self.uninstall_and_install):
            self.watch(step)
        for client in self.clients:
            client.end()
        for command in ("seal", "sync", "sync"):
            self.skerry("north-0", "outbox", command, "--data", "/var/lib/skerry")
        self.assertGreater(len(self.by_scorers.acknowledged), 100)
        terms = self.check_the_hub(self.direct.acknowledged + self.by_scorers.acknowledged)
        self.assertEqual(terms["lost"], 0)
        self.assertGreater(terms["not_captured"], 0)  # of answer_without_the_site

    def watch(self, step):
        for client in self.clients:
            client.goes_on()
        before, refused, kept = time.monotonic(), [client.refused for client in self.clients], sum(len(client.acknowledged) for client in self.clients)
        step()
        silent = [client.goes_on() for client in self.clients]
        tell(f"{step.__name__.replace('_', ' ')}: {time.monotonic() - before:.1f} s; without an answer {silent[0]:.1f} s, {silent[1]:.1f} s by scorers; "
             f"refused {self.direct.refused - refused[0]}, {self.by_scorers.refused - refused[1]} by scorers; "
             f"{sum(len(client.acknowledged) for client in self.clients) - kept} rows kept")

    def score_from_a_desk(self):
        self.cluster.launch("forward", *"kubectl -n skerry port-forward service/north 8000".split(), environment=self.cluster.environment)
        score = self.guide.block("curl -s -H")
        # A bare answer to the first request says that the port is open.
        wait_until(lambda: self.type("curl -sf http://127.0.0.1:8000/v2/health/ready") or True, 30, "the forwarded port answers")
        answer = self.type(score)
        self.assertEqual(answer.count('"prediction"'), 10, answer)
        self.assertIn("scored", answer)
        self.cluster.kill("forward")

    def pods_of_scorers(self):
        return self.cluster.get("pods", "-l", "app.kubernetes.io/component=scorers")["items"]

    def scorers(self):
        """Those that are not about to end."""
        return [pod["metadata"]["name"] for pod in self.pods_of_scorers() if "deletionTimestamp" not in pod["metadata"]]

    def scorers_ready(self, count=2):
        return self.cluster.get("deployment", "north-scorers")["status"].get("readyReplicas") == count

    def add_scorers(self):
        uid = self.uid("north-0")
        self.type(self.guide.block("skerry api-key scorers "))
        self.until_ready("north-0", other_than=uid)
        wait_until(self.scorers_ready, 300, "two scorers are ready")
        tell("two scorers are ready")

    def roll_the_model(self):
        refused = [client.refused for client in self.clients]
        write_table(self.desk / "readings2.csv", seed=2)
        self.at_hub("""skerry train readings2.csv --label failure --name milling --out milling2
                       skerry pack milling2 --name milling --version 2 --out milling2.oci
                       skerry sign milling2.oci --key /var/lib/skerry-hub/keys/model.key
                       skerry push milling2.oci --hub /var/lib/skerry-hub""")
        self.at_hub(self.guide.cell("roll the model of a site")[0])
        for service in ("north", "north-scorers"):
            wait_until(lambda at=self.address(service): self.version_at(at) == "2", 120, f"version 2 scores at {service}")
        self.assertEqual(self.restarts("north-0"), 0)
        self.assertEqual([client.refused for client in self.clients], refused)

    def kill_the_process(self):
        uid = self.uid("north-0")
        before = self.restarts("north-0")
        os.kill(self.cluster.process_of(*SITE_PROCESS), 9)
        wait_until(lambda: self.restarts("north-0") == before + 1, 120, "the kubelet starts it again")
        self.assertEqual(self.until_ready("north-0")["metadata"]["uid"], uid)

    def kill_the_shim(self):
        """What holds the pod: sandbox and container are gone, and are made anew."""
        identity = self.pod("north-0")["status"]["containerStatuses"][0]["containerID"]
        shim = int(pathlib.Path(f"/proc/{self.cluster.process_of(*SITE_PROCESS)}/status").read_text().split("PPid:")[1].split()[0])
        os.kill(shim, 9)
        wait_until(lambda: self.pod("north-0")["status"]["containerStatuses"][0]["containerID"] != identity, 180, "there is another container")
        self.until_ready("north-0")

    def delete_the_pod(self):
        for how in ((), ("--grace-period=0", "--force")):
            uid = self.uid("north-0")
            self.cluster.kubectl("delete", "pod", "north-0", *how)
            self.until_ready("north-0", other_than=uid)

    def kill_a_scorer(self):
        os.kill(self.cluster.processes_of(*SCORER_PROCESS)[0], 9)
        wait_until(lambda: sum(self.restarts(name) for name in self.scorers()) == 1, 120, "the kubelet starts it again")
        wait_until(self.scorers_ready, 120, "two scorers are ready")

    def delete_the_scorers(self):
        """Both at once."""
        before = self.scorers()
        self.cluster.kubectl("delete", "pods", *before)
        wait_until(lambda: not set(self.scorers()) & set(before) and self.scorers_ready(), 180, "two others are ready")

    def kill_containerd(self):
        process = self.cluster.process_of(*SITE_PROCESS)
        self.cluster.kill("containerd")
        time.sleep(5)
        self.assertEqual(self.cluster.process_of(*SITE_PROCESS), process)  # what runs goes on
        self.cluster.start_containerd()
        wait_until(lambda: self.skerry("north-0", "health", "--data", "/var/lib/skerry") or True, 120, "the runtime answers")
        self.until_ready("north-0")

    def kill_the_hub(self):
        self.cluster.kill("hub")
        self.start_hub()

    def upgrade(self):
        """Another image and another setting: the pod is replaced."""
        self.at_hub("skerry image --for site --version 0.1.1 --out newer.image && skerry push newer.image --hub /var/lib/skerry-hub")
        uid = self.uid("north-0")
        self.type(self.guide.cell("upgrade skerry, or change a setting")[0].replace("NEW", "0.1.1") + ",site.settings.journal.bytes=50000000")
        self.type("kubectl -n skerry rollout status statefulset/north --timeout=300s && kubectl -n skerry rollout status deployment/north-scorers --timeout=300s")
        for name in ("north-0", *self.scorers()):
            self.assertIn(":0.1.1", self.pod(name)["spec"]["containers"][0]["image"])
        self.assertNotEqual(self.uid("north-0"), uid)

    def answer_without_the_site(self):
        """With scorers.outage=answer: they answer while the site's pod is away, and say that they do not keep."""
        self.type("helm upgrade north charts/skerry-site -n skerry --reset-then-reuse-values --set scorers.outage=answer && kubectl -n skerry rollout status deployment/north-scorers --timeout=300s")
        # The scorers from before the upgrade, which wait for the site, end after it is said to be done: until then a request may be theirs.
        wait_until(lambda: len(self.pods_of_scorers()) == 2, 120, "the scorers from before have ended")
        uid, unkept = self.uid("north-0"), len(self.by_scorers.unkept)
        self.cluster.kubectl("delete", "pod", "north-0", "--grace-period=0", "--force")
        self.until_ready("north-0", other_than=uid)
        self.assertGreater(len(self.by_scorers.unkept), unkept)

    def drain_the_node(self):
        uid = self.uid("north-0")
        drain, only, uncordon = (command for command in self.guide.cell("empty a node") if command.startswith(("kubectl", "--")))
        self.type(f"{drain} {only} --timeout=120s".replace("NODE", "node"))
        wait_until(lambda: self.pod("north-0")["status"]["phase"] == "Pending", 60, "its pod waits for a node")
        self.type(uncordon.replace("NODE", "node"))
        self.until_ready("north-0", other_than=uid)
        wait_until(self.scorers_ready, 300, "two scorers are ready")

    def uninstall_and_install(self):
        """The volume stays; the token, which was used, may be gone."""
        self.type(self.guide.cell("remove the site")[0] + " --wait")
        self.assertEqual(self.cluster.get("pvc", "data-north-0")["status"]["phase"], "Bound")
        self.cluster.kubectl("delete", "secret", "north-token")
        install = self.guide.block("helm install north ").strip().splitlines()[-1]
        self.type(install + ",scorers.enabled=true,scorers.secret=north-scorers")
        self.until_ready("north-0")
        wait_until(self.scorers_ready, 300, "two scorers are ready")
        for client, service in zip(self.clients, ("north", "north-scorers")):
            client.move_to(self.address(service))

    # What else the section says

    def test_hub_in_the_cluster(self):
        volume = self.cluster.add_volume("hub", 50)
        self.at_hub("skerry image --for hub --out hub.image && skerry push hub.image --hub /var/lib/skerry-hub")
        self.type(self.guide.block("helm install hub ").replace("registry.example", f"{HUB}:8443"))
        token = json.loads((self.desk / "north.token").read_text())
        self.assertEqual(token["hub_url"], f"https://{HUB}:8443")
        uid = self.uid("hub-0")
        # What a load balancer would do: the public name leads to the service.
        (self.desk / "hosts").write_text(f"{self.cluster.get('service', 'hub')['spec']['clusterIP']} {HUB}\n")
        balanced = ("unshare", "--mount", "sh", "-c", 'mount --bind hosts /etc/hosts && exec "$@"', "sh")
        secret = self.skerry("hub-0", "registry", "add", "ci", "--allow", "images=push", "--hub", "/var/lib/skerry", "--out", "-")
        (self.desk / "hub-ci.secret").touch(mode=0o600)
        (self.desk / "hub-ci.secret").write_text(secret)
        push = f"skerry push site.image --to {HUB}:8443/images/demo:1 --user ci --token-file hub-ci.secret --ca {volume}/ca/ca.pem"
        before = self.type(push, balanced)
        self.cluster.kubectl("delete", "pod", "hub-0", "--grace-period=0", "--force")
        self.until_ready("hub-0", other_than=uid)
        self.assertEqual(self.type(push, balanced), before)
        tell("a hub ran in the cluster, was killed, and was pushed to before and after")
        self.cluster.helm("uninstall", "hub", "--wait")

    def test_rendered_manifests(self):
        made = self.cluster.kubectl("apply", "--dry-run=server", "-f", ROOT / "deploy/k8s/skerry-hub.yaml")
        self.assertIn("statefulset.apps/skerry-hub created (server dry run)", made)
        self.cluster.add_volume("south", 10)
        self.at_hub("skerry token south --hub /var/lib/skerry-hub --out south.token")
        self.type(self.guide.block("sed "))
        self.until_running("skerry-site-0")
        self.at_hub("skerry deploy milling:1 --policy milling:1 --sites south --hub /var/lib/skerry-hub")
        self.until_ready("skerry-site-0")
        self.assertEqual(self.version_at(self.address("skerry-site")), "1")
        tell("a site was made of the rendered manifests, and scores")

    def test_whole_section_was_followed(self):
        self.assertEqual(self.guide.left_out(), [])


if __name__ == "__main__":
    if not REASON and "SKERRY_K8S" not in os.environ:
        k8s_cluster.in_own_namespaces()
    run_tests(__name__)
