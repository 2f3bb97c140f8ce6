"""Our client of TUF repositories (skerry trust fetch) against one that python-tuf makes: new targets, turned keys, metadata that has expired, and what is
to be refused. Prints "N passed, N failed, N skipped"."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from skerry_process import run, run_tests

PEER = os.environ.get("SKERRY_TUF_PYTHON")
TARGET = "sites/north/desired.json"
with_peer = unittest.skipUnless(PEER, "python-tuf is not installed: scripts/deps --test")


def peer(*arguments):
    script = pathlib.Path(__file__).resolve().parent / "tuf_peer.py"
    return subprocess.run([PEER, script, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


@with_peer
class PeerRepositoryTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="skerry-tuf-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)
        self.repository = self.dir / "repository"
        self.make("make")

    def make(self, verb, *arguments):
        done = peer(verb, self.repository, *arguments)
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
        theirs = peer("follow", self.repository.as_uri(), self.repository / "metadata/1.root.json", self.dir / "theirs", TARGET)
        self.assertEqual(theirs.returncode, 1)
        self.assertIn("ExpiredMetadataError", theirs.stderr)

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
        self.assertEqual(peer("make", forged).returncode, 0)
        refused = self.fetch(state="other", repository=forged)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("signed by 0 of the 1 keys", refused.stderr)
        self.expect("second\n")


if __name__ == "__main__":
    run_tests(__name__)
