"""Images and charts to a site without a link: pushed to the hub's registry, carried in a bundle, pulled from the registry that the site serves; what no hub
has signed for is refused, and nobody can push there. Prints "N passed, N failed, N skipped"."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from plant import good
from registry_client import Registry, call, digest_of
from skerry_process import SKERRY, Served, run, run_tests

ROOT = pathlib.Path(__file__).resolve().parent.parent
INDEX = "application/vnd.oci.image.index.v1+json"


def manifest_with(*layers, subject=None):
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2},
                "artifactType": "application/vnd.test.thing",
                "layers": [{"mediaType": "application/octet-stream", "digest": digest_of(data), "size": len(data)} for data in layers]}
    if subject:
        manifest["subject"] = {"mediaType": manifest["mediaType"], "digest": digest_of(subject), "size": len(subject)}
    return json.dumps(manifest).encode()


class SupplyTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-supply-")
        self.addCleanup(temporary.cleanup)
        self.dir, self.site_options, self.site, self.numbers = pathlib.Path(temporary.name), [], None, 0
        self.hub = Served("hub", "--data", self.dir / "hub", "--listen", "127.0.0.1:0", "--plain-http", "--open-registry")
        self.addCleanup(self.hub.stop)
        self.host = re.search(r"http://([^/]+)", self.hub.url)[1]
        self.store = Registry("http://" + self.host)
        good("token", "north", "--media", "--hub", self.dir / "hub", "--out", self.dir / "north.token")

    def start_site(self, *options):
        """A site that has joined; `own` is its registry."""
        if self.site:
            self.site.stop()
        self.site = Served("site", "--data", self.dir / "site", "--token-file", self.dir / "north.token", "--http", "127.0.0.1:0", *options)
        self.addCleanup(lambda site=self.site: site.process.poll() is None and site.stop())
        self.own = None
        if "--registry" in options:
            self.own = Registry(re.search(r"http://\S+", self.site.process.stdout.readline())[0])

    def join(self):
        out = self.dir / "request"
        good("bundle", "export", out, "--data", self.dir / "site")
        good("bundle", "import", out, "--hub", self.dir / "hub")

    def push(self, repository, tag, *layers, subject=None):
        """The manifest's bytes."""
        for data in (b"{}", *layers):
            self.assertEqual(self.store.push_blob(repository, data).status, 201)
        manifest = manifest_with(*layers, subject=subject)
        self.assertEqual(self.store.put_manifest(repository, tag or digest_of(manifest), manifest).status, 201)
        return manifest

    def export(self, *references, name=None):
        self.numbers += 1
        path = self.dir / (name or f"to-north-{self.numbers}")
        good("bundle", "export", path, "--hub", self.dir / "hub", "--site", "north", *[word for one in references for word in ("--with", one)])
        return path

    def take(self, path):
        report = json.loads(good("bundle", "import", path, "--data", self.dir / "site", "--json"))
        return {part["name"]: (part["result"], part.get("reason", "")) for part in report["parts"] if part["kind"] in ("artifact", "supply")}

    def test_an_index_with_its_images_and_signatures_is_pulled_as_it_was_pushed(self):
        self.start_site("--registry", "127.0.0.1:0")
        self.join()
        image = self.push("images/app", None, b"layer" * 1000, b"other")
        signature = self.push("images/app", None, b"signature", subject=image)
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest_of(image), "size": len(image),
             "platform": {"os": "linux", "architecture": "amd64"}}]}).encode()
        self.assertEqual(self.store.call("/v2/images/app/manifests/1", "PUT", index, {"Content-Type": INDEX}).status, 201)
        chart = self.push("charts/app", "0.1.0", b"chart")
        took = self.take(self.export("images/app:1", "charts/app:0.1.0"))
        self.assertEqual({result for result, _ in took.values()}, {"applied"}, took)
        self.assertEqual(len(took), 5)
        for repository, reference, manifest in (("images/app", "1", index), ("images/app", digest_of(image), image), ("charts/app", "0.1.0", chart)):
            answer = self.own.get_manifest(repository, reference)
            self.assertEqual((answer.status, answer.body), (200, manifest))
        self.assertEqual(self.own.call(f"/v2/images/app/blobs/{digest_of(b'layer' * 1000)}").body, b"layer" * 1000)
        [referrer] = self.own.call(f"/v2/images/app/referrers/{digest_of(image)}").json()["manifests"]
        self.assertEqual(referrer["digest"], digest_of(signature))
        for method, path in (("PUT", "/v2/images/app/manifests/2"), ("POST", "/v2/images/app/blobs/uploads/"), ("DELETE", "/v2/images/app/manifests/1"),
                             ("PATCH", "/v2/images/app/blobs/uploads/x")):
            self.assertIn(self.own.call(path, method, b"").status, (404, 405), method)
        self.assertEqual(self.own.call("/v1/site").status, 404)
        self.start_site("--registry", "127.0.0.1:0")  # and it is there after a restart
        self.assertEqual(self.own.get_manifest("images/app", "1").body, index)
        took = self.take(self.dir / "to-north-1")
        self.assertEqual({result for name, (result, _) in took.items() if name != "supply"}, {"repeated"}, took)

    def test_what_the_signed_list_does_not_name_is_refused_and_the_rest_taken(self):
        self.start_site("--registry", "127.0.0.1:0")
        self.join()
        self.push("images/a", "1", b"a")
        self.push("images/b", "1", b"b" * 5000)
        for alter, refused in ((lambda text: text.replace("images/b:1", "images/evil:1"), "images/evil:1"),
                               (lambda text: text.replace('"supply"', '"no-such-kind"'), "images/a:1")):
            bundle = self.export("images/a:1", "images/b:1")
            for name in ("index.json", "contents.json"):
                (bundle / name).write_text(alter((bundle / name).read_text()))
            took = self.take(bundle)
            self.assertEqual(took[refused][0], "refused", took)
            self.assertIn("signed", took[refused][1])
        self.assertEqual(self.own.get_manifest("images/evil", "1").status, 404)
        self.assertEqual(self.own.get_manifest("images/a", "1").status, 200)

    def test_a_damaged_image_is_named_and_another_copy_brings_it(self):
        self.start_site("--registry", "127.0.0.1:0")
        self.join()
        self.push("images/a", "1", b"a" * 5000)
        self.push("images/b", "1", b"b")
        bundle = self.export("images/a:1", "images/b:1")
        blob = bundle / "blobs/sha256" / digest_of(b"a" * 5000).removeprefix("sha256:")
        whole = blob.read_bytes()
        blob.write_bytes(b"x" + whole[1:])
        took = self.take(bundle)
        self.assertEqual((took["images/a:1"][0], took["images/b:1"][0]), ("missing", "applied"), took)
        self.assertEqual(self.own.get_manifest("images/a", "1").status, 404)
        blob.write_bytes(whole)
        self.assertEqual(self.take(bundle)["images/a:1"][0], "applied")

    def test_an_older_list_moves_no_tag_back(self):
        self.start_site("--registry", "127.0.0.1:0")
        self.join()
        self.push("images/a", "stable", b"old")
        older = self.export("images/a:stable")
        new = self.push("images/a", "stable", b"new")
        self.take(self.export("images/a:stable"))
        self.take(older)
        self.assertEqual(self.own.get_manifest("images/a", "stable").body, new)

    def test_a_site_says_why_it_does_not_take_them(self):
        self.start_site()
        self.join()
        self.push("images/a", "1", b"a" * 100_000)
        bundle = self.export("images/a:1")
        self.assertIn("--registry", self.take(bundle)["images/a:1"][1])
        config = self.dir / "site.yaml"
        config.write_text("registry: {address: 127.0.0.1, port: 0, quota_bytes: 50000}\n")
        self.start_site("--config", config)
        result, reason = self.take(bundle)["images/a:1"]
        self.assertEqual(result, "refused")
        self.assertIn("registry.quota_bytes", reason)
        for reference, words in (("images/none:1", "none"), ("sites/north/outbox:1", "goes to no other"), ("images/a", "repository:tag")):
            done = run("bundle", "export", self.dir / "not", "--hub", self.dir / "hub", "--site", "north", "--with", reference)
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)
            shutil.rmtree(self.dir / "not", ignore_errors=True)
        done = run("site", "--data", self.dir / "other", "--name", "other", "--http", "127.0.0.1:0", "--registry", "0.0.0.0:0")
        self.assertEqual(done.returncode, 1)
        self.assertIn("0.0.0.0 is no loopback address", done.stderr)

    def test_a_bundle_goes_and_comes_as_a_stream(self):
        self.start_site("--registry", "127.0.0.1:0")
        out = subprocess.run([SKERRY, "bundle", "export", "-", "--data", self.dir / "site"], capture_output=True, check=True, timeout=60).stdout
        taken = subprocess.run([SKERRY, "bundle", "import", "-", "--hub", self.dir / "hub"], input=out, capture_output=True, check=False, timeout=60)
        self.assertEqual(taken.returncode, 0, taken.stderr)
        self.push("images/a", "1", b"a")
        back = subprocess.run([SKERRY, "bundle", "export", "-", "--hub", self.dir / "hub", "--site", "north", "--with", "images/a:1"], capture_output=True,
                              check=True, timeout=60).stdout
        subprocess.run([SKERRY, "bundle", "import", "-", "--data", self.dir / "site"], input=back, capture_output=True, check=True, timeout=60)
        self.assertEqual(self.own.get_manifest("images/a", "1").status, 200)
        self.assertEqual([path.name for path in (self.dir / "site").glob("bundle-*.tar")], [])

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root")
    def test_root_streams_bundles_of_services_that_are_other_users(self):
        nobody = 65534
        self.start_site()
        self.site.stop()
        self.dir.chmod(0o755)
        for path in (self.dir / "site", *(self.dir / "site").rglob("*")):
            os.chown(path, nobody, nobody)
        self.site.process = subprocess.Popen(["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", SKERRY, "site", "--data", self.dir / "site",
                                              "--http", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.site.log = self.site.process.stdout
        self.assertIn("site: http://", self.site.process.stdout.readline())
        for _ in range(2):  # the request, then that the certificate has come
            with open(self.dir / "from-north.tar", "wb") as out:
                subprocess.run([SKERRY, "bundle", "export", "-", "--data", self.dir / "site"], stdout=out, stderr=subprocess.DEVNULL, check=True, timeout=60)
            good("bundle", "import", self.dir / "from-north.tar", "--hub", self.dir / "hub")
            with open(self.dir / "to-north.tar", "wb") as out:
                subprocess.run([SKERRY, "bundle", "export", "-", "--hub", self.dir / "hub", "--site", "north"], stdout=out, stderr=subprocess.DEVNULL, check=True, timeout=60)
            with open(self.dir / "to-north.tar", "rb") as back:
                subprocess.run([SKERRY, "bundle", "import", "-", "--data", self.dir / "site"], stdin=back, capture_output=True, check=True, timeout=60)
        self.assertEqual({path.stat().st_uid for path in (self.dir / "site").rglob("*")}, {nobody})
        self.assertTrue((self.dir / "site/identity/grant.json").exists())

    @unittest.skipUnless(shutil.which("crane"), "crane is not installed: scripts/deps --test")
    def test_the_ecosystems_tools_pull_an_image_of_ours_and_a_chart(self):
        self.start_site("--registry", "127.0.0.1:0")
        self.join()
        good("image", "--for", "site", "--out", self.dir / "site.image")
        good("push", self.dir / "site.image", "--to", f"{self.host}/images/skerry-site:0.1.0", "--plain-http")
        references = ["images/skerry-site:0.1.0"]
        environment = dict(os.environ, HOME=str(self.dir))
        def tool(*words):
            done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=environment, check=False, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout
        if shutil.which("helm"):
            tool("helm", "package", ROOT / "charts/skerry-site", "-d", self.dir)
            tool("helm", "push", self.dir / "skerry-site-0.1.0.tgz", f"oci://{self.host}/charts", "--plain-http")
            references.append("charts/skerry-site:0.1.0")
        self.take(self.export(*references, name="to-north.tar"))
        own = self.own.url.removeprefix("http://")
        tool("crane", "validate", "--insecure", "--remote", f"{own}/images/skerry-site:0.1.0")
        self.assertEqual(tool("crane", "digest", "--insecure", f"{own}/images/skerry-site:0.1.0"), tool("crane", "digest", "--insecure", f"{self.host}/images/skerry-site:0.1.0"))
        if shutil.which("helm"):
            (self.dir / "pulled").mkdir()
            tool("helm", "pull", f"oci://{own}/charts/skerry-site", "--version", "0.1.0", "-d", self.dir / "pulled", "--plain-http")
            self.assertEqual((self.dir / "pulled/skerry-site-0.1.0.tgz").read_bytes(), (self.dir / "skerry-site-0.1.0.tgz").read_bytes())
        if shutil.which("podman") and os.geteuid() == 0:
            tool("podman", "--root", self.dir / "store", "--runroot", self.dir / "run", "--tmpdir", self.dir / "tmp", "--storage-driver", "vfs", "pull", "-q",
                 "--tls-verify=false", f"{own}/images/skerry-site:0.1.0")


if __name__ == "__main__":
    run_tests(__name__)
