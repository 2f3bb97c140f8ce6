"""The hub's registry from outside: accounts and tokens, the ecosystem's clients, collection under kills. Prints "N passed, N failed, N skipped"."""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import time
import unittest

from plant import publish
from registry_client import Registry, basic, call, digest_of, manifest_of
from skerry_process import Served, run, run_tests, train_package


def serve(directory, *options, environment=None):
    return Served("hub", "--data", directory / "hub", "--listen", "127.0.0.1:0", "--plain-http", *options, environment=environment)


def registry_command(directory, *args):
    done = run("registry", *args, "--hub", directory / "hub")
    assert done.returncode == 0, done.stderr
    return done.stdout


class HubTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-registry-")
        cls.dir = pathlib.Path(cls.temporary.name)
        cls.hub = cls.serve(cls.dir)
        cls.url = re.search(r"http://[^/]+", cls.hub.url)[0]
        cls.host = cls.url.removeprefix("http://")

    @classmethod
    def serve(cls, directory, *options):
        """A hub; registry_s3_test.py has it keep the registry elsewhere."""
        return serve(directory, *options)

    @classmethod
    def tearDownClass(cls):
        cls.hub.stop()
        cls.temporary.cleanup()

    @classmethod
    def account(cls, name, *rights):
        """The new account's secret."""
        out = cls.dir / f"{name}.secret"
        registry_command(cls.dir, "add", name, *(word for right in rights for word in ("--allow", right)), "--out", out)
        assert out.stat().st_mode & 0o777 == 0o600
        return out.read_text()

    def token(self, account, scope):
        answer = call(f"{self.url}/v1/registry/token?service=skerry&scope={scope}", headers=account)
        self.assertEqual(answer.status, 200, answer.body)
        return {"Authorization": "Bearer " + answer.json()["token"]}


class Accounts(HubTest):
    def test_nobody_reads_or_writes_without_an_account(self):
        anyone = Registry(self.url)
        for path in ("/v2/", "/v2/images/a/tags/list", "/v2/images/a/manifests/1"):
            answer = anyone.call(path)
            self.assertEqual(answer.status, 401, path)
            self.assertIn(f'Bearer realm="{self.url}/v1/registry/token",service="skerry"', answer.headers["WWW-Authenticate"])
        pushed = anyone.push("images/a", "1", b"layer")
        self.assertEqual(pushed.status, 401)
        self.assertIn('scope="repository:images/a:pull,push"', pushed.headers["WWW-Authenticate"])
        for wrong in ({}, basic("nobody", "x"), basic("admin", "x")):
            self.assertEqual(call(f"{self.url}/v1/registry/token", headers=wrong).status, 401)
            self.assertEqual(Registry(self.url, wrong).call("/v2/").status, 401)

    def test_an_account_may_what_its_rights_say_and_a_token_what_it_was_asked_for(self):
        secret = self.account("team", "images/team=push", "models=pull")
        mine = basic("team", secret)
        self.assertEqual(Registry(self.url, mine).push("images/team/a", "1", b"layer").status, 201)
        for elsewhere in ("images/teams", "images", "models/a"):
            self.assertEqual(Registry(self.url, mine).push(elsewhere, "1", b"layer").status, 403, elsewhere)
        self.assertEqual(Registry(self.url, mine).call("/v2/images/team/a/manifests/1", "DELETE").status, 403)
        self.assertEqual(Registry(self.url, mine).call("/v2/sites/north/outbox/tags/list").status, 403)

        pull = Registry(self.url, self.token(mine, "repository:images/team/a:pull"))
        self.assertEqual(pull.get_manifest("images/team/a", "1").status, 200)
        refused = pull.push("images/team/a", "2", b"layer")
        self.assertEqual(refused.status, 401)
        self.assertIn('error="insufficient_scope"', refused.headers["WWW-Authenticate"])
        # More than the account may is not in the token, whatever is asked for.
        greedy = Registry(self.url, self.token(mine, "repository:models/a:pull,push,delete"))
        self.assertEqual(greedy.push("models/a", "1", b"layer").status, 403)
        forged = self.token(mine, "repository:images/team/a:pull")
        forged["Authorization"] = forged["Authorization"][:-3] + "AA="
        self.assertEqual(Registry(self.url, forged).call("/v2/").status, 401)
        # The OAuth2 form of the same, as containerd asks.
        asked = f"grant_type=password&service=skerry&username=team&password={secret}&scope=repository%3Aimages%2Fteam%2Fa%3Apull"
        answer = call(f"{self.url}/v1/registry/token", "POST", asked.encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        bearer = {"Authorization": "Bearer " + answer.json()["access_token"]}
        self.assertEqual(Registry(self.url, bearer).get_manifest("images/team/a", "1").status, 200)

    def test_what_is_taken_away_is_gone_at_once(self):
        mine = basic("brief", self.account("brief", "images/brief=push,delete"))
        both = Registry(self.url, self.token(mine, "repository:images/brief:pull,push"))
        self.assertEqual(both.push("images/brief", "1", b"layer").status, 201)
        registry_command(self.dir, "allow", "brief", "--allow", "images/brief=pull")
        self.assertEqual(both.push("images/brief", "2", b"layer").status, 403)
        self.assertEqual(both.get_manifest("images/brief", "1").status, 200)
        registry_command(self.dir, "remove", "brief")
        self.assertEqual(both.get_manifest("images/brief", "1").status, 401)
        self.assertNotIn("brief", registry_command(self.dir, "accounts"))
        admin = {"Authorization": f"Bearer {(self.dir / 'hub' / 'admin.token').read_text().strip()}"}
        entries = call(f"{self.url}/v1/audit", headers=admin).json()["entries"]
        self.assertEqual([e["action"] for e in entries if e["subject"] == "brief"],
                         ["registry.account.add", "registry.account.rights", "registry.account.remove"])

    def test_anyone_may_pull_where_the_operator_says_so(self):
        self.assertEqual(Registry(self.url, basic("pub", self.account("pub", "*=push"))).push("public/a", "1", b"layer").status, 201)
        anyone = Registry(self.url)
        self.assertEqual(anyone.get_manifest("public/a", "1").status, 401)
        registry_command(self.dir, "add", "anonymous", "--allow", "public=pull")
        self.assertEqual(anyone.get_manifest("public/a", "1").status, 200)
        self.assertEqual(Registry(self.url, self.token({}, "repository:public/a:pull")).get_manifest("public/a", "1").status, 200)
        self.assertEqual(anyone.push("public/a", "2", b"layer").status, 401)
        self.assertEqual(anyone.get_manifest("images/a", "1").status, 401)
        self.assertEqual(anyone.call("/v2/").status, 401)  # so that a client with credentials shows them
        registry_command(self.dir, "remove", "anonymous")
        self.assertEqual(anyone.get_manifest("public/a", "1").status, 401)

    def test_accounts_that_make_no_sense_are_refused(self):
        for args, why in ((("admin", "--allow", "a=pull", "--out", "x"), "admin.token"), (("Bad", "--allow", "a=pull", "--out", "x"), "account name"),
                          (("a", "--allow", "a=fly", "--out", "x"), "fly"), (("a", "--allow", "A=pull", "--out", "x"), "prefix"),
                          (("a", "--allow", "sites/north=push", "--out", "x"), "sites/"), (("a", "--allow", "a", "--out", "x"), "PREFIX=RIGHTS"),
                          (("anonymous", "--allow", "a=push"), "anonymous"),
                          (("lost", "--allow", "a=pull", "--out", self.dir / "no" / "such" / "directory"), "directory")):
            done = run("registry", "add", *args, "--hub", self.dir / "hub")
            self.assertEqual(done.returncode, 1, args)
            self.assertIn(why, done.stderr)
        self.assertNotIn("lost", registry_command(self.dir, "accounts"))


class Rules(HubTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mine = Registry(cls.url, basic("team", cls.account("team", "*=push,delete")))

    def delete(self, repository, reference):
        return self.mine.call(f"/v2/{repository}/manifests/{reference}", "DELETE")

    def test_immutable_tags_stay_where_they_are(self):
        registry_command(self.dir, "rule", "fixed", "--immutable-tags")
        first, second = manifest_of(b"first"), manifest_of(b"second")
        self.assertEqual(self.mine.push("fixed/a", "1", b"first").status, 201)
        self.assertEqual(self.mine.push("fixed/a", "1", b"first").status, 201)  # the same again
        refused = self.mine.push("fixed/a", "1", b"second")
        self.assertEqual((refused.status, refused.json()["errors"][0]["code"]), (409, "DENIED"))
        self.assertEqual(self.mine.get_manifest("fixed/a", "1").body, first)
        self.assertEqual(self.mine.put_manifest("fixed/a", digest_of(second) + "?tag=2&tag=1", second).status, 409)
        self.assertEqual(self.mine.get_manifest("fixed/a", "2").status, 404)
        for reference in ("1", digest_of(first)):
            self.assertEqual(self.delete("fixed/a", reference).status, 409)
        self.assertEqual(self.mine.push("fixedly", "1", b"first").status, 201)
        self.assertEqual(self.mine.push("fixedly", "1", b"second").status, 201)
        registry_command(self.dir, "rule", "fixed")
        self.assertEqual(self.mine.push("fixed/a", "1", b"second").status, 201)
        self.assertEqual(self.delete("fixed/a", "1").status, 202)

    def test_of_many_who_push_an_immutable_tag_one_has_it(self):
        registry_command(self.dir, "rule", "race", "--immutable-tags")
        layers = [f"layer {i}".encode() for i in range(8)]
        for layer in (b"{}", *layers):
            self.assertEqual(self.mine.push_blob("race", layer).status, 201)
        statuses = {}
        threads = [threading.Thread(target=lambda m=manifest_of(layer): statuses.update({m: self.mine.put_manifest("race", "1", m).status}))
                   for layer in layers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(statuses.values()), [201] + 7 * [409])
        self.assertEqual(statuses[self.mine.get_manifest("race", "1").body], 201)

    def test_a_quota_holds_for_all_below_its_prefix(self):
        registry_command(self.dir, "rule", "small", "--quota", "2KB")
        self.assertEqual(self.mine.push("small/a", "1", bytes(700)).status, 201)
        self.assertEqual(self.mine.push_blob("small/b", bytes(600)).status, 201)
        refused = self.mine.push_blob("small/c", b"x" * 1000)
        self.assertEqual((refused.status, refused.json()["errors"][0]["code"]), (403, "DENIED"))
        self.assertIn("the quota of small is 2000 bytes", refused.body.decode())
        # Neither in pieces, nor by mounting what is elsewhere.
        location = self.mine.call("/v2/small/c/blobs/uploads/", "POST").headers["Location"]
        self.assertEqual(self.mine.call(location, "PATCH", b"x" * 1000).status, 403)
        self.assertEqual(self.mine.push_blob("large", b"x" * 1000).status, 201)
        mounted = self.mine.call(f"/v2/small/c/blobs/uploads/?mount={digest_of(b'x' * 1000)}&from=large", "POST")
        self.assertEqual(mounted.status, 403)
        self.assertFalse(self.mine.has_blob("small/c", digest_of(b"x" * 1000)))
        # What is there may be pushed again; what is deleted makes room.
        self.assertEqual(self.mine.push_blob("small/a", bytes(700)).status, 201)
        self.assertEqual(self.mine.call(f"/v2/small/b/blobs/{digest_of(bytes(600))}", "DELETE").status, 202)
        self.assertEqual(self.mine.push_blob("small/c", b"x" * 800).status, 201)
        used = json.loads(registry_command(self.dir, "rules", "--json"))["rules"]
        self.assertEqual([r["used_bytes"] for r in used if r["prefix"] == "small"], [700 + 2 + len(manifest_of(bytes(700))) + 800])
        for args in (("Bad", "--quota", "1"), ("none",)):
            self.assertEqual(run("registry", "rule", *args, "--hub", self.dir / "hub").returncode, 1, args)


def needs(tool):
    return unittest.skipUnless(shutil.which(tool), f"{tool} is not installed")


class Clients(HubTest):
    """Each logs in by its own command, pushes and pulls; what it pulls is what another has pushed."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.secret = cls.account("ci", "images=push,delete")
        cls.config = cls.dir / "docker"
        cls.environment = {**os.environ, "DOCKER_CONFIG": str(cls.config), "REGISTRY_AUTH_FILE": str(cls.dir / "auth.json"), "HOME": str(cls.dir)}
        cls.config.mkdir()
        layer = cls.dir / "layer.tar"
        (cls.dir / "hello").write_bytes(random.Random(1).randbytes(300_000))
        with tarfile.open(layer, "w") as tar:
            tar.add(cls.dir / "hello", "hello")

    def tool(self, *words, secret=None):
        done = subprocess.run(words, input=secret, capture_output=True, text=True, timeout=120, cwd=self.dir, env=self.environment, check=False)
        self.assertEqual(done.returncode, 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def crane(self, *words, secret=None):
        return self.tool("crane", *words, secret=secret)

    def image(self, name):
        """Pushed by crane; its digest."""
        self.crane("auth", "login", self.host, "-u", "ci", "--password-stdin", secret=self.secret)
        self.crane("append", "--insecure", "-f", "layer.tar", "-t", f"{self.host}/{name}", "--oci-empty-base")
        return self.crane("digest", "--insecure", f"{self.host}/{name}").strip()

    @needs("crane")
    def test_crane(self):
        digest = self.image("images/crane:1")
        self.crane("copy", "--insecure", f"{self.host}/images/crane:1", f"{self.host}/images/copied:1")  # mounts
        self.assertEqual(self.crane("digest", "--insecure", f"{self.host}/images/copied:1").strip(), digest)
        self.assertEqual(self.crane("ls", "--insecure", f"{self.host}/images/copied").split(), ["1"])
        self.crane("pull", "--insecure", f"{self.host}/images/copied:1", "crane.tar")
        self.crane("validate", "--insecure", "--remote", f"{self.host}/images/copied:1")
        self.crane("delete", "--insecure", f"{self.host}/images/copied@{digest}")
        self.assertEqual(self.crane("ls", "--insecure", f"{self.host}/images/copied").split(), [])

    @needs("crane")
    @needs("skopeo")
    def test_skopeo(self):
        digest = self.image("images/skopeo:1")
        self.tool("skopeo", "login", "--tls-verify=false", "-u", "ci", "--password-stdin", self.host, secret=self.secret)
        self.tool("skopeo", "copy", "--src-tls-verify=false", f"docker://{self.host}/images/skopeo:1", "oci:layout:1")
        self.tool("skopeo", "copy", "--dest-tls-verify=false", "oci:layout:1", f"docker://{self.host}/images/skopeo:2")
        self.assertEqual(self.crane("digest", "--insecure", f"{self.host}/images/skopeo:2").strip(), digest)
        self.tool("skopeo", "delete", "--tls-verify=false", f"docker://{self.host}/images/skopeo:2")

    @needs("crane")
    @needs("oras")
    def test_oras(self):
        digest = self.image("images/oras:1")
        self.tool("oras", "login", "--plain-http", "-u", "ci", "--password-stdin", self.host, secret=self.secret)
        self.tool("oras", "copy", "--from-plain-http", "--to-oci-layout", f"{self.host}/images/oras:1", "oras-layout:1")
        self.tool("oras", "copy", "--to-plain-http", "--from-oci-layout", "oras-layout:1", f"{self.host}/images/oras-back:1")
        self.assertEqual(self.crane("digest", "--insecure", f"{self.host}/images/oras-back:1").strip(), digest)
        self.tool("oras", "attach", "--plain-http", "--artifact-type", "application/vnd.example.sbom", f"{self.host}/images/oras:1", "hello")
        found = json.loads(self.tool("oras", "discover", "--plain-http", "--format", "json", f"{self.host}/images/oras:1"))
        self.assertEqual([r["artifactType"] for r in found["referrers"]], ["application/vnd.example.sbom"])

    @needs("crane")
    @needs("podman")
    def test_podman(self):
        digest = self.image("images/podman:1")
        storage = self.dir / "podman"
        podman = ["podman", "--root", str(storage / "root"), "--runroot", str(storage / "run"), "--storage-driver", "vfs"]
        self.tool(*podman, "login", "--tls-verify=false", "-u", "ci", "--password-stdin", self.host, secret=self.secret)
        self.tool(*podman, "pull", "--tls-verify=false", f"{self.host}/images/podman:1")
        self.assertEqual(self.tool(*podman, "image", "inspect", "--format", "{{.Digest}}", f"{self.host}/images/podman:1").strip(), digest)
        self.tool(*podman, "push", "--tls-verify=false", f"{self.host}/images/podman:1", f"docker://{self.host}/images/podman:2")
        self.crane("validate", "--insecure", "--remote", f"{self.host}/images/podman:2")


    @needs("crane")
    @needs("containerd")
    def test_containerd(self):
        digest = self.image("images/containerd:1")
        home = self.dir / "containerd"
        home.mkdir()
        (home / "config.toml").write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n')
        address = str(home / "socket")
        with (home / "log").open("w") as log:
            daemon = subprocess.Popen(["containerd", "--config", home / "config.toml", "--root", home / "root", "--state", home / "state", "--address", address],
                                      stdout=log, stderr=log, env=self.environment)
        try:
            ctr = ["ctr", "--address", address, "--namespace", "skerry"]
            for _ in range(100):
                if subprocess.run([*ctr, "version"], capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.1)
            login = ["--plain-http", "--user", f"ci:{self.secret}"]
            self.tool(*ctr, "images", "pull", *login, "--snapshotter", "native", f"{self.host}/images/containerd:1")
            self.assertIn(digest, self.tool(*ctr, "images", "list"))
            self.tool(*ctr, "images", "push", *login, f"{self.host}/images/containerd:2", f"{self.host}/images/containerd:1")
            self.assertEqual(self.crane("digest", "--insecure", f"{self.host}/images/containerd:2").strip(), digest)
        finally:
            daemon.terminate()
            daemon.wait(20)

    @needs("modctl")
    def test_modctl(self):
        model = self.dir / "weights"
        model.mkdir()
        (model / "model.onnx").write_bytes(random.Random(2).randbytes(200_000))
        (model / "Modelfile").write_text("NAME weights\nMODEL model.onnx\n")
        storage = ["--storage-dir", str(self.dir / "modctl")]
        reference = f"{self.host}/images/weights:1"
        self.tool("modctl", "login", *storage, "--plain-http", "-u", "ci", "-p", self.secret, self.host)
        self.tool("modctl", "build", *storage, "-f", str(model / "Modelfile"), "-t", reference, str(model))
        self.tool("modctl", "push", *storage, "--plain-http", reference)
        self.tool("modctl", "pull", *storage, "--plain-http", "--extract-dir", str(self.dir / "pulled"), "--extract-from-remote", reference)
        self.assertEqual((self.dir / "pulled" / "model.onnx").read_bytes(), (model / "model.onnx").read_bytes())
        # A package of ours, as the hub has it.
        package, ours = self.dir / "model", f"{self.host}/models/demo:1"
        train_package(self.dir)
        publish(package, self.dir, self.dir / "hub")
        self.tool("modctl", "login", *storage, "--plain-http", "-u", "reader", "-p", self.account("reader", "models=pull"), self.host)
        seen = json.loads(self.tool("modctl", "inspect", *storage, "--remote", "--plain-http", ours))
        self.assertEqual({layer["Filepath"] for layer in seen["Layers"]}, {path.name for path in package.iterdir()}, seen)
        self.tool("modctl", "pull", *storage, "--plain-http", "--extract-dir", str(self.dir / "ours"), "--extract-from-remote", ours)
        for path in package.iterdir():
            self.assertEqual((self.dir / "ours" / path.name).read_bytes(), path.read_bytes(), path.name)


class Collection(unittest.TestCase):
    """Pushes, deletions and collections go on at the same time, and the hub is killed in between."""
    rounds, kept = 4, 20

    def serve(self, directory, *options):
        return serve(directory, *options)

    def links(self, directory):
        """The files whose time tells how old a blob's link is."""
        return (directory / "hub/registry/repositories").glob("gone*/_blobs/sha256/*")

    def test_what_was_acknowledged_is_whole_after_every_kill(self):
        with tempfile.TemporaryDirectory(prefix="skerry-registry-") as made:
            directory, rng = pathlib.Path(made), random.Random(7)
            acknowledged, refused, collected = {}, [], 0
            for rounds in range(1, self.rounds + 1):
                hub = self.serve(directory, "--open-registry")
                registry = Registry(re.search(r"http://[^/]+", hub.url)[0])
                admin = {"Authorization": f"Bearer {(directory / 'hub' / 'admin.token').read_text().strip()}"}
                self.verify(registry, acknowledged)
                stop = threading.Event()
                pushers = [threading.Thread(target=self.push, args=(registry, f"r{i}", acknowledged, refused, stop, random.Random(rng.random())))
                           for i in range(3)]
                for pusher in pushers:
                    pusher.start()
                until, longest = time.monotonic() + 0.7 + rng.random(), time.monotonic() + 60
                enough = lambda: len(acknowledged) > 6 * rounds and (collected or rounds < self.rounds)  # also on a slow machine
                while time.monotonic() < (until if enough() else longest):
                    # An hour's grace: what the pushers rely on is younger, what age() has aged is not.
                    self.age(directory, rng)
                    collected += call(f"{registry.url}/v1/registry/collect", "POST", b'{"grace_s":3600}', admin).json()["links"]
                hub.process.send_signal(signal.SIGKILL)
                stop.set()
                for pusher in pushers:
                    pusher.join()
                hub.process.wait()
                hub.process.stdout.close()
                hub.log.close()
            self.assertEqual(refused, [])
            self.assertGreater(len(acknowledged), self.kept)
            self.assertGreater(collected, 0)
            with self.serve(directory, "--open-registry") as hub:
                self.verify(Registry(re.search(r"http://[^/]+", hub.url)[0]), acknowledged)

    def age(self, directory, rng):
        """Blobs that nobody has asked for in two hours: at most those of deleted manifests are garbage."""
        links = list(self.links(directory))
        for link in rng.sample(links, min(len(links), 50)):
            try:
                os.utime(link, (time.time() - 7200,) * 2)
            except FileNotFoundError:
                pass

    @staticmethod
    def push(registry, name, acknowledged, refused, stop, rng):
        """Into a repository that stays and into one whose manifests are deleted again: both have the same layers."""
        while not stop.is_set():
            layers = [f"layer {rng.randrange(8)}".encode() * 100, rng.randbytes(50)]
            try:
                if registry.push(f"gone-{name}", "1", *layers).status == 201:
                    registry.call(f"/v2/gone-{name}/manifests/{digest_of(manifest_of(*layers))}", "DELETE")
                digest = digest_of(manifest_of(*layers))
                answer = registry.push(name, digest, *layers)
                if answer.status == 201:
                    acknowledged[(name, digest)] = layers
                else:
                    refused.append(answer.body)
            except OSError:
                return  # the hub was killed

    def verify(self, registry, acknowledged):
        for (name, digest), layers in acknowledged.items():
            answer = registry.get_manifest(name, digest)
            self.assertEqual((answer.status, digest_of(answer.body)), (200, digest))
            for layer in layers:
                blob = registry.call(f"/v2/{name}/blobs/{digest_of(layer)}")
                self.assertEqual((blob.status, blob.body), (200, layer))


if __name__ == "__main__":
    run_tests(__name__)
