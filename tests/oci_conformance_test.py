"""The conformance suite of the OCI distribution-spec against a hub's registry: each of its tests passes. Prints "N passed, N failed, N skipped".

The suite is a program of the OCI's own (third_party/go-tools.txt); scripts/deps --test builds it in half a minute. What counts are its exit
status and its results.yaml. "dev" is 1.1 and what the next version adds.
"""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from skerry_process import Served, run_tests

SUITE = shutil.which("conformance")
# What the suite itself leaves out of a version. Sparse manifests name content that was never pushed: a registry may take them, this one
# promises nothing that it cannot keep.
SPARSE = {"Sparse Manifests"}
NOT_ASKED = {"1.1": SPARSE | {"Blob upload cancel", "Manifest put with tag params", "Tag Param", "Tag Param sha512"}, "dev": SPARSE}


@unittest.skipUnless(SUITE, "conformance is not installed (scripts/deps --test)")
class Conformance(unittest.TestCase):
    def judge(self, version, *options, environment=None):
        with tempfile.TemporaryDirectory(prefix="skerry-oci-") as made:
            directory = pathlib.Path(made)
            with Served("hub", "--data", directory / "hub", "--listen", "127.0.0.1:0", "--plain-http", "--open-registry", *options,
                        environment=environment) as hub:
                asked = {"OCI_VERSION": version, "OCI_REGISTRY": re.search(r"//([^/]+)", hub.url)[1], "OCI_TLS": "disabled",
                         "OCI_REPO1": "conformance/repo1", "OCI_REPO2": "conformance/repo2", "OCI_RESULTS_DIR": directory / "results"}
                clean = {name: value for name, value in os.environ.items() if not name.startswith("OCI_")}
                done = subprocess.run([SUITE], env={**clean, **asked}, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
            results = (directory / "results" / "results.yaml").read_text()
            self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}\n{results}")
            judged = dict(re.findall(r"(?m)^  ([^:]+): (Pass|Fail|Skip|Error|Disabled|Unknown)$", results[results.index("\napis:"):]))
            self.assertEqual({name for name, status in judged.items() if status != "Pass"}, NOT_ASKED[version])
            self.assertGreater(len(judged), 40)
            total = re.search(r"(?m)^ *Total\.+: +(\d+)$", done.stdout)[1]
            passed = re.search(r"(?m)^ *Pass\.+: +(\d+)$", done.stdout)[1]
            print(f"OCI conformance {version}: {passed} of {total} pass")

    def test_every_test_of_1_1_passes(self):
        self.judge("1.1")

    def test_every_test_of_the_coming_version_passes(self):
        self.judge("dev")


if __name__ == "__main__":
    run_tests(__name__)
