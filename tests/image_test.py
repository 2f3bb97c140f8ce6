"""skerry image: built twice, looked into with other tools, pushed, and run by podman as it is meant to be run: with a read-only
root, no capability and 128 MB. Prints "N passed, N failed, N skipped"."""
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import time
import unittest
import urllib.request

from plant import free_port, good
from skerry_process import SKERRY, Served, run, run_tests, train_package
from statements_judge import judge, with_schemas

LIMIT_BYTES = 120_000_000  # compressed, without training libraries
ROWS = "a,b,kind\n51.5,1.25,x\n12.25,-0.5,z\n"


def build(model, out, *more, environment=None):
    done = subprocess.run([SKERRY, "image", *([model] if model else []), *map(str, more), "--out", out, "--json"], capture_output=True, text=True,
                          env=dict(os.environ, **(environment or {})), timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def files_of(layout):
    return {str(path.relative_to(layout)): path.read_bytes() for path in sorted(layout.rglob("*")) if path.is_file()}


def blob(layout, digest):
    data = (layout / "blobs" / digest.replace(":", "/")).read_bytes()
    assert "sha256:" + hashlib.sha256(data).hexdigest() == digest
    return data


def score(url):
    request = urllib.request.Request(url + "/v1/score", ROWS.encode(), {"Content-Type": "text/csv"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        rows = [json.loads(line) for line in answer.read().decode().splitlines()]
    for row in rows:
        del row["row"]  # its id
    return rows


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-image-")
        cls.dir = pathlib.Path(cls.temporary.name)
        train_package(cls.dir)
        cls.model = cls.dir / "model"
        cls.others = {}
        cls.layout = cls.dir / "demo.image"
        cls.facts = build(cls.model, cls.layout, "--name", "demo", "--version", "1")
        index = json.loads((cls.layout / "index.json").read_text())["manifests"][0]
        cls.index = json.loads(blob(cls.layout, index["digest"]))
        cls.manifest = json.loads(blob(cls.layout, cls.facts["manifest"]))
        cls.config = json.loads(blob(cls.layout, cls.manifest["config"]["digest"]))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def layer(self, name):
        """The members of a layer by name, as Python's own reader sees them; its digests are checked."""
        at = [layer["name"] for layer in self.facts["layers"]].index(name)
        content = gzip.decompress(blob(self.layout, self.manifest["layers"][at]["digest"]))
        self.assertEqual("sha256:" + hashlib.sha256(content).hexdigest(), self.config["rootfs"]["diff_ids"][at])
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            members = archive.getmembers()
            names = [member.name for member in members]
            self.assertEqual(names, sorted(names))
            self.assertEqual({(member.mtime, member.uname, member.gname) for member in members}, {(0, "", "")})
            return {member.name: (member, archive.extractfile(member).read() if member.isfile() else b"") for member in members}

    def test_a_second_build_is_the_same_to_the_byte(self):
        copy = self.dir / "elsewhere" / "model"
        shutil.copytree(self.model, copy)
        for path in copy.iterdir():
            os.utime(path, (1, 1))
        again = self.dir / "elsewhere" / "again.image"
        self.assertEqual(build(copy, again, "--name", "demo", "--version", "1", environment={"TZ": "Asia/Tokyo", "LC_ALL": "C"}), self.facts)
        self.assertEqual(files_of(again), files_of(self.layout))
        dated = build(copy, self.dir / "dated", "--name", "demo", "--version", "1", environment={"SOURCE_DATE_EPOCH": "1700000000"})
        self.assertNotEqual(dated["index"], self.facts["index"])
        self.assertEqual(dated["layers"], self.facts["layers"])

    def test_the_layers_hold_what_runs_and_no_more(self):
        base = self.layer("base")
        self.assertIn("skerry:x:65532:65532:", base["etc/passwd"][1].decode())
        self.assertIn(b"BEGIN CERTIFICATE", base["etc/ssl/certs/ca-certificates.crt"][1])
        self.assertEqual(base["lib"][0].linkname, "usr/lib")
        self.assertEqual(base["tmp"][0].mode, 0o1777)
        self.assertEqual((base["var/lib/skerry"][0].uid, base["var/lib/skerry"][0].mode), (65532, 0o700))
        self.assertFalse([name for name in base if name.startswith(("usr/bin/", "bin/", "etc/shadow"))])
        self.assertFalse([name for name, (member, _) in base.items() if member.mode & 0o6000])
        skerry = self.layer("skerry")
        self.assertEqual(skerry["usr/lib/skerry/skerry"][1], pathlib.Path(SKERRY).read_bytes())
        model = self.layer("model")
        self.assertEqual({name.removeprefix("models/demo/"): content for name, (member, content) in model.items() if member.isfile()},
                         {path.name: path.read_bytes() for path in self.model.iterdir()})

    def test_the_config_says_how_it_is_run(self):
        self.assertEqual((self.config["architecture"], self.config["os"]), ("amd64", "linux"))
        config = self.config["config"]
        self.assertEqual(config["User"], "65532:65532")
        self.assertEqual(config["Entrypoint"], ["/usr/bin/skerry", "serve", "demo=/models/demo"])
        self.assertEqual(config["Healthcheck"]["Test"], ["CMD", "/usr/bin/skerry", "health", "http://127.0.0.1:8000"])
        labels = config["Labels"]
        self.assertEqual((labels["org.opencontainers.image.title"], labels["org.opencontainers.image.version"]), ("demo", "1"))
        self.assertEqual(labels["org.opencontainers.image.created"], "1970-01-01T00:00:00Z")
        packed = good("pack", self.model, "--name", "demo", "--version", "1", "--out", self.dir / "packed")
        self.assertIn(labels["org.skerry.model.digest"], packed)
        self.assertEqual([entry["platform"] for entry in self.index["manifests"]], [{"os": "linux", "architecture": "amd64"}])

    def test_the_sbom_lists_the_packages_of_the_base(self):
        entry = json.loads((self.layout / "index.json").read_text())["manifests"][1]
        sbom = json.loads(blob(self.layout, entry["digest"]))
        self.assertEqual((sbom["subject"]["digest"], sbom["artifactType"]), (self.facts["manifest"], "application/vnd.cyclonedx+json"))
        document = json.loads(blob(self.layout, sbom["layers"][0]["digest"]))
        self.assertEqual((document["bomFormat"], document["specVersion"]), ("CycloneDX", "1.6"))
        references = [component["bom-ref"] for component in document["components"]]
        self.assertEqual(len(references), len(set(references)))
        versions = {component["name"]: component.get("version") for component in document["components"]}
        for package in ("libc6", "libssl3", "libstdc++6", "libgcc-s1", "ca-certificates", "base-files"):
            asked = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False)
            if asked.returncode:
                self.skipTest("dpkg knows no " + package)
            self.assertEqual(versions[package], asked.stdout, package)
            self.assertIn("Version: " + asked.stdout, self.layer("base")["var/lib/dpkg/status.d/" + package][1].decode())
        self.assertIn("onnxruntime", versions)
        self.assertNotIn("xgboost", versions)

    @classmethod
    def other(cls, purpose):
        """Built once: it takes seconds."""
        if purpose not in cls.others:
            cls.others[purpose] = build(None, cls.dir / f"{purpose}.image", "--for", purpose)
        return cls.others[purpose]

    @with_schemas
    def test_the_sboms_keep_to_the_schema(self):
        documents = []
        for layout, facts in ((self.layout, self.facts), (self.dir / "site.image", self.other("site")), (self.dir / "hub.image", self.other("hub"))):
            documents.append(blob(layout, json.loads(blob(layout, facts["sbom"]))["layers"][0]["digest"]).decode())
        refused, reasons = judge("bom", documents)
        self.assertEqual(refused, [], reasons)

    def test_images_share_layers_and_stay_small(self):
        site, hub = self.other("site"), self.other("hub")
        names = lambda facts: [layer["name"] for layer in facts["layers"]]
        self.assertEqual((names(site), names(hub)), (["base", "onnxruntime", "skerry", "duckdb"], ["base", "onnxruntime", "skerry", "duckdb", "xgboost"]))
        self.assertEqual(site["layers"][:3], self.facts["layers"][:3])
        self.assertEqual(hub["layers"][:4], site["layers"])
        for facts in (self.facts, site):
            self.assertLess(sum(layer["bytes"] for layer in facts["layers"]), LIMIT_BYTES)

    def test_wrong_use_is_told(self):
        for arguments, words in ((("--for", "site", self.model, "--name", "x", "--version", "1"), "no model"), (("--for", "cluster"), "serve, site or hub"),
                                 ((self.model,), "--name"), ((self.dir, "--name", "demo", "--version", "1"), "package"),
                                 ((self.model, "--name", "demo", "--version", "1", "--root", self.dir / "none"), "none")):
            done = run("image", *arguments, "--out", self.dir / "refused")
            self.assertEqual((done.returncode, (self.dir / "refused").exists()), (1, False), done.stdout)
            self.assertIn(words, done.stderr)

    def test_skopeo_reads_it(self):
        if not shutil.which("skopeo"):
            self.skipTest("skopeo is not installed")
        done = subprocess.run(["skopeo", "inspect", f"oci:{self.layout}:1"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["Layers"], [layer["digest"] for layer in self.facts["layers"]])

    def test_it_goes_into_a_registry_with_its_sbom(self):
        with Served("hub", "--data", self.dir / "hub", "--listen", "127.0.0.1:0", "--plain-http", "--open-registry",
                    "--public-url", "http://hub.example:9443") as hub:
            url = hub.url.split("/#")[0]
            registry = url.removeprefix("http://")
            said = good("push", self.layout, "--hub", self.dir / "hub")
            self.assertIn(self.facts["index"], said)
            self.assertIn("http://hub.example:9443/images/demo:1", said)
            good("push", self.layout, "--to", f"{registry}/other/name:v1", "--plain-http")
            for repository, tag in (("images/demo", "1"), ("other/name", "v1")):
                ask = urllib.request.Request(f"{url}/v2/{repository}/manifests/{tag}", headers={"Accept": "application/vnd.oci.image.index.v1+json"})
                with urllib.request.urlopen(ask, timeout=20) as answer:
                    self.assertEqual("sha256:" + hashlib.sha256(answer.read()).hexdigest(), self.facts["index"])
                with urllib.request.urlopen(f"{url}/v2/{repository}/referrers/{self.facts['manifest']}", timeout=20) as answer:
                    self.assertEqual([entry["digest"] for entry in json.load(answer)["manifests"]], [self.facts["sbom"]])
            if shutil.which("skopeo"):
                done = subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{registry}/images/demo:1", f"oci:{self.dir}/pulled:1"],
                                      capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_it_goes_into_a_registry_by_an_accounts_name_and_secret(self):
        with Served("hub", "--data", self.dir / "accounts", "--listen", "127.0.0.1:0", "--plain-http") as hub:
            registry = hub.url.split("/#")[0].removeprefix("http://")
            secret = self.dir / "ci.secret"
            secret.touch(mode=0o600)
            secret.write_text(good("registry", "add", "ci", "--allow", "images=push", "--out", "-", "--hub", self.dir / "accounts"))
            pushed = good("push", self.layout, "--to", f"{registry}/images/demo:1", "--plain-http", "--user", "ci", "--token-file", secret)
            self.assertIn(self.facts["index"], pushed)
            for arguments in ((), ("--token-file", secret), ("--user", "other", "--token-file", secret)):
                self.assertEqual(run("push", self.layout, "--to", f"{registry}/images/demo:1", "--plain-http", *arguments).returncode, 1)

    def test_health_tells_by_its_exit_status(self):
        port = free_port()
        with Served("serve", "--http", f"127.0.0.1:{port}", f"demo={self.model}") as server:
            self.assertEqual(run("health", server.url).returncode, 0)
        down = run("health", f"http://127.0.0.1:{port}")
        self.assertEqual((down.returncode, down.stdout), (1, ""))
        self.assertEqual(run("health", "--data", self.dir / "none").returncode, 1)
        self.assertEqual(run("health").returncode, 1)


class Podman:
    """Podman with a store of its own, below `directory`, and the options that need no systemd."""

    def __init__(self, directory):
        # The cgroup manager and the runtime are those that run where systemd does not.
        self.command = ["podman", "--root", directory / "store", "--runroot", directory / "run", "--tmpdir", directory / "tmp", "--storage-driver", "vfs",
                        "--events-backend", "file", "--cgroup-manager", "cgroupfs", "--runtime", "runc"]
        self.command = list(map(str, self.command))

    def __call__(self, *args):
        return subprocess.run([*self.command, *map(str, args)], capture_output=True, text=True, check=False, timeout=120)


RUN = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges", "--memory=128m", "--network=host",
       "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")


@unittest.skipUnless(shutil.which("podman") and shutil.which("runc") and os.geteuid() == 0, "podman and runc are not installed, or not root")
class Container(unittest.TestCase):
    def test_it_scores_with_a_read_only_root_no_capability_and_128_mb(self):
        with tempfile.TemporaryDirectory(prefix="skerry-podman-") as name:
            directory = pathlib.Path(name)
            train_package(directory)
            podman = Podman(directory)
            build(directory / "model", directory / "demo.tar", "--name", "demo", "--version", "1")
            pulled = podman("pull", "-q", f"oci-archive:{directory}/demo.tar:1")
            self.assertEqual(pulled.returncode, 0, pulled.stderr)
            image = pulled.stdout.strip()
            if podman("run", "--rm", *RUN, "--entrypoint", "/usr/bin/skerry", image, "version").returncode:
                self.skipTest("podman cannot run a container here")
            port = free_port()
            begun = podman("run", "-d", "--name", "demo", *RUN, image, "--http", f"127.0.0.1:{port}")
            self.assertEqual(begun.returncode, 0, begun.stderr)
            try:
                self.use(podman, f"http://127.0.0.1:{port}", directory)
            finally:
                podman("rm", "-f", "-t", "10", "demo")

    def use(self, podman, url, directory):
        until = time.monotonic() + 60
        while podman("exec", "demo", "/usr/bin/skerry", "health", url).returncode:
            self.assertLess(time.monotonic(), until, podman("logs", "demo").stderr)
            time.sleep(0.2)
        with Served("serve", "--http", "127.0.0.1:0", f"demo={directory / 'model'}") as here:
            scored = score(url)
            self.assertEqual(scored, score(here.url))
        self.assertEqual(len(scored), ROWS.count("\n") - 1)
        written = podman("exec", "demo", "/usr/bin/skerry", "pack", "/models/demo", "--name", "demo", "--version", "1", "--out", "/tmp/made")
        self.assertEqual(written.returncode, 1, "the root can be written")
        self.assertIn("Read-only file system", written.stderr)
        [facts] = json.loads(podman("inspect", "demo").stdout)
        self.assertEqual((facts["Config"]["User"], facts["HostConfig"]["ReadonlyRootfs"], facts["HostConfig"]["Memory"], facts["EffectiveCaps"] or []),
                         ("65532:65532", True, 128 << 20, []))
        proc = pathlib.Path(f"/proc/{facts['State']['Pid']}/status").read_text()
        self.assertRegex(proc, r"(?m)^Uid:\t65532\t65532\t65532\t65532$")
        self.assertRegex(proc, r"(?m)^CapEff:\t0+$")
        stopped = podman("stop", "-t", "15", "demo")
        self.assertEqual(stopped.returncode, 0, stopped.stderr)
        self.assertEqual(podman("inspect", "demo", "--format", "{{.State.ExitCode}}").stdout.strip(), "0")


if __name__ == "__main__":
    run_tests(__name__)
