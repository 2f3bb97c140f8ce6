"""skerry train --engine spark, on a real standalone cluster of a master and two workers on loopback. Prints "N passed, N failed, N skipped"."""
import csv
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import unittest

import kdd99
from skerry_process import SKERRY, only_whole, run, run_tests
from spark_cluster import SPARK, Cluster, Followed, why_not

TEST_DATA = pathlib.Path(os.environ.get("SKERRY_TEST_DATA", "/nowhere"))
AI4I, KDD99 = TEST_DATA / "ai4i2020/ai4i2020.csv", kdd99.source_in(TEST_DATA)
LEAKS = "TWF,HDF,PWF,OSF,RNF"


def setUpModule():
    global cluster
    cluster = Cluster()
    unittest.addModuleCleanup(cluster.end)


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def machine_rows(count, seed=1):
    rng = random.Random(seed)
    for i in range(count):
        speed, torque, grade = rng.gauss(1500, 200), rng.gauss(40, 10), rng.choice("ABC")
        power = speed * torque / 1000 + (0 if grade == "A" else 8)
        yield {"Speed [rpm]": f"{speed:.1f}", "torque": f"{torque:.2f}" if i % 17 else "", "grade": grade, "unit": f"u{i % 40}",
               "day": f"2026-01-{1 + i * 28 // count:02}", "weight": 1 + i % 3, "power": f"{power:.3f}",
               "level": "low" if power < 55 else "mid" if power < 70 else "high", "failed": int(power + rng.gauss(0, 3) > 72)}


class SparkTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-spark-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        self.data = self.dir / "machines.csv"
        write_csv(self.data, list(machine_rows(1500)))

    def left(self):
        return sorted(path.name for path in self.dir.iterdir())

    def start(self, data, label, *args, master=None, out="model"):
        return Followed(SKERRY, "train", data, "--label", label, "--out", self.dir / out, "--engine", "spark", "--master", master or cluster.url,
                        "--spark-conf", "spark.executor.memory=700m", "--spark-conf", "spark.driver.memory=1g", *args)

    def trained(self, *args, **named):
        job = self.start(*args, **named)
        self.assertEqual(job.wait(), 0, "\n".join(job.said))
        out = self.dir / named.get("out", "model")
        return json.loads((out / "report.json").read_text()), json.loads((out / "reference.json").read_text())

    def judged(self, model):
        """The figures of self.dir/model on self.dir/test.csv."""
        done = run("evaluate", self.dir / model, self.dir / "test.csv", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def compare(self, spark, embedded):
        """Spark's figures lie in the intervals of the embedded engine's; near 1 these are narrower than what a draw of rows changes."""
        for figure in ("auc", "average_precision", "f1"):
            self.assertGreaterEqual(spark[figure]["value"], embedded[figure]["low"] - 1e-5, figure)
            self.assertLessEqual(spark[figure]["value"], embedded[figure]["high"] + 1e-5, figure)

    def refused(self, *args, **named):
        """What a training that must fail says; it leaves its log and nothing else."""
        before, log = self.left(), named.get("out", "model") + ".spark.log"
        job = self.start(*args, **named)
        said = "\n".join([str(job.wait()), *job.said])
        self.assertEqual(said[0], "1", said)
        self.assertIn(f"(log: {self.dir}/{log})", said)
        self.assertEqual(self.left(), sorted([*before, log]))
        return said


@unittest.skipUnless(AI4I.exists(), "SKERRY_TEST_DATA is not set, or has no ai4i2020")
class OnAi4i(SparkTest):
    def setUp(self):
        super().setUp()
        with open(AI4I, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        random.Random(7).shuffle(rows)
        write_csv(self.dir / "train.csv", rows[:8000])
        write_csv(self.dir / "test.csv", rows[8000:])

    def test_is_as_good_as_the_embedded_engine_on_the_same_rows(self):
        common = ["--ignore", LEAKS, "--id", "UDI,Product ID", "--threshold", "cost=1:20", "--calibration", "sigmoid", "--alarm-rate", "0.02"]
        # Batches of 16 rows: of some none is in a fold, as of many rows that are sorted by time or repeat.
        report, reference = self.trained(self.dir / "train.csv", "Machine failure", *common, "--spark-conf",
                                         "spark.sql.execution.arrow.maxRecordsPerBatch=16")
        self.assertRegex(report["engine"], r"^Spark 3\.\d+\.\d+, XGBoost ")
        self.assertLessEqual(report["max_model_difference"], 1e-6)
        self.assertEqual(report["rows"] + report["split"]["left_out"], 8000)
        self.assertGreater(report["trees"], 10)
        self.assertEqual(self.left(), ["machines.csv", "model", "test.csv", "train.csv"])
        embedded = run("train", self.dir / "train.csv", "--label", "Machine failure", *common, "--out", self.dir / "embedded", "--json")
        self.assertEqual(embedded.returncode, 0, embedded.stderr)
        schemas = [json.loads((self.dir / name / "schema.json").read_text()) for name in ("model", "embedded")]
        self.assertEqual(schemas[0], schemas[1])
        # The histograms count every training row, as the embedded engine's do.
        other = json.loads((self.dir / "embedded/reference.json").read_text())
        for asked in ("threshold_goal", "anomaly_alarm_rate"):
            self.assertEqual(reference[asked], other[asked])
        self.assertEqual((report["threshold_goal"], report["calibration"]["kind"]), ("cost=1:20", "sigmoid"))
        for mine, theirs in zip(reference["features"], other["features"]):
            self.assertEqual(mine["field"], theirs["field"])
            self.assertEqual(len(mine["counts"]), len(theirs["counts"]))
            self.assertAlmostEqual(sum(c or 0 for c in mine["counts"]) + mine["missing"], report["training_rows"], delta=4 * len(mine["counts"]))
        self.compare(self.judged("model"), self.judged("embedded"))

    def test_a_killed_worker_does_not_end_the_job(self):
        job = self.start(self.dir / "train.csv", "Machine failure", "--ignore", LEAKS, "--id", "UDI,Product ID")
        job.wait_for(r"inner fold 2 of 5, 2 at work")
        job.wait_for(r"stage \d+: 0 of 2 tasks")
        cluster.workers[0].end(signal.SIGKILL)
        self.addCleanup(cluster.replace, 0)  # the others want two workers, whatever comes of this job
        status = job.wait()
        said = "\n".join(job.said)
        self.assertEqual(status, 0, said)
        self.assertRegex(said, "a worker was lost")
        self.assertRegex(said, "fitting [0-9]+ trees, 1 at work")
        self.assertGreater(self.judged("model")["auc"]["value"], 0.9)


@unittest.skipUnless(KDD99.exists(), "SKERRY_TEST_DATA is not set, or has no kdd99")
@only_whole
class OnKdd99(SparkTest):
    """An eighth of its different rows; bench/spark.py takes them all."""

    def test_is_as_good_as_the_embedded_engine_on_the_same_rows(self):
        kdd99.write_tables(KDD99, self.dir / "train.csv", self.dir / "test.csv", one_in=8)
        common = ["--trees", "100", "--holdout", "0"]  # each engine would hold out other rows, of which most are copies of some
        report, _ = self.trained(self.dir / "train.csv", "attack", *common)
        self.assertEqual(report["rows"] + report["split"]["left_out"], sum(1 for _ in open(self.dir / "train.csv")) - 1)
        schema = json.loads((self.dir / "model/schema.json").read_text())
        self.assertEqual([field["name"] for field in schema["fields"] if field["type"] == "category"], ["protocol_type", "service", "flag"])
        embedded = run("train", self.dir / "train.csv", "--label", "attack", *common, "--out", self.dir / "embedded")
        self.assertEqual(embedded.returncode, 0, embedded.stderr)
        self.compare(self.judged("model"), self.judged("embedded"))


@only_whole
class OfOtherTasks(SparkTest):
    def test_classes_groups_and_weights_in_parquet(self):
        table = self.dir / "machines.parquet"
        subprocess.run([f"{SPARK}/bin/python", "-c", "import sys, pyarrow.csv, pyarrow.parquet\n"
                        "pyarrow.parquet.write_table(pyarrow.csv.read_csv(sys.argv[1]), sys.argv[2])", self.data, table], check=True)
        report, _ = self.trained(table, "level", "--group", "unit", "--weight", "weight", "--ignore", "power,failed,day",
                                 "--seed", "4294967296", master="local[2]")
        self.assertEqual(report["task"], "multiclass")
        self.assertEqual(report["classes"], ["high", "low", "mid"])
        self.assertEqual(report["split"]["group"], {"column": "unit", "groups": 40})
        self.assertLess(abs(report["holdout_rows"] - 300), 200)
        # Every unit is there on the latest days.
        said = self.refused(self.data, "level", "--group", "unit", "--time", "day", "--ignore", "power,failed", master="local[2]", out="other")
        self.assertIn("no row is left to train on", said)

    def test_numbers_and_times_in_json_lines(self):
        table = self.dir / "machines.ndjson"
        numbers = ("Speed [rpm]", "torque", "power")
        table.write_text("".join(json.dumps({name: (float(cell) if cell else None) if name in numbers else cell for name, cell in row.items()}) + "\n"
                                 for row in machine_rows(1500)))
        report, reference = self.trained(table, "power", "--ignore", "level,failed", "--id", "unit", "--task", "regression", "--time", "day",
                                         master="local[2]")
        self.assertEqual(report["split"]["time"], {"column": "day"})
        self.assertLess(abs(report["holdout_rows"] - 300), 60)
        self.assertGreater(report["holdout"]["model"]["r2"]["value"], 0.9)
        torque = next(feature for feature in reference["features"] if feature["field"] == "torque")
        self.assertGreater(torque["missing"], 0)


class Refusals(SparkTest):
    def test_no_master(self):
        said = self.refused(self.data, "failed", master="spark://127.0.0.1:1")
        self.assertIn("the Spark master spark://127.0.0.1:1 does not answer (Connection refused)", said)

    @only_whole
    def test_no_worker_large_enough(self):
        said = self.refused(self.data, "failed", "--spark-conf", "spark.executor.memory=100g")
        self.assertIn("the cluster has had no worker for this job for 60 s", said)

    @only_whole
    def test_a_cluster_that_is_lost_half_way(self):
        other = Cluster()
        job = self.start(self.data, "failed", master=other.url)
        job.wait_for(r"inner fold 1 of 5")
        other.end(signal.SIGKILL)
        self.assertEqual(job.wait(), 1)
        self.assertRegex(job.said[-1], r"Spark: the cluster has had no worker for this job for 60 s.*\(log: ")
        self.assertEqual(self.left(), ["machines.csv", "model.spark.log"])

    def test_spark_too_old(self):
        (self.dir / "site").mkdir()
        (self.dir / "site/sitecustomize.py").write_text("import pyspark\npyspark.__version__ = '3.2.1'\n")
        submit = self.dir / "site/spark-submit"
        submit.write_text(f'#!/bin/sh\nPYTHONPATH={self.dir}/site exec {SPARK}/bin/spark-submit "$@"\n')
        submit.chmod(0o755)
        said = self.refused(self.data, "failed", "--spark-submit", submit, master="local[1]")
        self.assertIn("Spark 3.2.1 is too old: 3.4 or later is needed", said)

    def test_spark_refuses_the_settings(self):
        said = self.refused(self.data, "failed", "--spark-conf", "spark.driver.memory=nonsense", master="local[1]")
        self.assertIn("Spark: ", said)

    def test_no_program_and_no_such_master(self):
        for args, words in ((["--spark-submit", "/nowhere/spark-submit", "--master", "yarn"], "there is no program /nowhere/spark-submit"),
                            (["--master", "mesos://x"], "there is no Spark master 'mesos://x'"),
                            (["--master", "yarn", "--spark-conf", "memory"], "'memory' is no setting of Spark")):
            done = run("train", self.data, "--label", "failed", "--out", self.dir / "model", "--engine", "spark", *args)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(words, done.stderr)
        self.assertEqual(run("train", self.data, "--label", "failed", "--out", self.dir / "model", "--engine", "spark").returncode, 2)
        self.assertEqual(self.left(), ["machines.csv"])

    def test_an_interrupted_job_leaves_nothing(self):
        job = self.start(self.data, "failed")
        application = job.wait_for(r"application (app-\S+)").group(1)
        job.wait_for(r"inner fold 1 of 5")
        job.process.send_signal(signal.SIGINT)
        self.assertEqual(job.wait(60), 1)
        self.assertIn("interrupted", job.said[-1])
        self.assertEqual(self.left(), ["machines.csv"])
        cluster.master.wait_for(f"Removing app {application}")


if __name__ == "__main__":
    if why_not():
        print(f"skipped: spark_test: {why_not()}\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    run_tests(__name__)
