"""skerry train --mlflow beside a real MLflow tracking server. Prints "N passed, N failed, N skipped".

The server is of the Python $SKERRY_MLFLOW_PYTHON, where scripts/deps --mlflow puts it."""
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

from skerry_process import SKERRY, Served, run, run_tests, train_package, write_table

PYTHON = os.environ.get("SKERRY_MLFLOW_PYTHON", "")
if not PYTHON:
    print("skipped: mlflow_test: MLflow is not installed (scripts/deps --mlflow, make mlflow-test)")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)


class Mlflow:
    """A tracking server on a free port that keeps everything in its own directory."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="skerry-mlflow-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = (pathlib.Path(self.directory.name) / "log").open("w")
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        self.process = subprocess.Popen(
            [PYTHON, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{self.directory.name}/runs.db", "--artifacts-destination", f"{self.directory.name}/files"],
            stdout=self.log, stderr=self.log, cwd=self.directory.name, env=environment, start_new_session=True)
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                try:
                    self.process.wait(0.2)
                except subprocess.TimeoutExpired:
                    continue
                break
        raise RuntimeError("MLflow did not start: " + (pathlib.Path(self.directory.name) / "log").read_text())

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def close(self):
        self.kill()
        self.log.close()
        self.directory.cleanup()

    def get(self, route, **query):
        with urllib.request.urlopen(f"{self.url}/api/2.0/mlflow/{route}?{urllib.parse.urlencode(query)}", timeout=30) as answer:
            return json.load(answer)

    def runs(self, experiment):
        found = self.get("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        body = json.dumps({"experiment_ids": [found]}).encode()
        request = urllib.request.Request(f"{self.url}/api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer).get("runs", [])


class Tracking(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-tracked-")
        cls.dir = pathlib.Path(cls.temporary.name)
        write_table(cls.dir / "train.csv")
        cls.mlflow = Mlflow()

    @classmethod
    def tearDownClass(cls):
        cls.mlflow.close()
        cls.temporary.cleanup()

    def train(self, out, *options, data="train.csv", url=None):
        return run("train", self.dir / data, "--label", "failure", "--name", "demo", "--out", self.dir / out,
                   "--mlflow", url or self.mlflow.url, *options)

    def test_a_run_holds_what_was_chosen_the_figures_the_card_and_the_plots(self):
        done = self.train("told", "--json", "--threshold", "cost=1:20", "--mlflow-experiment", "Öfen & Pumpen")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"MLflow run {self.mlflow.url}/#/experiments/", done.stderr)
        report = json.loads(done.stdout)
        told, = self.mlflow.runs("Öfen & Pumpen")
        self.assertEqual((told["info"]["status"], told["info"]["run_name"]), ("FINISHED", "demo:1"))
        params = {p["key"]: p["value"] for p in told["data"]["params"]}
        self.assertEqual((params["label"], params["threshold"], params["seed"]), ("failure", "cost=1:20", "1"))
        self.assertEqual(params["data_digest"], report["data_digest"])
        self.assertEqual(int(params["parameters.depth"]), report["parameters"]["depth"])
        metrics = {m["key"]: m["value"] for m in told["data"]["metrics"]}
        for figure in ("auc", "average_precision", "f1", "cost"):
            for end in ("value", "low", "high"):
                key = f"holdout.model.{figure}" + ("" if end == "value" else f".{end}")
                self.assertAlmostEqual(metrics[key], report["holdout"]["model"][figure][end], places=9)
        self.assertAlmostEqual(metrics["gain.a"], next(g["gain"] for g in report["gains"] if g["field"] == "a"), places=6)
        files = {f["path"] for f in self.mlflow.get("artifacts/list", run_id=told["info"]["run_id"])["files"]}
        self.assertEqual(files, {p.name for p in (self.dir / "told").iterdir() if p.suffix != ".onnx"})
        self.assertIn("plot-roc.svg", files)
        path = told["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
        with urllib.request.urlopen(f"{self.mlflow.url}/api/2.0/mlflow-artifacts/artifacts/{path}/card.md") as answer:
            self.assertEqual(answer.read(), (self.dir / "told" / "card.md").read_bytes())

    def test_more_parameters_and_figures_than_one_request_may_have(self):
        rng = random.Random(4)
        names = [f"f{i}" for i in range(1050)]
        lines = [",".join([*names, "failure"])]
        for i in range(120):
            lines.append(",".join([*(f"{rng.random():.3f}" for _ in names), str(i % 2)]))
        (self.dir / "wide.csv").write_text("\n".join(lines) + "\n")
        schema = run("train", self.dir / "wide.csv", "--label", "failure", "--print-schema").stdout
        (self.dir / "wide.yaml").write_text(schema)
        done = self.train("wide", "--schema", self.dir / "wide.yaml", "--mlflow-experiment", "wide", data="wide.csv")
        self.assertEqual(done.returncode, 0, done.stderr)
        told, = self.mlflow.runs("wide")
        self.assertGreaterEqual(sum(p["key"].startswith("types.") for p in told["data"]["params"]), 1000)
        self.assertEqual(sum(m["key"].startswith("gain.") for m in told["data"]["metrics"]), 1050)

    def test_failed_and_interrupted_trainings_are_ended_so(self):
        done = self.train("failed", "--slice", "nothing", "--mlflow-experiment", "ends")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no column to slice by 'nothing'", done.stderr)
        self.assertFalse((self.dir / "failed").exists())
        self.assertEqual([r["info"]["status"] for r in self.mlflow.runs("ends")], ["FAILED"])
        write_table(self.dir / "long.csv", rows=60_000)
        process = subprocess.Popen([SKERRY, "train", self.dir / "long.csv", "--label", "failure", "--out", self.dir / "cut",
                                    "--mlflow", self.mlflow.url, "--mlflow-experiment", "cut"], stderr=subprocess.PIPE, text=True)
        while "choosing the number of trees" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        self.assertIn("interrupted", process.communicate(timeout=60)[1])
        self.assertEqual(process.returncode, 1)
        self.assertFalse((self.dir / "cut").exists())
        self.assertEqual([r["info"]["status"] for r in self.mlflow.runs("cut")], ["KILLED"])

    def test_without_the_server_nothing_is_trained(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        done = self.train("none", url=url)
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing was trained", done.stderr)
        self.assertIn(url, done.stderr)
        self.assertNotIn("reading", done.stderr)
        self.assertFalse((self.dir / "none").exists())
        train_package(self.dir)
        with Served("serve", "--http", "127.0.0.1:0", f"demo={self.dir / 'model'}") as server:
            done = self.train("none", url=server.url)
            self.assertEqual(done.returncode, 1)
            self.assertIn("is it an MLflow server?", done.stderr)

    def test_a_server_that_is_lost_costs_no_model(self):
        other = Mlflow()
        try:
            process = subprocess.Popen([SKERRY, "train", self.dir / "train.csv", "--label", "failure", "--out", self.dir / "lost",
                                        "--mlflow", other.url], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            while "MLflow run" not in process.stderr.readline():
                pass
            other.kill()
            errors = process.communicate(timeout=60)[1]
        finally:
            other.close()
        self.assertEqual(process.returncode, 1)
        self.assertIn("the model was trained, and its package", errors)
        self.assertEqual(run("evaluate", self.dir / "lost", self.dir / "train.csv").returncode, 0)


if __name__ == "__main__":
    run_tests(__name__)
