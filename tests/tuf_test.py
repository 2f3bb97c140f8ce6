"""What a site should run, as a TUF repository: the clients of python-tuf and go-tuf follow a running hub through new targets, keys and groups; ours follows
repositories that these made, and refuses what is not theirs; a site, by link and by bundles, through a hub that is restored, and through keys that are turned while
it hears nothing. Prints "N passed, N failed, N skipped"."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

from plant import PlantCase, good
from skerry_process import run, run_tests

HERE = pathlib.Path(__file__).resolve().parent
PYTHON, GO = os.environ.get("SKERRY_TUF_PYTHON"), os.environ.get("SKERRY_TUF_GO")
PYTHON_TUF, GO_TUF = [PYTHON, HERE / "tuf_peer.py"], [GO]  # each with the same verbs
with_python = unittest.skipUnless(PYTHON, "python-tuf is not installed: scripts/deps --test")
with_go = unittest.skipUnless(GO, "go-tuf is not built (Go is needed): scripts/deps --test")
SETTINGS = "hub: {interval: 1h}\n"
TARGET = "sites/north/desired.json"


def run_peer(program, *arguments):
    return subprocess.run([*map(str, program), *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


class HubTest(PlantCase):
    def setUp(self):
        self.plant = self.make_plant(SETTINGS)

    def trust(self, *arguments):
        return json.loads(good("trust", *arguments, "--hub", self.plant.hub_data, "--json"))

    def role(self, name, facts=None):
        return next(role for role in (facts or self.trust("show"))["roles"] if role["role"] == name)

    def deploy(self):
        good("deploy", "demo:1", "--policy", "demo:1", "--fallback", "demo:1", "--sites", "north", "--hub", self.plant.hub_data)

    def sync(self):
        return run("outbox", "sync", "--data", self.plant.site_data)

    def desired(self):
        return self.plant.site("GET", "/v1/site")["desired"]

    def keys(self, names):
        """Key pairs that no hub has."""
        for name in names:
            key = self.plant.dir / f"{name}.pem"
            subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
            key.chmod(0o600)
            subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", self.plant.dir / f"{name}.pub"], check=True, capture_output=True)
        return [self.plant.dir / f"{name}.pem" for name in names]

    def split_the_root(self):
        """Two of three people sign roots from now on."""
        people = self.keys(["anna", "bert", "carl"])
        facts = self.trust("root-keys", "--threshold", "2", *[part for key in people for part in ("--key", key.with_suffix(".pub"))])
        self.assertEqual(facts["draft"]["signed_by_old"], 1)
        self.sign(people[:2])
        return people

    def sign(self, people):
        root = self.plant.dir / "root.json"
        good("trust", "draft", "--out", root, "--hub", self.plant.hub_data)
        for key in people:
            good("trust", "sign-root", root, "--key", key)
        self.assertIsNone(self.trust("add-root", root)["draft"])

    @with_python
    def test_python_tuf_follows_a_running_hub(self):
        self.follow_with(PYTHON_TUF)

    @with_go
    def test_go_tuf_follows_a_running_hub(self):
        self.follow_with(GO_TUF)

    def follow_with(self, program):
        start = self.plant.start_hub
        self.plant.start_hub = lambda *options: start("--plain-http", "--open-registry", *options)
        self.plant.deploy()
        base = json.loads((self.plant.hub_data / "endpoint.json").read_text())["url"] + "/tuf"
        root = self.plant.dir / "first-root.json"
        root.write_bytes(urllib.request.urlopen(f"{base}/metadata/1.root.json").read())
        client = self.plant.dir / "peer"

        def version(directory=client):
            done = run_peer(program, "follow", base, root, directory, TARGET)
            self.assertEqual(done.returncode, 0, done.stderr)
            return json.loads(done.stdout)["version"]

        self.assertEqual(version(), 1)
        self.deploy()
        self.assertEqual(version(), 2)
        for role in ("timestamp", "snapshot", "targets", "root", "sites"):
            self.trust("rotate", role)
            self.assertEqual(version(), 2, role)
        self.trust("group", "polar", "--sites", "north,south")
        self.deploy()
        self.assertEqual(version(), 3)
        self.trust("rotate", "polar")
        people = self.split_the_root()
        self.trust("rotate", "timestamp")
        self.assertEqual(version(), 3)
        self.sign(people[1:])
        self.assertEqual(version(), 3)
        self.assertEqual(version(self.plant.dir / "late"), 3)
        roots = self.role("root")["version"]
        files = []
        for number in range(1, roots + 1):
            files.append(self.plant.dir / f"{number}.root.json")
            files[-1].write_bytes(urllib.request.urlopen(f"{base}/metadata/{number}.root.json").read())
        done = run_peer(program, "verify", *files)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(roots, 7)

    def test_a_site_follows_keys_that_were_turned_while_it_heard_nothing(self):
        self.plant.deploy(media=True)
        self.assertEqual((self.desired()["version"], self.desired()["root_version"]), (1, 1))
        people = self.split_the_root()
        for role in ("timestamp", "snapshot", "targets"):
            self.trust("rotate", role)
        self.sign(people[1:])
        self.trust("group", "polar", "--sites", "north")
        # To the group, whose sites are asked for; another name is told what there is.
        hub = ("--hub", self.plant.hub_data)
        good("deploy", "demo:1", "--policy", "demo:1", "--fallback", "demo:1", "--group", "polar", *hub)
        refused = run("release", "deploy", "none", "--group", "sites", *hub)
        self.assertEqual((refused.returncode, "its groups are: polar" in refused.stderr), (1, True), refused.stderr)
        for which in ((), ("--group", "polar", "--sites", "north")):
            self.assertEqual(run("release", "deploy", "none", *which, *hub).returncode, 2)
        older = self.plant.dir / "older"
        good("bundle", "export", older, "--hub", self.plant.hub_data, "--site", "north")
        self.deploy()
        self.plant.carry()
        self.assertEqual((self.desired()["version"], self.desired()["root_version"]), (3, 3))
        report = json.loads(good("bundle", "import", older, "--data", self.plant.site_data, "--json"))
        self.assertEqual([part.split(":")[0] for part in report["refused"]], ["desired-state desired-state"], report)
        self.assertIn("rollback", report["refused"][0])
        self.assertEqual(self.desired()["version"], 3)
        # And after a restart.
        self.plant.running.pop("site").stop()
        self.plant.start_site()
        self.assertEqual((self.desired()["version"], self.desired()["root_version"]), (3, 3))
        self.plant.score(5)

    def test_a_restored_hub_jumps_past_what_its_site_has_seen(self):
        self.plant.deploy()
        self.plant.running.pop("hub").stop()
        shutil.copytree(self.plant.hub_data, self.plant.dir / "backup")
        self.plant.start_hub()
        for _ in range(3):
            self.deploy()
            self.assertEqual(self.sync().returncode, 0)
        self.assertEqual(self.desired()["version"], 4)
        self.plant.running.pop("hub").stop()
        shutil.rmtree(self.plant.hub_data)
        shutil.copytree(self.plant.dir / "backup", self.plant.hub_data)
        # It does not know yet: the site goes on with what it has, and says so.
        self.plant.start_hub()
        refused = self.sync()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("rollback", refused.stderr)
        self.assertEqual(self.desired()["version"], 4)
        self.assertTrue(any("rollback" in alarm for alarm in self.plant.site("GET", "/v1/site")["alarms"]))
        self.plant.score(5)
        self.plant.running.pop("hub").stop()
        self.plant.start_hub("--restored")
        self.assertEqual(self.sync().returncode, 0)
        self.assertEqual(self.role("timestamp")["version"], 1_000_001)
        self.assertEqual(self.desired()["version"], 1)
        self.deploy()
        self.assertEqual(self.sync().returncode, 0)
        self.assertEqual(self.desired()["version"], 1_000_001)
        self.assertFalse(any("rollback" in alarm for alarm in self.plant.site("GET", "/v1/site")["alarms"]))


class PeerRepository:
    """What every peer's repository has to be to ours."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="skerry-tuf-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)
        self.repository = self.dir / "repository"
        self.make("make")

    def make(self, verb, *arguments):
        done = run_peer(self.program, verb, self.repository, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)

    def fetch(self, state="state", repository=None):
        return run("trust", "fetch", repository or self.repository, TARGET, "--state", self.dir / state, "--root", self.repository / "metadata/1.root.json",
                   "--out", self.dir / "target", "--json")

    def expect(self, text, **options):
        done = self.fetch(**options)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.dir / "target").read_text(), text)
        return json.loads(done.stdout)

    def test_ours_follows_it_through_new_targets_and_keys(self):
        self.assertFalse(self.expect("first\n")["expired"])
        self.make("publish", "second \\ \" é\n")
        self.expect("second \\ \" é\n")
        for role in ("root", "timestamp", "snapshot", "targets"):
            self.make("rotate", role)
        self.make("publish", "third\n")
        self.assertEqual(self.expect("third\n")["root_version"], 5)
        self.assertEqual(self.expect("third\n", state="late")["root_version"], 5)

    def test_what_expired_on_its_way_is_taken_by_ours_alone(self):
        self.expect("first\n")
        self.make("publish", "second\n", "expired")
        self.assertTrue(self.expect("second\n")["expired"])
        theirs = run_peer(self.program, "follow", self.repository.as_uri(), self.repository / "metadata/1.root.json", self.dir / "theirs", TARGET)
        self.assertEqual(theirs.returncode, 1)
        self.assertIn(self.expired_error, theirs.stderr)

    def test_older_mixed_and_forged_repositories_are_refused(self):
        self.expect("first\n")
        older = self.dir / "older"
        shutil.copytree(self.repository, older)
        self.make("publish", "second\n")
        self.expect("second\n")
        self.assertIn("rollback", self.fetch(repository=older).stderr)
        mixed = self.dir / "mixed"
        shutil.copytree(self.repository, mixed)
        shutil.copy(mixed / "metadata/1.sites.json", mixed / "metadata/2.sites.json")
        self.assertEqual(self.fetch(state="fresh", repository=mixed).returncode, 1)
        forged = self.dir / "forged"
        self.assertEqual(run_peer(self.program, "make", forged).returncode, 0)
        refused = self.fetch(state="other", repository=forged)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("signed by 0 of the 1 keys", refused.stderr)
        self.expect("second\n")


@with_python
class PythonTufRepositoryTest(PeerRepository, unittest.TestCase):
    program, expired_error = PYTHON_TUF, "ExpiredMetadataError"


@with_go
class GoTufRepositoryTest(PeerRepository, unittest.TestCase):
    program, expired_error = GO_TUF, "ErrExpiredMetadata"


if __name__ == "__main__":
    run_tests(__name__)
