"""Holds skerry serve against the OpenAPI document that it serves, with schemathesis. Prints "N passed, N failed, N skipped".

$SKERRY_SCHEMATHESIS is its command, which scripts/deps --test installs."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.request

from skerry_process import Served, run, run_tests, train_package

SCHEMATHESIS = os.environ.get("SKERRY_SCHEMATHESIS", "")
if not SCHEMATHESIS:
    print("skipped: openapi_test: schemathesis is not installed (scripts/deps --test)")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)


class OpenApi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-openapi-")
        cls.dir = pathlib.Path(cls.temporary.name)
        train_package(cls.dir)
        cls.server = Served("serve", "--http", "127.0.0.1:0", f"demo={cls.dir / 'model'}")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.temporary.cleanup()

    def check(self, name, config, *options, server=None, document=None):
        """Whether what is generated fits a model is no matter of the document: positive data may be refused."""
        server = server or self.server
        file = self.dir / f"{name}.toml"
        file.write_text(config + '[checks.negative_data_rejection]\nexpected-statuses = ["4xx", "501"]\n')
        done = subprocess.run(
            [SCHEMATHESIS, "--config-file", file, "run", document or f"{server.url}/openapi.json", "--seed", "1",
             "--checks", "all", "--exclude-checks", "positive_data_acceptance", "--warnings", "off", *options],
            cwd=self.dir, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIsNone(server.process.poll())

    def test_any_request_is_answered_as_the_document_says(self):
        self.check("any", "", "--max-examples", "12")

    def test_requests_of_a_model_that_is_served_are_answered_as_the_document_says(self):
        self.check("served", '[parameters]\n"path.model" = "demo"\n"path.version" = "0"\n"query.model" = "demo"\n',
                   "--max-examples", "25", "--include-path-regex", "model}|score")

    def test_a_server_with_keys_answers_as_the_document_says_and_nobody_without_one(self):
        made = run("api-key", "line-3", "--keys", self.dir / "scoring.keys")
        self.assertEqual(made.returncode, 0, made.stderr)
        key = made.stdout.strip()
        with Served("serve", "--http", "127.0.0.1:0", "--api-keys", self.dir / "scoring.keys", f"demo={self.dir / 'model'}") as server:
            request = urllib.request.Request(f"{server.url}/openapi.json", headers={"Authorization": f"Bearer {key}"})
            with urllib.request.urlopen(request) as answer:
                document = json.load(answer)
            self.assertEqual(document["security"], [{}, {"key": []}])
            document["security"] = [{"key": []}]  # this server's: the requests without a key are to be refused
            (self.dir / "keyed.json").write_text(json.dumps(document))
            self.check("keyed", "", "--max-examples", "5", "--url", server.url, "--header", f"Authorization: Bearer {key}",
                       server=server, document=self.dir / "keyed.json")

    def test_the_document_is_served_as_json(self):
        with urllib.request.urlopen(f"{self.server.url}/openapi.json") as answer:
            self.assertEqual(answer.headers["Content-Type"], "application/json")
            document = json.load(answer)
        self.assertEqual(document["openapi"], "3.1.0")
        self.assertEqual(set(document["paths"]["/v1/score"]["post"]["requestBody"]["content"]),
                         {"application/json", "text/csv", "application/x-ndjson"})


if __name__ == "__main__":
    run_tests(__name__)
