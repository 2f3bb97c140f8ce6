"""skerry train s3://... --engine spark, from a server of S3 on loopback (moto). Prints "N passed, N failed, N skipped"."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.request

from s3_server import MOTO, why_not as why_no_server
from skerry_process import SKERRY, only_whole, run, run_tests, write_table
from spark_cluster import SPARK, Followed, why_not

S3 = pathlib.Path(os.environ.get("SKERRY_SPARK_S3", "/nowhere"))
JARS = ",".join(str(jar) for jar in sorted(S3.glob("*.jar")))


def setUpModule():
    global environment
    server = Followed(MOTO / "bin/moto_server", "-H", "127.0.0.1", "-p", "0")
    unittest.addModuleCleanup(server.end)
    environment = {"AWS_ENDPOINT_URL": server.wait_for(r"Running on (http://\S+)").group(1), "AWS_ACCESS_KEY_ID": "test",
                   "AWS_SECRET_ACCESS_KEY": "testtest", "AWS_REGION": "us-east-1"}


def store(name, content=None):
    """Puts an object, or makes a bucket."""
    request = urllib.request.Request(f"{environment['AWS_ENDPOINT_URL']}/{name}", data=content, method="PUT",
                                     headers={"Content-Type": "application/octet-stream"})
    urllib.request.urlopen(request, timeout=20).close()


class S3Test(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-s3-test-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        self.bucket = f"lake-{self._testMethodName.replace('_', '-')[:40]}"
        store(self.bucket)

    def start(self, data, *args, more=None, out="model"):
        return Followed(SKERRY, "train", data, "--label", "failure", "--out", self.dir / out, "--trees", "30", "--engine", "spark", "--master", "local[2]",
                        "--spark-conf", f"spark.jars={JARS}", "--spark-conf", "spark.driver.memory=1g", *args, environment={**environment, **(more or {})})

    def refused(self, *args, **named):
        job = self.start(*args, **named)
        self.assertEqual(job.wait(), 1, "\n".join(job.said))
        self.assertEqual(sorted(path.name for path in self.dir.iterdir() if not path.name.endswith(".spark.log")), [])
        return job.said[-1]

    def parquet(self, name, seed):
        """The table as Parquet, in self.dir and in the bucket."""
        write_table(self.dir / "table.csv", 800, seed)
        subprocess.run([f"{SPARK}/bin/python", "-c", "import sys, pyarrow.csv, pyarrow.parquet\n"
                        "pyarrow.parquet.write_table(pyarrow.csv.read_csv(sys.argv[1]), sys.argv[2])", self.dir / "table.csv",
                        self.dir / name], check=True)
        store(f"{self.bucket}/runs/{name}", (self.dir / name).read_bytes())

    def test_parquet_becomes_the_package_that_the_files_would(self):
        for seed in (1, 2, 3):
            self.parquet(f"{seed}.parquet", seed)
        job = self.start(f"s3://{self.bucket}/runs/*.parquet")
        self.assertEqual(job.wait(), 0, "\n".join(job.said))
        self.assertIn("3 files", "\n".join(job.said))
        done = run("train", self.dir / "*.parquet", "--label", "failure", "--out", self.dir / "embedded", "--trees", "30")
        self.assertEqual(done.returncode, 0, done.stderr)
        schemas = [json.loads((self.dir / name / "schema.json").read_text()) for name in ("model", "embedded")]
        self.assertEqual(schemas[0], schemas[1])
        report = json.loads((self.dir / "model/report.json").read_text())
        self.assertEqual(report["rows"], 2400)
        self.assertRegex(report["data_digest"], "^sha256:[0-9a-f]{64}$")
        self.assertGreater(report["holdout"]["model"]["auc"]["value"], 0.9)
        self.assertIn(f"s3://{self.bucket}/runs/*.parquet: 3 files", (self.dir / "model/card.md").read_text())

    @only_whole
    def test_csv_with_semicolons(self):
        write_table(self.dir / "table.csv", 1500)
        store(f"{self.bucket}/table.csv", (self.dir / "table.csv").read_bytes().replace(b",", b";"))
        job = self.start(f"s3://{self.bucket}/table.csv")
        self.assertEqual(job.wait(), 0, "\n".join(job.said))
        schema = json.loads((self.dir / "model/schema.json").read_text())
        self.assertEqual([(field["name"], field["type"]) for field in schema["fields"]], [("a", "number"), ("b", "number"), ("kind", "category")])

    def test_what_is_not_there(self):
        self.assertIn(f"no file matches s3://{self.bucket}/runs/*.parquet", self.refused(f"s3://{self.bucket}/runs/*.parquet"))
        self.assertIn("lake2", self.refused("s3://lake2/*.parquet"))
        said = self.refused(f"s3://{self.bucket}/runs/*.parquet", "--spark-conf", "spark.jars=")
        self.assertIn("it lacks Hadoop's S3 file system (--spark-conf spark.jars.packages=org.apache.hadoop:hadoop-aws:3.3.", said)

    def test_what_does_not_go_together(self):
        for args, words in ((["s3://lake/a.csv", "b.csv", "--engine", "spark", "--master", "local[1]"], "name data of one kind"),
                            (["s3://lake/a.csv", "--print-schema", "--engine", "spark", "--master", "local[1]"], "columns are looked at on this machine")):
            done = run("train", *args, "--label", "failure", "--out", self.dir / "model")
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(words, done.stderr)


def why_no_s3():
    return why_not() or why_no_server() or ("" if JARS else "what Spark reads S3 with is not installed (make spark-test installs it)")


if __name__ == "__main__":
    if why_no_s3():
        print(f"skipped: spark_s3_test: {why_no_s3()}\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    run_tests(__name__)
