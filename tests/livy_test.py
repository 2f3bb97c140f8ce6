"""skerry train --livy, against a server that speaks the documented API and runs spark-submit on a real cluster. Prints "N passed, N failed, N skipped"."""
import json
import os
import pathlib
import signal
import sys
import tempfile
import unittest

from livy_server import LivyServer
from skerry_process import SKERRY, only_whole, run, run_tests, write_table
from spark_cluster import Cluster, Followed, why_not


def setUpModule():
    global cluster
    cluster = Cluster()
    unittest.addModuleCleanup(cluster.end)


class LivyTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-livy-test-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        self.data = self.dir / "table.csv"
        write_table(self.data, 1200)

    def serve(self, master=None, password=None):
        server = LivyServer(master or cluster.url, password)
        self.addCleanup(server.end)
        return server

    def start(self, server, *args, environment=None):
        return Followed(SKERRY, "train", self.data, "--label", "failure", "--out", self.dir / "model", "--engine", "spark", "--livy", server.url,
                        "--return-listen", "127.0.0.1:0", "--trees", "30", "--spark-conf", "spark.executor.memory=700m",
                        "--spark-conf", "spark.driver.memory=1g", *args, environment=environment)

    def left(self):
        return sorted(path.name for path in self.dir.iterdir())

    def test_ends_in_a_package(self):
        server = self.serve(password="secret")
        job = self.start(server, environment={"LIVY_USER": "livy", "LIVY_PASSWORD": "secret"})
        self.assertEqual(job.wait(), 0, "\n".join(job.said))
        said = "\n".join(job.said)
        self.assertRegex(said, r"Livy batch \d+: running, application app-")
        self.assertIn("inner fold 5 of 5", said)
        self.assertEqual(self.left(), ["model", "table.csv"])
        report = json.loads((self.dir / "model/report.json").read_text())
        self.assertRegex(report["engine"], r"^Spark 3\.\d+\.\d+, XGBoost ")
        self.assertGreater(report["holdout"]["model"]["auc"]["value"], 0.9)
        self.assertLessEqual(report["max_model_difference"], 1e-6)
        scored = run("score", self.data, self.dir / "model", "--out", self.dir / "scored.csv")
        self.assertEqual(scored.returncode, 0, scored.stderr)
        methods = [method for method, _ in server.requests]
        self.assertEqual((methods.count("POST"), methods.count("DELETE")), (1, 0))

    def refused(self, job):
        self.assertEqual(job.wait(), 1, "\n".join(job.said))
        return job.said[-1]

    def test_a_job_that_fails_says_why(self):
        with open(self.data, "a") as file:
            file.write("1,2,x,\n")
        said = self.refused(self.start(self.serve("local[2]")))
        self.assertIn("label", said)
        self.assertEqual(self.left(), ["table.csv"])
        # What only the cluster finds: the workers see another file under the path.
        write_table(self.data, 1200)
        said = self.refused(self.start(self.serve("local[2]"), "--spark-conf", "spark.hadoop.fs.file.impl=nowhere.FileSystem"))
        self.assertRegex(said, r"Spark: .*nowhere.FileSystem.* \(log: " + str(self.dir / "model.spark.log"))
        self.assertEqual(self.left(), ["model.spark.log", "table.csv"])

    @only_whole
    def test_a_batch_that_never_spoke_is_told_by_its_log(self):
        said = self.refused(self.start(self.serve("local[2]"), "--spark-conf", "spark.driver.memory=nonsense"))
        self.assertIn("Spark: Error: ", said)
        self.assertIn(f"(log: {self.dir}/model.spark.log)", said)
        self.assertIn("nonsense", (self.dir / "model.spark.log").read_text())

    @only_whole
    def test_ctrl_c_deletes_the_batch(self):
        server = self.serve()
        job = self.start(server)
        job.wait_for("inner fold 1 of 5")
        batch = next(iter(server.batches.values()))
        job.process.send_signal(signal.SIGINT)
        self.assertIn("interrupted", self.refused(job))
        self.assertEqual(self.left(), ["table.csv"])
        self.assertEqual(server.requests[-1], ("DELETE", f"/batches/{batch.number}"))
        self.assertIsNotNone(batch.process.poll())

    @only_whole
    def test_a_batch_that_others_end(self):
        server = self.serve("local[2]")
        job = self.start(server)
        job.wait_for("inner fold 1 of 5")
        next(iter(server.batches.values())).kill()
        self.assertIn("Spark: the batch was killed (log: ", self.refused(job))
        job = self.start(server)
        job.wait_for("inner fold 1 of 5")
        batch = list(server.batches.values())[-1]
        server.route("DELETE", f"/batches/{batch.number}", {"X-Requested-By": "somebody"}, b"")
        self.assertIn(f"batch {batch.number} was deleted from Livy by somebody else", self.refused(job))

    @only_whole
    def test_the_job_ends_when_skerry_is_gone(self):
        server = self.serve("local[2]")
        job = self.start(server)
        job.wait_for("inner fold 1 of 5")
        batch = next(iter(server.batches.values()))
        os.kill(job.process.pid, signal.SIGKILL)
        self.assertNotEqual(batch.process.wait(120), 0)

    def test_what_cannot_begin(self):
        server = self.serve(password="secret")
        self.assertIn("set LIVY_USER and LIVY_PASSWORD", self.refused(self.start(server)))
        environment = {"LIVY_USER": "livy", "LIVY_PASSWORD": "secret"}
        said = self.refused(self.start(server, "--spark-conf", "spark.master=local", environment=environment))
        self.assertIn("Blacklisted configuration values in session config: spark.master", said)
        common = ["train", self.data, "--label", "failure", "--out", self.dir / "model", "--engine", "spark"]
        for args, status, words in (
                (["--livy", "http://127.0.0.1:1", "--return-listen", "127.0.0.1:0"], 1, "Livy"),
                (["--livy", "cluster:8998", "--return-listen", "127.0.0.1:0"], 1, "'cluster:8998' is no http or https URL"),
                (["--livy", server.url, "--return-listen", "0.0.0.0:0"], 1, "tell by --return-url"),
                (["--livy", server.url, "--return-listen", "127.0.0.1:0", "--return-url", "ftp://x"], 1, "'ftp://x' is no http or https URL"),
                (["--livy", server.url], 2, "--livy and --return-listen go together"),
                (["--livy", server.url, "--return-listen", "127.0.0.1:0", "--master", "yarn"], 2, "one of --master and --livy")):
            done = run(*common, *args)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn(words, done.stderr)
        self.assertEqual(self.left(), ["table.csv"])


if __name__ == "__main__":
    if why_not():
        print(f"skipped: livy_test: {why_not()}\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    run_tests(__name__)
