"""Trainings that a hub runs: asked for, followed, refused, cancelled and interrupted, by its API and its commands; with SKERRY_SPARK on a real cluster,
too. Prints "N passed, N failed, N skipped"."""
import json
import os
import pathlib
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

from livy_server import LivyServer
from skerry_process import SKERRY, Served, only_whole, post, run, run_tests, write_table
from spark_cluster import ENVIRONMENT, Cluster, why_not

LONG = {"trees": 100_000, "learning_rate": 0.0001, "depth": 12}  # hours


def processes_of(directory):
    """The command lines that name the directory."""
    found = []
    for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if str(directory) in line:
            found.append(line)
    return found


class HubCase(unittest.TestCase):
    pause = threading.Event()
    any_certificate = ssl._create_unverified_context()

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-hub-train-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        self.data, self.tables = self.dir / "hub", self.dir / "tables"
        self.tables.mkdir()
        self.table = self.tables / "machines.csv"
        write_table(self.table, 1200)
        self.hub = None
        self.addCleanup(lambda: self.hub and self.hub.stop())

    def start(self, *args, environment=None, plain=("--plain-http",)):
        self.hub = Served("hub", "--data", self.data, "--listen", "127.0.0.1:0", *plain, "--train-from", self.tables, *args, environment=environment)
        endpoint = json.loads((self.data / "endpoint.json").read_text())
        self.url, self.token = endpoint["url"], pathlib.Path(endpoint["token_file"]).read_text().strip()

    def ask(self, method, path, body=None):
        """(status, answer): JSON, or the text of an answer that is none."""
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.any_certificate) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        return status, json.loads(text) if text.startswith(("{", "[")) else text

    def spec(self, **members):
        return {"kind": "train", "model": "machines:1", "data": [str(self.table)], "label": "failure", "trees": 30} | members

    def submit(self, **members):
        status, answer = self.ask("POST", "/v1/runs", self.spec(**members))
        self.assertEqual(status, 202, answer)
        return answer["run"]

    def wait_until(self, name, is_it, seconds=900):
        """The first description of the run that fits; every one is kept in self.seen."""
        self.seen = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.seen:
                self.pause.wait(0.1)  # asking without a break would take the cores that train
            status, described = self.ask("GET", f"/v1/runs/{name}")
            self.assertEqual(status, 200, described)
            self.seen.append(described)
            if is_it(described):
                return described
        self.fail(f"run {name}: {self.seen[-1]}")

    def ended(self, name):
        return self.wait_until(name, lambda described: described["state"] not in ("queued", "running"))

    def at_work(self, name, words):
        return self.wait_until(name, lambda described: words in ((described["progress"] or {}).get("step") or ""))

    def models(self):
        return [f"{model['name']}:{model['version']}" for model in self.ask("GET", "/v1/models")[1]["models"]]

    def left(self, name):
        return sorted(path.name for path in (self.data / "runs" / name).iterdir())

    def sites_segments(self):
        """Trains machines:1, rolls it out to a site, has it score 3,000 rows and waits until they are in the hub's lake."""
        lines = self.table.read_text().splitlines()
        self.table.write_text("\n".join([lines[0] + ",truth", *(f"{line},{line[-1]}" for line in lines[1:])]) + "\n")
        self.assertEqual(self.ended(self.submit(context=["truth"]))["state"], "trained", self.seen[-1])
        policy, config, token = self.dir / "policy.yaml", self.dir / "site.yaml", self.dir / "north.token"
        policy.write_text("skerry: policy/1\nname: machines\nversion: 1\nfields: {a: keep, b: keep, kind: keep, truth: keep}\n"
                          "derived: {prediction: keep, score: keep, anomaly_score: keep, reasons: keep, event_time: keep}\nclasses: {sample: {rate: 1}}\n")
        config.write_text("hub: {interval: 200ms}\noutbox: {segment_rows: 1000, segment_age: 1s}\n")
        for command in (("policy", "push", policy), ("token", "north", "--out", token)):
            done = run(*command, "--hub", self.data)
            self.assertEqual(done.returncode, 0, done.stderr)
        site = Served("site", "--data", self.dir / "site", "--token-file", token, "--http", "127.0.0.1:0", "--config", config)
        self.addCleanup(site.stop)
        done = run("deploy", "machines:1", "--policy", "machines:1", "--sites", "north", "--hub", self.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        write_table(self.dir / "rows.csv", 3000, seed=5)
        rows = (self.dir / "rows.csv").read_text().replace("failure", "truth")
        self.until(lambda: post(f"{site.url}/v1/score?model=machines", rows, "text/csv").count("score") >= 3000)
        self.until(lambda: sum(1 for file in (self.data / "lake").glob("class=sample/*/*/*.parquet") if not file.name.startswith(".")) >= 3)

    def until(self, is_it, seconds=120):
        deadline = time.monotonic() + seconds
        while not is_it():
            self.assertLess(time.monotonic(), deadline)
            self.pause.wait(0.2)

    def check_scores(self, model):
        """The package that the registry gives, its signature verified, scores."""
        pulled = run("pull", model, "--hub", self.data, "--out", self.dir / "pulled")
        self.assertEqual(pulled.returncode, 0, pulled.stderr)
        evaluated = run("evaluate", self.dir / "pulled", self.table, "--json")
        self.assertEqual(evaluated.returncode, 0, evaluated.stderr)
        self.assertGreater(json.loads(evaluated.stdout)["auc"]["value"], 0.9)
        scored = run("score", self.table, self.dir / "pulled", "--out", self.dir / "scored.csv")
        self.assertEqual(scored.returncode, 0, scored.stderr)
        self.assertEqual(len((self.dir / "scored.csv").read_text().splitlines()), 1201)


class Trainings(HubCase):
    def test_a_table_becomes_a_signed_model_that_scores(self):
        self.start()
        (self.dir / "training.yaml").write_text(
            f"kind: train\nmodel: machines:1\ndata: ['{self.tables}/*.csv']\nlabel: failure\ntrees: 40\nthreshold: 'cost=1:20'\n"
            "columns: {format: skerry-columns/1, columns: {b: {role: context}}}\n")
        done = run("run", "start", self.dir / "training.yaml", "--hub", self.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"run \w+: trained\n  model machines:1\n  log ")
        self.assertIn("run ", done.stderr)
        listed = self.ask("GET", "/v1/runs")[1]["runs"]
        self.assertEqual([(one["state"], one["model"]) for one in listed], [("trained", "machines:1")])
        described = self.ask("GET", f"/v1/runs/{listed[0]['run']}")[1]
        self.assertEqual(described["report"]["threshold_goal"], "cost=1:20")
        self.assertLessEqual(described["report"]["trees"], 40)
        self.assertIn("exporting the trees", described["log_tail"])
        self.assertEqual(self.ask("GET", "/v1/models")[1]["models"][0]["signed"], True)
        schema = json.loads((self.data / "runs" / listed[0]["run"] / "package/schema.json").read_text())
        self.assertEqual([field["role"] for field in schema["fields"] if field["name"] == "b"], ["context"])
        self.check_scores("machines:1")
        status, answer = self.ask("POST", "/v1/runs", self.spec())
        self.assertEqual((status, answer["error"]), (409, "models/machines has a version 1 already"))
        shown = run("run", "show", "--hub", self.data)
        self.assertRegex(shown.stdout, r"train +trained +machines:1")

    def test_same_package_as_by_the_command_line(self):
        self.start()
        name = self.submit(seed=7, threads=1, ignore=["kind"], bins=64)
        self.assertEqual(self.ended(name)["state"], "trained", self.seen[-1])
        done = run("train", self.table, "--label", "failure", "--name", "machines", "--trees", 30, "--seed", 7, "--threads", 1, "--ignore", "kind", "--bins", 64,
                   "--out", self.dir / "same")
        self.assertEqual(done.returncode, 0, done.stderr)
        for file in sorted((self.dir / "same").iterdir()):
            self.assertEqual(file.read_bytes(), (self.data / "runs" / name / "package" / file.name).read_bytes(), file.name)

    def test_what_is_wrong_is_refused_at_once(self):
        self.start()
        (self.dir / "secret.csv").write_text("a,failure\n1,0\n")
        (self.tables / "way.csv").symlink_to(self.dir / "secret.csv")
        for members, status, words in (
                ({"data": [str(self.dir / "secret.csv")]}, 403, "run.data[0]: "),
                ({"data": [str(self.table), f"{self.tables}/../secret.csv"]}, 403, "run.data[1]: "),
                ({"data": [f"{self.tables}/way.csv"]}, 403, "is a link to a file that this hub does not train from"),
                ({"data": [str(self.data / "admin.token")]}, 403, "run.data[0]: "),
                ({"data": [f"{self.tables}/none.csv"]}, 404, "run.data[0]: there is no file"),
                ({"data": ["s3://plant/a.csv"]}, 403, "run.data[0]: s3://plant/a.csv is not below what this hub trains from: none"),
                ({"data": ["hdfs://plant/a.csv"]}, 400, "run.data[0]: hdfs://plant/a.csv is read by Spark alone"),
                ({"label": "faild"}, 400, 'run.label: machines.csv has no column "faild"; it has a, b, kind, failure'),
                ({"time": "day"}, 400, "run.time: "),
                ({"treez": 3}, 400, "run: unknown key 'treez'"),
                ({"trees": 0}, 400, "run.trees: is from 1 to 100000, not 0"),
                ({"bins": 1}, 400, "run.bins: is from 2 to 65536, not 1"),
                ({"window": "kind"}, 400, "run.window: "),
                ({"out": "/tmp/x"}, 400, "run: unknown key 'out'"),
                ({"engine": "spark", "master": "local[*]"}, 403, "run.master: this hub does not train at local[*]")):
            self.assertEqual((status, True), (lambda answer: (answer[0], words in answer[1]["error"]))(self.ask("POST", "/v1/runs", self.spec(**members))),
                             self.ask("POST", "/v1/runs", self.spec(**members)))
        self.assertEqual(self.ask("GET", "/v1/runs")[1]["runs"], [])
        (self.dir / "bad.json").write_text(json.dumps(self.spec(label="faild")))
        done = run("run", "start", self.dir / "bad.json", "--hub", self.data)
        self.assertEqual(done.returncode, 1)
        self.assertIn("run.label", done.stderr)

    def test_a_failure_is_told_in_a_sentence_with_its_log(self):
        self.start()
        write_table(self.tables / "few.csv", 12)
        name = self.submit(data=[f"{self.tables}/few.csv"], ignore=["kind"])
        failed = self.ended(name)
        self.assertEqual(failed["state"], "failed")
        log = self.data / "runs" / name / "log.txt"
        self.assertRegex(failed["reason"], rf"^[^\n]*training rows[^\n]* \(log: {log}\)$")
        self.assertEqual(self.left(name), ["log.txt", "spec.json"])
        self.assertEqual(self.ask("GET", f"/v1/runs/{name}/log"), (200, log.read_text()))
        self.assertEqual(run("run", "log", name, "--hub", self.data).stdout, log.read_text())
        self.assertEqual(self.ask("GET", f"/v1/runs/{name}/log?of=spark")[0], 404)
        self.assertEqual(self.models(), [])

    def test_the_log_is_given_in_its_end_alone(self):
        self.start()
        name = self.submit()
        self.ended(name)
        log = self.data / "runs" / name / "log.txt"
        log.write_text("x" * 20_000 + "end\n")
        status, text = self.ask("GET", f"/v1/runs/{name}/log")
        self.assertEqual((status, len(text), text[-4:]), (200, 16 << 10, "end\n"))

    def test_cancelled_in_the_middle_nothing_is_left(self):
        self.start()
        name, waits = self.submit(**LONG), self.submit(model="machines:2", **LONG)
        self.at_work(name, "choosing the number of trees")
        self.assertTrue(processes_of(self.data / "runs" / name))
        self.assertEqual(self.ask("POST", f"/v1/runs/{waits}/cancel"), (202, {"run": waits, "state": "cancelled"}))
        done = run("run", "cancel", name, "--hub", self.data)
        self.assertEqual((done.returncode, done.stdout), (0, f"run {name}: it was asked to end\n"), done.stderr)
        self.assertEqual(self.ended(name)["state"], "cancelled")
        self.assertEqual(processes_of(self.data / "runs" / name), [])
        self.assertEqual(self.left(name), ["log.txt", "spec.json"])
        self.assertFalse((self.data / "runs" / waits).exists())
        self.assertEqual(self.models(), [])
        self.assertEqual(self.ask("POST", f"/v1/runs/{name}/cancel")[0], 412)
        self.assertEqual(self.ended(self.submit())["state"], "trained")  # the next one has its turn

    def test_a_hub_that_is_killed_ends_its_run_and_goes_on_with_the_next(self):
        self.start()
        name, waits = self.submit(**LONG), self.submit(model="machines:2")
        self.at_work(name, "choosing the number of trees")
        self.hub.process.send_signal(signal.SIGKILL)
        self.hub.stop()
        self.start()
        interrupted = self.ended(name)
        self.assertEqual((interrupted["state"], interrupted["reason"]), ("interrupted", "the hub stopped during the run; start it again"))
        self.assertEqual(processes_of(self.data / "runs" / name), [])
        self.assertEqual(self.left(name), ["log.txt", "spec.json"])
        self.assertEqual(self.ended(waits)["state"], "trained")
        self.assertEqual(self.models(), ["machines:2"])

    def test_a_hub_that_is_stopped_ends_its_run(self):
        self.start()
        name = self.submit(**LONG)
        self.at_work(name, "choosing the number of trees")
        self.hub.stop()
        self.assertEqual(processes_of(self.data / "runs" / name), [])
        self.assertEqual(self.left(name), ["log.txt", "spec.json"])
        self.start()
        self.assertEqual(self.ask("GET", f"/v1/runs/{name}")[1]["state"], "interrupted")

    def test_following_says_how_a_run_ended(self):
        self.start()
        (self.dir / "long.json").write_text(json.dumps(self.spec(**LONG)))
        followed = subprocess.Popen([SKERRY, "run", "start", self.dir / "long.json", "--hub", self.data], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True)
        while not (runs := self.ask("GET", "/v1/runs")[1]["runs"]):
            pass
        self.at_work(runs[0]["run"], "choosing the number of trees")
        self.ask("POST", f"/v1/runs/{runs[0]['run']}/cancel")
        _, said = followed.communicate(timeout=60)
        self.assertEqual(followed.returncode, 1)
        self.assertIn(f"run {runs[0]['run']} was cancelled: cancelled", said)

    def test_directories_that_are_none_are_refused_at_the_start(self):
        for directory, words in ((self.dir / "none", "there is no directory"), (self.dir, "not apart")):
            done = run("hub", "--data", self.data, "--listen", "127.0.0.1:0", "--train-from", directory)
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)


class ClusterCase(HubCase):
    SETTINGS = ("--spark-conf", "spark.executor.memory=700m", "--spark-conf", "spark.driver.memory=1g")

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.end)


@unittest.skipIf(why_not(), f"with Spark: {why_not()}")
class OnSpark(ClusterCase):
    def setUp(self):
        super().setUp()
        self.start("--train-master", self.cluster.url, "--train-master", "spark://127.0.0.1:1", *self.SETTINGS, environment=ENVIRONMENT)

    def test_followed_to_its_model(self):
        name = self.submit(engine="spark", master=self.cluster.url)
        trained = self.ended(name)
        self.assertEqual(trained["state"], "trained", trained)
        self.assertRegex(trained["report"]["engine"], r"^Spark 3\.\d+\.\d+, XGBoost ")
        told = [described["progress"] for described in self.seen if described["progress"]]
        self.assertTrue({0.2, 0.4, 0.6, 0.8} <= {progress["step_fraction"] for progress in told}, told)
        self.assertTrue(any("inner fold 3 of 5, 2 at work" in progress["step"] for progress in told))
        self.assertTrue(any(progress["tasks_fraction"] is not None and " of 2 tasks" in progress["tasks"] for progress in told), told)
        self.check_scores("machines:1")

    @only_whole
    def test_trains_from_the_segments_of_a_site_as_they_lie_in_the_lake(self):
        self.hub.stop()
        self.start("--train-master", self.cluster.url, *self.SETTINGS, environment=ENVIRONMENT, plain=())  # sites are known by their certificates
        self.sites_segments()
        common = {"data": ["lake/class=sample/model_name=machines/*/*.parquet"], "label": "ctx_truth", "task": "classification",
                  "context": ["instance", "n", "seq", "event_time", "clock", "mono_us", "model", "role", "prediction", "score", "anomaly_score", "reasons",
                              "select_reason", "sample_prob", "primary"]}
        names = [self.submit(model="machines:3", **common), self.submit(model="machines:4", engine="spark", master=self.cluster.url, **common)]
        reports = [self.ended(name)["report"] for name in names]
        for report, name in zip(reports, names):
            self.assertIsNotNone(report, self.ask("GET", f"/v1/runs/{name}/log"))
            self.assertEqual(report["rows"], 3000)
            self.assertGreater(report["holdout"]["model"]["auc"]["value"], 0.9)
        schemas = [(self.data / "runs" / name / "package/schema.json").read_text().replace('"version": "4"', '"version": "3"') for name in names]
        self.assertEqual(*schemas)
        self.assertIn("encodings that this Spark reads row by row alone", self.ask("GET", f"/v1/runs/{names[1]}/log")[1])

    @only_whole
    def test_cancelled_on_the_cluster(self):
        name = self.submit(engine="spark", master=self.cluster.url, **LONG)
        self.at_work(name, "inner fold 1 of 5")
        application = self.ask("GET", f"/v1/runs/{name}/log")[1].partition(", application ")[2].split()[0]
        self.assertEqual(self.ask("POST", f"/v1/runs/{name}/cancel")[0], 202)
        self.assertEqual(self.ended(name)["state"], "cancelled")
        self.assertEqual(processes_of(self.data / "runs" / name), [])
        self.assertEqual(self.left(name), ["log.txt", "spec.json"])
        self.cluster.master.wait_for(f"Removing app {application}")
        self.assertEqual(self.models(), [])

    @only_whole
    def test_a_killed_hub_ends_its_job_on_the_cluster(self):
        name = self.submit(engine="spark", master=self.cluster.url, **LONG)
        self.at_work(name, "inner fold 1 of 5")
        application = self.ask("GET", f"/v1/runs/{name}/log")[1].partition(", application ")[2].split()[0]
        self.hub.process.send_signal(signal.SIGKILL)
        self.hub.stop()
        self.start()
        self.assertEqual(self.ended(name)["state"], "interrupted")
        self.assertEqual(processes_of(self.data / "runs" / name), [])
        self.assertEqual(self.left(name), ["log.txt", "spec.json"])
        self.cluster.master.wait_for(f"Removing app {application}")

    def test_a_failed_job_says_why_and_its_log_is_read_by_the_api(self):
        name = self.submit(engine="spark", master="spark://127.0.0.1:1")
        failed = self.ended(name)
        self.assertEqual(failed["state"], "failed")
        log = self.data / "runs" / name / "package.spark.log"
        self.assertIn("the Spark master spark://127.0.0.1:1 does not answer", failed["reason"])
        self.assertTrue(failed["reason"].endswith(f"(log: {log})"), failed["reason"])
        self.assertEqual(self.left(name), ["log.txt", "package.spark.log", "spec.json"])
        status, text = self.ask("GET", f"/v1/runs/{name}/log?of=spark")
        self.assertEqual((status, text), (200, log.read_text()[-(16 << 10):]))


@unittest.skipIf(why_not(), f"with Spark: {why_not()}")
class ByLivy(ClusterCase):
    """Against the small server of livy_server.py, which runs spark-submit on the cluster."""

    def serve(self, password="secret"):
        self.livy = LivyServer(self.cluster.url, "secret")
        self.addCleanup(self.livy.end)
        self.start("--train-livy", self.livy.url, "--return-listen", "127.0.0.1:0", *self.SETTINGS,
                   environment={**os.environ, "LIVY_USER": "livy", "LIVY_PASSWORD": password})

    def asked(self):
        return [method for method, _ in self.livy.requests if method != "GET"]

    @only_whole
    def test_followed_to_its_model(self):
        self.serve()
        status, answer = self.ask("POST", "/v1/runs", self.spec(engine="spark", livy="http://127.0.0.1:1"))
        self.assertEqual((status, "run.livy: this hub does not train at http://127.0.0.1:1" in answer["error"]), (403, True), answer)
        name = self.submit(engine="spark", livy=self.livy.url)
        trained = self.ended(name)
        self.assertEqual(trained["state"], "trained", trained)
        self.assertRegex(trained["report"]["engine"], r"^Spark 3\.\d+\.\d+, XGBoost ")
        self.assertRegex(trained["log_tail"], r"Livy batch \d+: running, application app-")
        told = [described["progress"]["step_fraction"] for described in self.seen if described["progress"]]
        self.assertTrue({0.2, 0.4, 0.6, 0.8} <= set(told), told)
        self.check_scores("machines:1")
        self.assertEqual(self.asked(), ["POST"])

    @only_whole
    def test_cancelled_the_batch_is_deleted(self):
        self.serve()
        name = self.submit(engine="spark", livy=self.livy.url, **LONG)
        self.at_work(name, "inner fold 1 of 5")
        batch = next(iter(self.livy.batches.values()))
        self.assertEqual(self.ask("POST", f"/v1/runs/{name}/cancel")[0], 202)
        self.assertEqual(self.ended(name)["state"], "cancelled")
        self.assertIsNotNone(batch.process.poll())
        self.assertEqual(self.asked(), ["POST", "DELETE"])
        self.assertEqual(processes_of(self.data / "runs" / name), [])
        self.assertEqual(self.left(name), ["log.txt", "spec.json"])

    @only_whole
    def test_what_livy_refuses_is_told(self):
        self.serve(password="other")
        name = self.submit(engine="spark", livy=self.livy.url)
        failed = self.ended(name)
        self.assertEqual(failed["state"], "failed")
        self.assertIn("set LIVY_USER and LIVY_PASSWORD", failed["reason"])
        self.assertEqual(self.left(name), ["log.txt", "spec.json"])


if __name__ == "__main__":
    run_tests(__name__)
