"""The Helm charts and the manifests rendered from them (deploy/k8s): rendered anew, they are the same; every resource passes
kubernetes-validate --strict for three versions of Kubernetes; wrong values are refused. Prints "N passed, N failed, N skipped"."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from skerry_process import run_tests

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHARTS = ROOT / "charts"
RENDERED = ROOT / "deploy/k8s"
VALIDATE = os.environ.get("SKERRY_KUBERNETES_VALIDATE")
VERSIONS = ("1.33", "1.35", "1.37")
SECRETS = {"skerry-site": ("imagePullSecrets={pull}", "site.tokenSecret=skerry-site-token"), "skerry-hub": ("imagePullSecrets={pull}",)}  # in deploy/k8s
# Each optional part, so that what is validated has all of them.
EVERYTHING = {
    "skerry-site": ("scorers.enabled=true", "scorers.secret=scorer-keys", "scorers.outage=answer", "scorers.timeoutMs=1234", "site.name=north", "site.hubUrl=https://hub.example:8443", "site.tokenSecret=north-token", "access.tlsSecret=tls",
                    "access.apiKeysSecret=keys", "site.settings.journal.bytes=1000000", "imagePullSecrets={pull}", "persistence.storageClass=fast",
                    "networkPolicy.from[0].podSelector.matchLabels.app=line", "nodeSelector.disk=ssd", f"image.digest=sha256:{'0' * 64}"),
    "skerry-hub": ("hub.publicUrl=https://hub.example", "hub.options={--train-from,/srv/data}", "service.type=LoadBalancer", "service.annotations.a=b",
                   "imagePullSecrets={pull}", "persistence.storageClass=fast", "networkPolicy.from[0].ipBlock.cidr=10.0.0.0/8"),
}


def helm(*args):
    return subprocess.run(["helm", *map(str, args)], capture_output=True, text=True, check=False)


def render(chart, *values):
    flags = [word for value in values for word in ("--set", value)]
    return helm("template", chart, CHARTS / chart, "--namespace", "skerry", "--kube-version", VERSIONS[1], *flags)


class Charts(unittest.TestCase):
    def validate(self, text):
        if not VALIDATE:
            self.skipTest("kubernetes-validate is not installed: scripts/deps --test")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(text)
            file.flush()
            for version in VERSIONS:
                done = subprocess.run([VALIDATE, "--strict", "-k", version, file.name], capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertEqual(done.stdout.count(" passed for resource ") + done.stderr.count(" passed for resource "), text.count("\nkind: "))

    def test_the_rendered_manifests_are_valid(self):
        for chart in EVERYTHING:
            self.validate((RENDERED / f"{chart}.yaml").read_text())

    def test_they_keep_to_the_restricted_pod_security(self):
        for chart in EVERYTHING:
            text = (RENDERED / f"{chart}.yaml").read_text()
            pods = text.count("      containers:")
            self.assertGreater(pods, 0)
            for line in ("runAsNonRoot: true", "type: RuntimeDefault", "allowPrivilegeEscalation: false", "readOnlyRootFilesystem: true", "drop: [ALL]",
                         "automountServiceAccountToken: false"):
                self.assertGreaterEqual(text.count(line), pods, line)
            self.assertEqual(len(re.findall(r"limits:\n +cpu: .*\n +memory: ", text)), pods)
            self.assertNotRegex(text, r"hostNetwork|hostPath|privileged: true|ClusterRole|kind: Role")

    @unittest.skipUnless(shutil.which("helm"), "helm is not installed: scripts/deps --kubernetes")
    def test_rendered_anew_they_are_the_same(self):
        for chart in EVERYTHING:
            done = render(chart, *SECRETS[chart])
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(done.stdout, (RENDERED / f"{chart}.yaml").read_text(), f"run scripts/charts ({chart})")

    @unittest.skipUnless(shutil.which("helm"), "helm is not installed: scripts/deps --kubernetes")
    def test_every_optional_part_is_valid_too(self):
        for chart, values in EVERYTHING.items():
            done = render(chart, *values)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for value in values:
                self.assertTrue(re.split(r"[={},]", value)[-1 if "}" not in value else -2] in done.stdout or value == "scorers.enabled=true", value)
            self.validate(done.stdout)

    @unittest.skipUnless(shutil.which("helm"), "helm is not installed: scripts/deps --kubernetes")
    def test_scorers_reach_the_site_alone_and_have_its_key_alone(self):
        plain = render("skerry-site", "scorers.enabled=true", "scorers.secret=scorer-keys", "networkPolicy.from[0].podSelector.matchLabels.app=line").stdout
        scorers = next(part for part in plain.split("---\n") if "kind: Deployment" in part)
        for line in ('command: ["/usr/bin/skerry", "serve"]', "--capture=http://skerry-site:8000", "--capture-outage=wait", "--plain-http", "items: [{key: key, path: key}]"):
            self.assertIn(line, scorers)
        self.assertNotIn("token", scorers.replace("automountServiceAccountToken", ""))
        own, site = ([part for part in plain.split("---\n") if "kind: NetworkPolicy" in part and f"metadata:\n  name: skerry-site{end}\n" in part][0] for end in ("-scorers", ""))
        self.assertNotIn("8443", own)
        self.assertIn("app.kubernetes.io/component: site", own.split("egress:")[1])
        self.assertIn("app.kubernetes.io/component: scorers", site.split("ingress:")[1].split("egress:")[0])
        secure = render("skerry-site", "scorers.enabled=true", "scorers.secret=scorer-keys", "scorers.capture=async", "access.tlsSecret=tls").stdout
        self.assertIn("--capture=https://skerry-site:8000", secure)
        self.assertIn("--capture-ca=/etc/skerry/tls/ca.crt", secure)
        self.assertNotIn("--capture-outage", secure)
        self.assertNotIn("--plain-http", secure)

    @unittest.skipUnless(shutil.which("helm"), "helm is not installed: scripts/deps --kubernetes")
    def test_wrong_values_are_refused_by_name(self):
        for chart, value, word in (("skerry-site", "site.capture=always", "capture"), ("skerry-site", "site.nmae=north", "nmae"),
                                   ("skerry-site", "scorers.enabled=true", "secret"), ("skerry-site", "scorers.outage=hope", "outage"),
                                   ("skerry-site", "site.hubUrl=http://hub.example", "hubUrl"), ("skerry-site", "resources.limits.memory=much", "memory"),
                                   ("skerry-hub", "image.tag=", "tag"), ("skerry-hub", "service.port=0", "port")):
            done = render(chart, value)
            self.assertNotEqual(done.returncode, 0, value)
            self.assertIn(word, done.stderr)


if __name__ == "__main__":
    run_tests(__name__)
