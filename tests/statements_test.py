"""What skerry says of packages is what others read: its CycloneDX 1.6 documents by the official JSON schema, its statements and provenance by the protocol
buffers of in-toto (of images: tests/image_test.py). Prints "N passed, N failed, N skipped"."""
import base64
import json
import pathlib
import subprocess
import tempfile
import unittest

from plant import good
from skerry_process import run_tests, write_table
from statements_judge import judge, with_schemas

TYPES = {"https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1", "https://cyclonedx.org/bom"}


@with_schemas
class StatementsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-statements-")
        cls.dir = pathlib.Path(cls.temporary.name)
        write_table(cls.dir / "train.csv")
        cls.model = cls.train("model", "--label", "failure")
        cls.key = cls.dir / "model.key"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", cls.key], check=True)
        cls.key.chmod(0o600)

    @classmethod
    def train(cls, name, *options):
        good("train", cls.dir / "train.csv", *options, "--trees", 10, "--name", "demo", "--out", cls.dir / name)
        return cls.dir / name

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def expect_valid(self, kind, documents):
        refused, reasons = judge(kind, documents)
        self.assertEqual(refused, [], reasons)

    def statements(self, layout):
        """The payloads of all bundles in a layout, by their predicate type."""
        found = {}
        for blob in (layout / "blobs/sha256").iterdir():
            try:
                payload = base64.b64decode(json.loads(blob.read_text())["dsseEnvelope"]["payload"]).decode()
            except (UnicodeDecodeError, ValueError, KeyError, TypeError):
                continue
            found[json.loads(payload)["predicateType"]] = payload
        return found

    def sign(self, package, *options):
        layout = self.dir / f"{package.name}.oci"
        good("pack", package, "--name", "demo", "--version", "1", "--out", layout, *options)
        good("sign", layout, "--key", self.key)
        return layout

    def check_package(self, layout):
        statements = self.statements(layout)
        self.assertEqual(set(statements), TYPES)
        self.expect_valid("statement", list(statements.values()))
        said = json.loads(good("verify", layout, "--key", self.key, "--json"))
        self.assertEqual(said["sbom"], json.loads(statements["https://cyclonedx.org/bom"])["predicate"])
        self.expect_valid("bom", [json.dumps(said["sbom"])])
        return said

    def test_of_a_trained_package(self):
        bom = self.check_package(self.sign(self.model))["sbom"]
        self.assertEqual(bom["specVersion"], "1.6")
        # The judge refuses what is wrong.
        changes = [{"version": "1"}, {"bomFormat": "SPDX"}, {"components": [{"type": "model", "name": "a"}]}, {"components": [{"type": "file"}]},
                   {"invented": 1}, {"serialNumber": "1"}, {"components": bom["components"] + bom["components"][:1]}]
        refused, reasons = judge("bom", [json.dumps(bom | change) for change in changes])
        self.assertEqual(refused, list(range(len(changes))), reasons)

    def test_of_a_package_that_was_trained_elsewhere(self):
        graph = self.train("elsewhere", "--label", "failure", "--ignore", "kind") / "model.onnx"
        layout = self.sign(graph, "--sample", self.dir / "train.csv", "--label", "failure", "--ignore", "kind")
        self.assertIn("import", self.check_package(layout)["provenance"]["buildDefinition"]["buildType"])

    def test_of_anomalies_and_of_numbers(self):
        for name, options in (("anomaly", ["--task", "anomaly", "--ignore", "failure"]), ("number", ["--label", "b", "--task", "regression"])):
            self.check_package(self.sign(self.train(name, *options)))


if __name__ == "__main__":
    run_tests(__name__)
