"""Drives the release binary from the outside, as a person would type. Prints "N passed, N failed, N skipped"."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest
import urllib.request

from skerry_process import SKERRY, Served, run, run_tests, train_package


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-cli-")
        cls.dir = pathlib.Path(cls.temporary.name)
        cls.trained = train_package(cls.dir)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_train_writes_a_package_that_evaluate_and_score_take(self):
        self.assertEqual(self.trained.returncode, 0, self.trained.stderr)
        for name in ("model.onnx", "detector.onnx", "schema.json", "reference.json", "card.md", "report.json"):
            self.assertTrue((self.dir / "model" / name).is_file(), name)
        evaluated = run("evaluate", self.dir / "model", self.dir / "train.csv", "--json")
        self.assertEqual(evaluated.returncode, 0, evaluated.stderr)
        self.assertGreater(json.loads(evaluated.stdout)["auc"]["value"], 0.9)
        scored = run("score", self.dir / "train.csv", self.dir / "model", "--out", self.dir / "scored.csv")
        self.assertEqual(scored.returncode, 0, scored.stderr)
        lines = (self.dir / "scored.csv").read_text().splitlines()
        self.assertEqual(lines[0], "a,b,kind,failure,prediction,score,anomaly_score")
        self.assertEqual(len(lines), 601)

    def test_an_option_that_may_be_repeated_takes_one_word(self):
        written = run("train", "--ignore", "kind", "--ignore", "b", self.dir / "train.csv", "--label", "failure", "--print-schema")
        self.assertEqual(written.returncode, 0, written.stderr)
        self.assertEqual(written.stdout.count("role: ignore"), 2, written.stdout)

    def test_serve_answers_and_maps_neither_duckdb_nor_xgboost(self):
        with Served("serve", "--http", "127.0.0.1:0", f"demo={self.dir / 'model'}") as server:
            body = json.dumps({"inputs": [
                {"name": "a", "datatype": "FP32", "shape": [1], "data": [70.0]},
                {"name": "b", "datatype": "FP32", "shape": [1], "data": [2.0]},
                {"name": "kind", "datatype": "BYTES", "shape": [1], "data": ["x"]}]}).encode()
            with urllib.request.urlopen(f"{server.url}/v2/models/demo/infer", data=body) as answer:
                outputs = {o["name"]: o["data"] for o in json.load(answer)["outputs"]}
            self.assertGreater(outputs["score"][0], 0.5)
            maps = pathlib.Path(f"/proc/{server.process.pid}/maps").read_text()
            self.assertIn("libonnxruntime", maps)
            self.assertNotIn("duckdb", maps)
            self.assertNotIn("xgboost", maps)

    def test_some_seconds_of_the_soak(self):
        soak = pathlib.Path(__file__).resolve().parent.parent / "bench" / "soak"
        done = subprocess.run([soak, self.dir / "model" / "model.onnx", "--seconds", "6", "--rate", "200", "--skerry", SKERRY],
                              capture_output=True, text=True, timeout=100)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"^[1-9]\d* answers at 200/s, 0 failed; [1-9]\d* swaps, 0 failed; ")

    def test_serve_answers_what_waits_before_it_ends(self):
        body = json.dumps({"inputs": [
            {"name": "a", "datatype": "FP32", "shape": [1], "data": [70.0]},
            {"name": "b", "datatype": "FP32", "shape": [1], "data": [2.0]},
            {"name": "kind", "datatype": "BYTES", "shape": [1], "data": ["x"]}]}).encode()
        # The request waits two seconds for others to share its run; SIGTERM comes meanwhile.
        with Served("serve", "--http", "127.0.0.1:0", "--batch-size", 8, "--batch-delay-us", 2_000_000,
                    "--drain-seconds", 15, f"demo={self.dir / 'model'}") as server:
            with concurrent.futures.ThreadPoolExecutor() as pool:
                answer = pool.submit(urllib.request.urlopen, f"{server.url}/v2/models/demo/infer", body, 30)
                while not answer.done():
                    with urllib.request.urlopen(f"{server.url}/metrics") as metrics:
                        if re.search(r'nv_inference_pending_request_count\{model="demo".*\} 1\n', metrics.read().decode()):
                            break
                self.assertFalse(answer.done())
                server.process.terminate()
                with answer.result(30) as answered:
                    self.assertEqual(answered.status, 200)
                self.assertEqual(server.process.wait(20), 0)

    def test_evaluate_speaks_to_people_unless_asked_for_json(self):
        text = run("evaluate", self.dir / "model", self.dir / "train.csv")
        self.assertEqual(text.returncode, 0, text.stderr)
        self.assertIn("average precision", text.stdout)
        self.assertLessEqual(max(map(len, text.stdout.splitlines())), 100)

    def test_too_many_columns_are_refused_quickly_and_in_little_memory(self):
        table = self.dir / "wide.csv"
        names = [f"c{i}" for i in range(4096)] + ["y"]
        with table.open("w") as out:
            out.write(",".join(names) + "\n")
            for row in range(2000):
                out.write(",".join(["1.5"] * 4096 + [str(row % 2)]) + "\n")
        process = subprocess.Popen([SKERRY, "train", str(table), "--label", "y", "--out", str(self.dir / "wide")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        start = time.monotonic()
        message = process.stderr.read()
        process.stderr.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 1, message)
        self.assertIn("4096", message.replace(",", ""))
        self.assertLess(time.monotonic() - start, 10)
        self.assertLess(usage.ru_maxrss * 1024, 1 << 30)
        self.assertFalse((self.dir / "wide").exists())

    def test_wrong_usage_exits_2_and_failure_exits_1(self):
        self.assertEqual(run("train").returncode, 2)
        self.assertEqual(run("nonsense").returncode, 2)
        self.assertEqual(run("train", "--help").returncode, 0)
        self.assertIn("Example: skerry train", run("train", "--help").stdout)
        failed = run("train", self.dir / "train.csv", "--label", "none", "--out", self.dir / "not")
        self.assertEqual(failed.returncode, 1)
        self.assertIn("none", failed.stderr)
        self.assertFalse((self.dir / "not").exists())

    def test_pack_sign_verify_and_a_flipped_bit(self):
        layout = self.dir / "demo.oci"
        key = self.dir / "model.key"
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key],
                       check=True, capture_output=True)
        key.chmod(0o600)
        self.assertEqual(run("pack", self.dir / "model", "--name", "demo", "--version", "1", "--out", layout).returncode, 0)
        unsigned = run("verify", layout, "--key", key)
        self.assertEqual(unsigned.returncode, 1)
        self.assertIn("no signature", unsigned.stderr)
        self.assertEqual(run("sign", layout, "--key", key).returncode, 0)
        verified = run("verify", layout, "--key", key)
        self.assertEqual(verified.returncode, 0, verified.stderr)
        self.assertIn("CycloneDX 1.6", verified.stdout)
        # What the key attests: the bytes that were trained on, and every file of the package.
        chain = json.loads(run("verify", layout, "--key", key, "--json").stdout)
        trained_on = {one["name"]: one["digest"]["sha256"] for one in chain["provenance"]["buildDefinition"]["resolvedDependencies"]}
        self.assertEqual(trained_on, {"train.csv": hashlib.sha256((self.dir / "train.csv").read_bytes()).hexdigest()})
        self.assertIn("auc", chain["provenance"]["runDetails"]["skerry_metrics"]["holdout"]["model"])
        files = {one["name"]: one["hashes"][0]["content"] for one in chain["sbom"]["components"] if one["type"] == "file"}
        self.assertEqual(files, {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (self.dir / "model").iterdir()})
        blob = max((layout / "blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
        data = bytearray(blob.read_bytes())
        data[len(data) // 2] ^= 1
        blob.write_bytes(data)
        self.assertEqual(run("verify", layout, "--key", key).returncode, 1)

    def test_hub_holds_its_directory_and_its_port(self):
        with Served("hub", "--data", self.dir / "hub", "--listen", "127.0.0.1:0") as hub:
            self.assertTrue(hub.url.startswith("https://127.0.0.1:"), hub.line)
            port = re.search(r":(\d+)/", hub.url).group(1)
            held = run("hub", "--data", self.dir / "hub", "--listen", "127.0.0.1:0")
            self.assertEqual(held.returncode, 1)
            self.assertIn("in use by process", held.stderr)
            taken = run("hub", "--data", self.dir / "hub2", "--listen", f"127.0.0.1:{port}")
            self.assertEqual(taken.returncode, 1)
            self.assertIn(port, taken.stderr)
            bad = run("token", "No Such Name", "--hub", self.dir / "hub", "--out", self.dir / "t")
            self.assertEqual(bad.returncode, 1)
            self.assertEqual(run("token", "north", "--hub", self.dir / "hub", "--out", self.dir / "north.token").returncode, 0)
            self.assertEqual((self.dir / "north.token").stat().st_mode & 0o777, 0o600)
        outside = run("hub", "--data", self.dir / "hub3", "--listen", "0.0.0.0:0", "--plain-http")
        self.assertEqual(outside.returncode, 1)

    def test_demo_refuses_an_unusable_table(self):
        (self.dir / "short.csv").write_text("a,b,y\n1,2,0\n")
        short = run("demo", "--exit", "--data", self.dir / "short.csv", "--label", "y")
        self.assertEqual(short.returncode, 1)
        self.assertIn("needs at least", short.stderr)
        label = run("demo", "--exit", "--data", self.dir / "train.csv", "--label", "nothing")
        self.assertEqual(label.returncode, 1)
        self.assertIn("nothing", label.stderr)


if __name__ == "__main__":
    run_tests(__name__)
