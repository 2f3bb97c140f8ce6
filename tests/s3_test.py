"""Commands that read tables from S3, against a server that checks signatures and rights. Prints "N passed, N failed, N skipped"."""
import base64
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

from hub_train_test import HubCase
from s3_server import Link, S3Server, why_not
from skerry_process import SKERRY, run_tests, write_table
from spark_cluster import ENVIRONMENT, Followed


def setUpModule():
    global server
    server = S3Server()
    unittest.addModuleCleanup(server.end)


class S3Test(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-s3-test-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        self.scratch = self.dir / "scratch"
        self.scratch.mkdir()
        self.bucket = f"lake-{self._testMethodName.replace('_', '-')[:50]}"
        server.boto(["bucket", self.bucket])

    def put(self, objects):
        server.boto(["put", self.bucket, {key: base64.b64encode(content).decode() for key, content in objects.items()}])

    def table(self, name, rows=600, seed=1):
        """A table here and, under runs/, in the bucket."""
        write_table(self.dir / name, rows, seed)
        self.put({f"runs/{name}": (self.dir / name).read_bytes()})
        return f"s3://{self.bucket}/runs/{name}"

    def environment(self, **more):
        return {**ENVIRONMENT, **server.environment(**more), "TMPDIR": str(self.scratch)}

    def skerry(self, *args, **environment):
        return subprocess.run([SKERRY, *map(str, args)], capture_output=True, text=True, timeout=120, check=False, env=self.environment(**environment))

    def done(self, *args, **environment):
        done = self.skerry(*args, **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(self.scratch.iterdir()), [])
        self.assertNotIn(str(self.scratch), done.stdout + done.stderr)
        return done

    def refused(self, *args, **environment):
        before = sorted(self.dir.iterdir())
        done = self.skerry(*args, **environment)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(list(self.scratch.iterdir()), [])
        self.assertEqual(sorted(self.dir.iterdir()), before)
        self.assertNotIn(str(self.scratch), done.stderr)
        for secret in (server.secret, server.stranger[1], *server.lent[1:]):
            self.assertNotIn(secret, done.stderr)
        return done.stderr

    def train(self, *data, out="model"):
        return ("train", *data, "--label", "failure", "--trees", "20", "--out", self.dir / out)

    def same(self, one, other):
        for file in sorted((self.dir / one).iterdir()):
            self.assertEqual(file.read_bytes(), (self.dir / other / file.name).read_bytes(), file.name)
        digests = [self.done("pack", self.dir / name, "--name", "m", "--version", "1", "--out", self.dir / f"{name}.oci") for name in (one, other)]
        found = [re.search("sha256:[0-9a-f]{64}", done.stdout).group(0) for done in digests]
        self.assertEqual(found[0], found[1])


class Reading(S3Test):
    def test_a_pattern_becomes_the_package_that_the_files_would(self):
        for seed in (1, 2, 3):
            self.table(f"{seed}.csv", seed=seed)
        # What the pattern does not mean, and more than a page before what it does.
        self.put({"runs/old/4.csv": b"x\n1\n", "runs/.5.csv": b"x\n", "runs/": b"", "other/6.csv": b"x\n", "runs/1.txt": b"x"}
                     | {f"runs/0{i}.json": b"{}" for i in range(1005)})
        self.done(*self.train(self.dir / "[1-3].csv", out="here"))
        done = self.done(*self.train(f"s3://{self.bucket}/runs/*.csv"))
        self.assertRegex(done.stderr, rf"fetching s3://{self.bucket}/runs/1.csv, ...: 0.0 of 0.\d MB, 0 of 3 objects")
        self.assertIn(f"reading s3://{self.bucket}/runs/3.csv", done.stderr)
        self.same("model", "here")
        self.assertEqual([file["file"] for file in json.loads((self.dir / "model/provenance.json").read_text())["data"]], ["1.csv", "2.csv", "3.csv"])

    def test_any_name_and_directories_in_the_pattern(self):
        write_table(self.dir / "a.csv")
        name = "dirs/day=1/a b+c%41&=é~.csv"
        self.put({name: (self.dir / "a.csv").read_bytes(), "dirs/x/day=2/a.csv": b"x\n1\n"})
        for address in (f"s3://{self.bucket}/{name}", f"s3://{self.bucket}/dirs/day=[0-9]/*.csv"):
            shown = self.done("train", address, "--label", "failure", "--print-schema")
            self.assertEqual(shown.stdout, self.done("train", self.dir / "a.csv", "--label", "failure", "--print-schema").stdout)

    def test_with_keys_that_are_lent(self):
        address = self.table("a.csv")
        key, secret, token = server.lent
        self.done("train", address, "--label", "failure", "--print-schema", AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=token)
        said = self.refused(*self.train(address), AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN="other")
        self.assertIn("Token", said)
        self.assertIn("are keys and AWS_SESSION_TOKEN lent together", said)

    def test_evaluate_compare_score_and_compact(self):
        address = self.table("a.csv")
        self.done(*self.train(address))
        self.done(*self.train(address, out="other"), "--seed", "2")
        for args in (("evaluate", self.dir / "model"), ("compare", self.dir / "model", self.dir / "other")):
            self.assertEqual(self.done(*args, address, "--json").stdout, self.done(*args, self.dir / "a.csv", "--json").stdout)
        self.done("evaluate", self.dir / "model", address, "--out", self.dir / "judged")
        self.assertIn("a.csv (sha256:", (self.dir / "judged/report.md").read_text())
        scored = [self.dir / "there.parquet", self.dir / "here.parquet"]
        for data, out in zip((address, self.dir / "a.csv"), scored):
            self.done("score", data, self.dir / "model", "--out", out)
        self.assertEqual(scored[0].read_bytes(), scored[1].read_bytes())
        self.put({f"scored/{i}.parquet": scored[0].read_bytes() for i in range(3)})
        self.assertIn("1,800 rows of 3 files in 1", self.done("compact", f"s3://{self.bucket}/scored/*.parquet", "--out", self.dir / "few").stdout)
        self.assertIn("means 3 objects, and one is read", self.refused("evaluate", self.dir / "model", f"s3://{self.bucket}/scored/*"))

    def test_objects_and_files_together(self):
        address = self.table("a.csv")
        write_table(self.dir / "b.csv", seed=2)
        self.done(*self.train(self.dir / "b.csv", address))
        self.done(*self.train(self.dir / "b.csv", self.dir / "a.csv", out="here"))
        self.same("model", "here")


class Faults(S3Test):
    def test_a_link_that_is_cut_again_and_again(self):
        address = self.table("a.csv", 4_000)
        link = Link(server.url, 20_000)
        self.addCleanup(link.end)
        self.done(*self.train(address), AWS_ENDPOINT_URL_S3=link.url)
        self.assertGreaterEqual(link.cuts, 3)
        self.done(*self.train(self.dir / "a.csv", out="here"))
        self.same("model", "here")

    def test_an_object_that_changes_while_it_is_read(self):
        address = self.table("a.csv", 30_000)
        link = Link(server.url, 200_000, then=lambda: self.put({"runs/a.csv": b"a,failure\n1,0\n"}))
        self.addCleanup(link.end)
        said = self.refused(*self.train(address), AWS_ENDPOINT_URL=link.url)
        self.assertIn(f"{address} changed while it was read: name objects that nothing writes to", said)

    def test_ctrl_c_leaves_nothing(self):
        address, held, go = self.table("a.csv", 30_000), threading.Event(), threading.Event()

        def hold():
            held.set()
            go.wait(60)
        link = Link(server.url, 200_000, then=hold)
        self.addCleanup(link.end)
        self.addCleanup(go.set)
        before = sorted(self.dir.iterdir())
        job = Followed(SKERRY, *self.train(address), environment=self.environment(AWS_ENDPOINT_URL=link.url))
        self.assertTrue(held.wait(60))
        job.process.send_signal(signal.SIGINT)
        go.set()
        self.assertEqual(job.wait(60), 1)
        self.assertIn("skerry train: interrupted", job.said)
        self.assertEqual((sorted(self.dir.iterdir()), list(self.scratch.iterdir())), (before, []))

    def test_a_disk_that_is_full(self):
        address = self.table("a.csv", 30_000)
        done = subprocess.run(["bash", "-c", 'ulimit -f 100 && exec "$0" "$@"', SKERRY, *map(str, self.train(address))], capture_output=True, text=True,
                              timeout=120, check=False, env=self.environment())
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("make room, or name another directory by TMPDIR", done.stderr)
        self.assertEqual(list(self.scratch.iterdir()), [])

    def test_what_is_refused(self):
        address = self.table("a.csv")
        nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        stranger = {"AWS_ACCESS_KEY_ID": server.stranger[0], "AWS_SECRET_ACCESS_KEY": server.stranger[1]}
        bucket = f"s3://{self.bucket}"
        for data, environment, words in (
                (address, nothing, ("there are no keys", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")),
                (address, {"AWS_SECRET_ACCESS_KEY": "other"}, (address, "SignatureDoesNotMatch", "is AWS_SECRET_ACCESS_KEY that of AWS_ACCESS_KEY_ID")),
                (f"{bucket}/runs/*", {"AWS_SECRET_ACCESS_KEY": "other"}, (f"{bucket}/runs/", "SignatureDoesNotMatch")),
                (address, {"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"}, (address, "InvalidAccessKeyId")),
                (address, stranger, (address, "AccessDenied", "may these keys read it?")),
                (f"{bucket}/runs/*.csv", stranger, ("AccessDenied",)),
                ("s3://lake-none/a.csv", {}, ("there is no bucket lake-none at http://127.0.0.1",)),
                ("s3://lake-none/*.csv", {}, ("there is no bucket lake-none at http://127.0.0.1",)),
                (f"{bucket}/runs", {}, (f"there is no object {bucket}/runs", f"{bucket}/runs/*.parquet")),
                (f"{bucket}/runs/*.parquet", {}, (f"no object matches {bucket}/runs/*.parquet",)),
                (bucket, {}, ("name objects in it",)),
                (address, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, (address, "is it running, and is AWS_ENDPOINT_URL its address?")),
                (address, {"AWS_ENDPOINT_URL": "somewhere"}, ("AWS_ENDPOINT_URL: 'somewhere' is no http or https URL",)),
                ("hdfs://x/a.csv", {}, ("hdfs://x/a.csv is read by Spark alone",))):
            with self.subTest(data=data, environment=environment):
                said = self.refused(*self.train(data), **environment)
                for part in words:
                    self.assertIn(part, said)
        self.assertIn("is named twice", self.refused(*self.train(address, f"{bucket}/runs/*.csv")))
        self.put({"runs/empty.csv": b"", "runs/head.csv": b"a,failure\n"})
        self.assertIn(f"{bucket}/runs/head.csv has a header and no rows", self.refused(*self.train(f"{bucket}/runs/head.csv")))
        self.assertIn(f"{bucket}/runs/empty.csv", self.refused(*self.train(f"{bucket}/runs/empty.csv")))


class ByTheHub(HubCase):
    def test_a_hub_trains_from_the_addresses_that_its_operator_named(self):
        server.boto(["bucket", "lake-hub"], ["put", "lake-hub", {"runs/a.csv": base64.b64encode(self.table.read_bytes()).decode()}])
        self.start("--train-address", "s3://lake-hub/runs/", environment={**ENVIRONMENT, **server.environment()})
        name = self.submit(data=["s3://lake-hub/runs/*.csv"])
        self.assertEqual(self.ended(name)["state"], "trained", self.seen[-1])
        self.check_scores("machines:1")
        status, answer = self.ask("POST", "/v1/runs", self.spec(model="machines:2", data=["s3://lake-hub/other/a.csv"]))
        self.assertEqual((status, "run.data[0]: s3://lake-hub/other/a.csv is not below" in answer["error"]), (403, True), answer)
        failed = self.ended(self.submit(model="machines:2", data=["s3://lake-hub/runs/none.csv"]))
        self.assertEqual(failed["state"], "failed")
        self.assertIn("there is no object s3://lake-hub/runs/none.csv", failed["reason"])


if __name__ == "__main__":
    if why_not():
        print(f"skipped: s3_test: {why_not()}\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    run_tests(__name__)
