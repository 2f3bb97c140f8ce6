"""docs/training.md, followed word by word: the blocks of its sections are what is run, by a shell, in a home directory of its own, where names such as
`cluster` and the document's ports are of a network namespace of the test's. With SKERRY_SPARK also what it does on a Spark cluster and from S3, with
SKERRY_MLFLOW_PYTHON what it tells MLflow. Not followed: Livy's section (tests/livy_test.py). Prints "N passed, N failed, N skipped"."""
import csv
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

from s3_server import MOTO, why_not as why_no_server
from skerry_process import SKERRY, only_whole, post, run_tests
from spark_cluster import SPARK, Followed, why_not

ROOT = pathlib.Path(__file__).resolve().parent.parent
MLFLOW, JARS = os.environ.get("SKERRY_MLFLOW_PYTHON", ""), pathlib.Path(os.environ.get("SKERRY_SPARK_S3", "/nowhere"))
INSIDE = "SKERRY_TEST_INSIDE"
COLUMNS = ["machine", "day", "plant", "shift", "age", "load", "torque", "speed", "failed"]
# Where a company's own Maven repository stands in for the public one, which is out of reach here: what spark.jars.packages finds.
IVY = """<ivysettings><settings defaultResolver="own"/><resolvers><filesystem name="own" m2compatible="true">
<ivy pattern="{0}/[organisation]/[module]/[revision]/[module]-[revision].pom"/>
<artifact pattern="{0}/[organisation]/[module]/[revision]/[module]-[revision].[ext]"/></filesystem></resolvers></ivysettings>"""
POM = """<project><modelVersion>4.0.0</modelVersion><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>{}</project>"""
NEEDS = """<dependencies><dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency></dependencies>"""


def in_a_namespace():
    """Goes on as another process, with a network and mounts of its own."""
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        print("skipped: training_doc_test: namespaces cannot be made here\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    os.execvpe(unshare[0], [*unshare, sys.executable, __file__, *sys.argv[1:]], {**os.environ, INSIDE: "1"})


def setUpModule():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    kept = tempfile.TemporaryDirectory(prefix="skerry-doc-net-")
    unittest.addModuleCleanup(kept.cleanup)
    hosts, tables = pathlib.Path(kept.name, "hosts"), pathlib.Path(kept.name, "srv")
    hosts.write_text(f"127.0.0.1 localhost cluster tracking {os.uname().nodename}\n")
    tables.mkdir()
    for source, target in ((hosts, "/etc/hosts"), (tables, "/srv")):
        subprocess.run(["mount", "--bind", source, target], check=True)
        unittest.addModuleCleanup(subprocess.run, ["umount", target], check=True)


def sections():
    """{heading: its blocks}"""
    parts = re.split(r"(?m)^#{2,3} (.*)\n", (ROOT / "docs/training.md").read_text())
    return {title: re.findall(r"(?ms)^```(?:yaml)?\n(.*?)^```$", words) for title, words in zip(parts[1::2], parts[2::2])}


def write_machines(path, first_day, days, seed, label=True):
    """A row a machine and day: a machine fails where its load was high for days, or power and age are."""
    rng, rows = random.Random(seed), []
    for machine in range(40):
        before = [40.0]
        for day in range(first_day, first_day + days):
            load, torque, speed, age = (0.8 * before[-1] + rng.gauss(8, 6), rng.gauss(40, 10), rng.gauss(1500, 200), machine % 13 + day / 365)
            before.append(load)
            margin = (sum(before[-5:]) / len(before[-5:]) - 45) / 3 + (torque * speed / 1000 - 62) / 9 + age / 6 - 1.6 + rng.gauss(0, 0.5)
            rows.append([f"m{machine:02}", time.strftime("%Y-%m-%d", time.gmtime(1767225600 + 86400 * day)), "NS"[machine % 2], rng.choice(["early", "late", "night"]),
                         f"{age:.2f}", f"{load:.2f}" if rng.random() > 0.03 else "", f"{torque:.2f}", f"{speed:.0f}", int(margin > 0)])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS[:None if label else -1], *(row if label else row[:-1] for row in rows)])


class Reader(unittest.TestCase):
    """Who follows the document: a home directory, a shell, and terminals."""

    def setUp(self):
        self.sections = sections()
        temporary = tempfile.TemporaryDirectory(prefix="skerry-doc-")
        self.addCleanup(temporary.cleanup)
        self.home = pathlib.Path(temporary.name)
        (self.home / "bin").mkdir()
        (self.home / "bin/skerry").symlink_to(SKERRY)
        self.environment = {"HOME": str(self.home), "PATH": f"{self.home}/bin:{os.environ['PATH']}", "TMPDIR": str(self.home)}
        self.exports = ""
        write_machines(self.home / "machines.csv", 0, 30, 1)
        write_machines(self.home / "later.csv", 30, 15, 2)
        write_machines(self.home / "new.csv", 45, 2, 3, label=False)

    def block(self, section, number, *replaced):
        words = self.sections[section][number]
        for word, by in replaced:
            self.assertIn(word, words)
            words = words.replace(word, str(by))
        return words

    def follow(self, words):
        """What the commands print, both streams."""
        self.exports += "".join(line + "\n" for line in words.splitlines() if line.startswith("export "))
        done = subprocess.run(["bash", "-euc", f"cd {self.home}\n{self.exports}{words}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=900, check=False, env={**os.environ, **self.environment})
        self.assertEqual(done.returncode, 0, f"{words}\n{done.stdout}")
        return done.stdout

    def terminal(self, words, ready):
        """A terminal in which the command goes on running."""
        terminal = Followed("bash", "-euc", f"cd {self.home}\n{self.exports}exec {words}", environment=self.environment)
        self.addCleanup(lambda: terminal.process.poll() is None and terminal.end())
        terminal.wait_for(ready)
        return terminal

    def csv_to_package(self):
        self.follow(self.block("1. Look at what is inferred", 0))
        for block in self.sections["3. Train"]:
            self.follow(block)

    def read(self, path):
        return json.loads((self.home / path).read_text())


class OnThisMachine(Reader):
    def test_from_a_csv_to_a_package_that_is_judged_and_used(self):
        self.csv_to_package()
        model, windows = self.read("model/report.json"), self.read("model2/report.json")
        for report in (model, windows):
            self.assertGreater(report["holdout"]["model"]["auc"]["value"], 0.8)
            self.assertLessEqual(report["max_model_difference"], 1e-6)
        self.assertEqual(windows["split"]["time"], {"column": "day"})
        self.assertTrue((self.home / "model/card.md").read_text().startswith("# "))

        *commands, serve = self.block("4. Judge it on other rows, and use it", 0).splitlines()
        said = self.follow("\n".join(commands))
        self.assertRegex(said, "difference [+].*: the second is better")
        self.assertEqual(self.read("later/report.json")["rows"], 600)
        with (self.home / "scored.csv").open(newline="") as file:
            scored = list(csv.DictReader(file))
        self.assertEqual(len(scored), 80)
        self.terminal(serve, "127.0.0.1:8000")
        answered = post("http://127.0.0.1:8000/v1/score?model=machines", (self.home / "new.csv").read_text(), "text/csv")
        served = [json.loads(line)["score"] for line in answered.splitlines()]
        self.assertEqual(served, [float(row["score"]) for row in scored])

    @unittest.skipUnless(MLFLOW, "MLflow is not installed (make mlflow-test)")
    def test_with_mlflow(self):
        server = Followed("setsid", MLFLOW, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "5000", "--allowed-hosts", "tracking:5000",
                          "--workers", "1", "--backend-store-uri",
                          f"sqlite:///{self.home}/runs.db", "--artifacts-destination", self.home / "files",
                          environment={"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"})
        self.addCleanup(server.process.wait, 30)
        self.addCleanup(os.killpg, server.process.pid, signal.SIGKILL)  # it has processes of its own
        server.wait_for("startup complete")
        self.follow(self.block("1. Look at what is inferred", 0))
        self.follow(self.block("With MLflow", 0))
        found = [path.name for path in (self.home / "files").rglob("*") if path.is_file()]
        self.assertIn("card.md", found)


@unittest.skipIf(why_not(), f"with Spark: {why_not()}")
@only_whole
class OnACluster(Reader):
    SPARK_HERE = "With Spark"

    def setUp(self):
        super().setUp()
        self.spark_in_an_environment()
        for number, words in enumerate(self.block(self.SPARK_HERE, 2).splitlines()[:2]):
            self.terminal(words, ("Starting Spark master", "Successfully registered with master")[number])
        self.tables = pathlib.Path(re.search(r"'(/\S+)/\*\.parquet'", self.block(self.SPARK_HERE, 0)).group(1))
        self.tables.mkdir(parents=True, exist_ok=True)
        self.addCleanup(shutil.rmtree, self.tables)
        self.in_parquet()

    def spark_in_an_environment(self):
        """The lines that make it, but that what pip would fetch is there already: of the versions that the document names."""
        make, export, train = self.block(self.SPARK_HERE, 1).splitlines()
        installed = {name.lower(): version for name, version in (line.split("==") for line in subprocess.run(
            [f"{SPARK}/bin/python", "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout.splitlines() if "==" in line)}
        wanted = re.findall(r"'([a-z-]+)==([0-9.]+)'", make)
        self.assertEqual({name: installed[name] for name, _ in wanted}, dict(wanted))
        (self.home / "spark").symlink_to(SPARK)
        self.follow(export)
        self.of_one_machine = train

    def in_parquet(self):
        subprocess.run([f"{SPARK}/bin/python", "-c", "import sys, pyarrow.csv, pyarrow.parquet\ntable = pyarrow.csv.read_csv(sys.argv[1])\n"
                        "for i in range(4): pyarrow.parquet.write_table(table.slice(i * 300, 300), f'{sys.argv[2]}/{i}.parquet')",
                        self.home / "machines.csv", self.tables], check=True)

    def lake_on_s3(self):
        """A server of S3 with the files, and a repository that has what Spark reads it with."""
        server = Followed(MOTO / "bin/moto_server", "-H", "127.0.0.1", "-p", "0")
        self.addCleanup(server.end)
        url = server.wait_for(r"Running on (http://\S+)").group(1)
        for name, content in (("plant", None), *((f"plant/machines/{file.name}", file.read_bytes()) for file in self.tables.iterdir())):
            put = urllib.request.Request(f"{url}/{name}", data=content, method="PUT", headers={"Content-Type": "application/octet-stream"})
            urllib.request.urlopen(put, timeout=60).close()
        self.environment |= {"AWS_ENDPOINT_URL": url, "SPARK_CONF_DIR": str(self.home / "conf")}
        jars = [line.split()[0].split(":") for line in (ROOT / "third_party/spark-jars.txt").read_text().splitlines() if not line.startswith("#")]
        for place, (group, name, version) in enumerate(jars):
            at = self.home / "maven" / group.replace(".", "/") / name / version
            at.mkdir(parents=True)
            (at / f"{name}-{version}.jar").symlink_to(JARS / f"{name}-{version}.jar")
            needs = NEEDS.format(*jars[1]) if place == 0 else ""
            (at / f"{name}-{version}.pom").write_text(POM.format(group, name, version, needs))
        (self.home / "ivy.xml").write_text(IVY.format(self.home / "maven"))
        (self.home / "conf").mkdir()
        (self.home / "conf/spark-defaults.conf").write_text(f"spark.jars.ivySettings {self.home}/ivy.xml\nspark.jars.ivy {self.home}/ivy\n")
        return [("AWS_ACCESS_KEY_ID=...", "AWS_ACCESS_KEY_ID=test"), ("AWS_SECRET_ACCESS_KEY=...", "AWS_SECRET_ACCESS_KEY=testtest")]

    def is_as_good(self, model, other):
        """The figures on later rows lie in the other's intervals."""
        one, two = (json.loads(self.follow(f"skerry evaluate {name} later.csv --json")) for name in (model, other))
        for figure in ("auc", "average_precision"):
            self.assertGreaterEqual(one[figure]["value"], two[figure]["low"], figure)
            self.assertLessEqual(one[figure]["value"], two[figure]["high"], figure)

    def test_on_one_machine_and_on_the_cluster(self):
        self.follow(self.of_one_machine)
        self.follow(self.block(self.SPARK_HERE, 2).splitlines()[2])
        self.assertRegex(self.read("tried2/report.json")["engine"], "^Spark 3")
        self.assertEqual(self.read("tried/schema.json"), self.read("tried2/schema.json"))
        self.follow(self.block(self.SPARK_HERE, 0))
        self.assertEqual(self.read("model3/report.json")["rows"], 1200)

    @unittest.skipIf(why_no_server(), f"from S3: {why_no_server()}")
    def test_from_a_lake_on_s3_to_the_package_that_the_csv_becomes(self):
        self.csv_to_package()
        keys = self.lake_on_s3()
        said = self.follow(self.block("From S3", 0, *keys))
        spark = self.read("model-lake/report.json")
        self.assertRegex(spark["engine"], "^Spark 3")
        self.assertEqual(spark["rows"], 1200)
        self.assertEqual(self.read("model-lake/schema.json"), self.read("model/schema.json"))
        self.assertEqual(sorted(file.name for file in (self.home / "model-lake").iterdir()), sorted(file.name for file in (self.home / "model").iterdir()))
        self.assertRegex(said, "difference [+-]")
        self.is_as_good("model-lake", "model")
        # Without Spark: the objects are fetched.
        self.follow(self.block("Tables on S3", 0, *keys))
        self.assertEqual(self.read("model-s3/schema.json")["fields"], self.read("model/schema.json")["fields"])

    def test_by_the_hub(self):
        hub, training, commands = self.sections["By the hub"]
        (self.home / "training.yaml").write_text(training)
        self.terminal(hub, "127.0.0.1:8443")
        start, show, log, cancel, deploy = commands.splitlines()
        first = self.terminal(start, "inner fold 1")
        name = re.search(r"\b[0-9a-f]{12}\b", self.follow(show)).group(0)
        self.follow(cancel.replace("0a1b2c3d4e5f", name))
        self.assertEqual(first.wait(60), 1)
        self.follow(start)
        runs = self.follow(show)
        self.assertIn("cancelled", runs)
        name = next(re.search(r"\b[0-9a-f]{12}\b", line).group(0) for line in runs.splitlines() if "trained" in line)
        self.assertIn("inner fold 5", self.follow(log.replace("0a1b2c3d4e5f", name)))
        (self.home / "policy.yaml").write_text("skerry: policy/1\nname: machines\nversion: 1\nfields: {load: keep}\nclasses: {sample: {rate: 1}}\n")
        self.follow("skerry policy push policy.yaml --hub hub-data; skerry token north --hub hub-data --out north.token")
        self.terminal("skerry site --data north --token-file north.token --http 127.0.0.1:8000", "127.0.0.1:8000")
        self.follow(deploy)


if __name__ == "__main__":
    if INSIDE not in os.environ:
        in_a_namespace()
    run_tests(__name__)
