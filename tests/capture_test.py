"""Stateless scorers whose site keeps their rows (skerry serve --capture): the site and scorers are killed under load in each mode, answers are lost on
their way, the model is rolled; what was answered as captured is in the outbox, nothing twice, and the numbers add up. Prints "N passed, N failed, N skipped"."""
import json
import re
import socket
import threading
import time
import unittest
import urllib.error
import urllib.request

from plant import Plant, PlantCase, free_port, good
from skerry_process import Served, run, run_tests

POLICY = """skerry: policy/1
name: demo
version: 1
default: drop
fields:
  a: {action: round, to: 0.5}
  b: keep
derived: {prediction: keep, score: keep, anomaly_score: keep, reasons: keep, event_time: keep, status: keep}
classes:
  anomaly: {when: "anomaly"}
  sample: {rate: 1}
"""


class ScoredPlant(Plant):
    """A plant whose site keeps one port, and scorers beside it."""

    def __init__(self, *args):
        super().__init__(*args)
        self.site_port, self.keys, self.key = free_port(), self.dir / "scorer.keys", self.dir / "scorer.key"
        self.key.write_text(good("api-key", "scorer", "--keys", self.keys))
        self.key.chmod(0o600)

    def start_site(self, name="site"):
        self.running[name] = Served("site", "--data", self.dir / name, "--token-file", self.dir / "token", "--http", f"127.0.0.1:{self.site_port}",
                                    "--scorer-keys", self.keys)

    def start_scorer(self, name, *options, port=None, key=None):
        self.running[name] = Served("serve", "--http", "127.0.0.1:0", "--capture", f"http://127.0.0.1:{port or self.site_port}",
                                    "--capture-key-file", key or self.key, *options)
        return self.running[name]

    def await_ready(self, *names):
        for name in names:
            wait_for(lambda name=name: ask(self.running[name].url + "/v2/health/ready")[0] == 200)

    def outbox(self):
        return self.site("GET", "/v1/outbox")["counters"]

    def metric(self, at, name):
        text = urllib.request.urlopen(self.running[at].url + "/metrics", timeout=10).read().decode()
        return int(float(re.search(rf"^{name} (\S+)$", text, re.M).group(1)))


def ask(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def wait_for(condition, seconds=60, facts=lambda: ""):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"it did not come about {facts()}"
        time.sleep(0.02)


class Load:
    """Clients of one scorer, one row a request, each on a connection of its own: what they were answered."""

    def __init__(self, plant, at, clients=4):
        self.captured, self.uncaptured, self.refused, self.slowest, self.going = [], [], [], 0.0, True
        self.broken = 0
        self.body = json.dumps({"inputs": [{"name": n, "datatype": t, "shape": [1], "data": [v]} for n, t, v in
                                           (("a", "FP32", 41.5), ("b", "FP32", 0.25), ("kind", "BYTES", "x"))]}).encode()
        self.url = plant.running[at].url + "/v2/models/demo/infer"
        self.threads = [threading.Thread(target=self.client) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def client(self):
        while self.going:
            began = time.monotonic()
            try:
                with urllib.request.urlopen(urllib.request.Request(self.url, self.body), timeout=60) as answer:
                    ids = json.loads(answer.read())["parameters"]
                    where = self.captured if answer.headers.get("Skerry-Captured") is None else self.uncaptured
                    where.append(f"{ids['instance']}-{ids['first_n']}")
            except urllib.error.HTTPError as refused:
                self.refused.append((refused.code, refused.headers.get("Retry-After"), refused.read().decode()))
                time.sleep(0.005)
            except OSError:
                self.broken += 1
                time.sleep(0.01)
            self.slowest = max(self.slowest, time.monotonic() - began)

    def answers(self):
        return len(self.captured) + len(self.uncaptured) + len(self.refused)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.going = False
        for thread in self.threads:
            thread.join()


class LossyDoor(threading.Thread):
    """A TCP door to the site that takes every request in and loses each third answer on its way back, with the connection."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.target, self.listener, self.lost, self.answers = port, socket.create_server(("127.0.0.1", 0)), 0, 0
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(near, socket.create_connection(("127.0.0.1", self.target))), daemon=True).start()

    def carry(self, near, far):
        def onward():
            while data := near.recv(1 << 16):
                far.sendall(data)
            far.close()
        threading.Thread(target=lambda: self.quietly(onward), daemon=True).start()
        self.quietly(lambda: self.back(near, far))

    @staticmethod
    def quietly(work):
        try:
            work()
        except OSError:
            pass

    def back(self, near, far):
        while data := far.recv(1 << 16):
            if b'"kept"' in data:
                self.answers += 1
                if self.answers % 3 == 0:
                    self.lost += 1
                    break
            near.sendall(data)
        near.shutdown(socket.SHUT_RDWR)
        near.close()


class CaptureTest(PlantCase):
    def make(self, *scorers):
        """A plant with a site, and scorers with the options given, ready."""
        plant = self.make_plant("")
        plant = ScoredPlant(plant.dir, plant.package, POLICY)
        self.addCleanup(plant.stop)
        plant.deploy()
        for number, options in enumerate(scorers):
            plant.start_scorer(f"scorer{number}", *options)
        plant.await_ready(*[f"scorer{number}" for number in range(len(scorers))])
        return plant

    def kill_and_start_site(self, plant, load, away=0.3):
        """The site is killed under load, stays away for a while, and comes back; load goes on after."""
        plant.kill("site")
        time.sleep(away)
        plant.start_site()
        enough = len(load.captured) + 50
        wait_for(lambda: len(load.captured) > enough)

    def check(self, plant, loads, scorers=("scorer0",)):
        """What was answered as captured is in the outbox, what is there beside it was never answered so, nothing is twice, and all is counted."""
        captured, uncaptured = [row for load in loads for row in load.captured], [row for load in loads for row in load.uncaptured]
        self.assertEqual(len(set(captured)), len(captured))
        # What was under way when its client was answered is settled a little later.
        numbered = lambda: sum(plant.metric(name, f"skerry_capture_{what}_rows_total") for name in scorers for what in ("handed_over", "lost"))
        wait_for(lambda: plant.outbox()["scored"] == numbered(), 20, lambda: f"{plant.outbox()} of {numbered()}")
        counters = plant.outbox()
        plant.fates_of_all(captured)  # raises where one is missing
        here = counters["scored"] - counters["not_captured"]
        found = sum(len(plant.site("POST", "/v1/rows/lookup", {"rows": uncaptured[i:i + 500]})["fates"]) for i in range(0, len(uncaptured), 500))
        refused = sum(len(load.refused) for load in loads)
        self.assertGreaterEqual(here, len(captured) + found)
        self.assertLessEqual(here, len(captured) + found + refused)
        plant.verify()
        plant.drain()
        truth = plant.reconciliation()
        self.assertTrue(truth["balanced"], truth)
        truth = truth["terms"]
        self.assertEqual((truth["scored"], truth["not_captured"], truth["received"]), (counters["scored"], counters["not_captured"], here), truth)
        return counters, here

    def test_waiting_scorers_lose_and_repeat_nothing_while_the_site_is_killed(self):
        plant = self.make(["--capture-timeout-ms", 60000], ["--capture-timeout-ms", 60000])
        with Load(plant, "scorer0") as first, Load(plant, "scorer1") as second:
            for _ in range(3):
                self.kill_and_start_site(plant, first)
        counters, here = self.check(plant, [first, second], ("scorer0", "scorer1"))
        self.assertEqual([first.refused, second.refused, first.uncaptured, second.uncaptured, first.broken, second.broken], [[], [], [], [], 0, 0])
        self.assertEqual((here, counters["not_captured"]), (len(first.captured) + len(second.captured), 0))
        self.assertGreater(min(first.slowest, second.slowest), 0.3)

    def test_answering_scorers_answer_at_once_and_the_hub_learns_what_was_not_kept(self):
        plant = self.make(["--capture-outage", "answer"])
        with Load(plant, "scorer0") as load:
            for _ in range(2):
                self.kill_and_start_site(plant, load)
        counters, here = self.check(plant, [load])
        self.assertEqual(load.refused, [])
        self.assertGreater(len(load.uncaptured), 5)
        self.assertEqual(counters["scored"], len(load.captured) + len(load.uncaptured))
        self.assertGreaterEqual(here, len(load.captured))

    def test_refusing_scorers_refuse_with_a_time_to_come_again(self):
        plant = self.make(["--capture-outage", "refuse"])
        with Load(plant, "scorer0") as load:
            self.kill_and_start_site(plant, load)
        self.check(plant, [load])
        self.assertEqual((load.uncaptured, {refusal[:2] for refusal in load.refused}), ([], {(503, "1")}))
        self.assertIn("could not be kept", load.refused[0][2])

    def test_a_waiting_scorer_refuses_at_its_timeout(self):
        plant = self.make(["--capture-timeout-ms", 300])
        plant.kill("site")
        began = time.monotonic()
        with self.assertRaises(urllib.error.HTTPError) as refused:
            plant.score(2, "scorer0")
        self.assertEqual((refused.exception.code, refused.exception.headers["Retry-After"]), (503, "1"))
        self.assertLess(time.monotonic() - began, 2)
        plant.start_site()
        wait_for(lambda: plant.outbox()["not_captured"] == 2)
        self.assertEqual(len(plant.fates(plant.score(3, "scorer0"))), 3)

    def test_a_killed_scorer_takes_nothing_along_that_it_answered_for(self):
        plant = self.make([], [])
        with Load(plant, "scorer0") as first, Load(plant, "scorer1") as second:
            wait_for(lambda: first.answers() > 50)
            plant.kill("scorer0")
            enough = second.answers() + 50
            wait_for(lambda: second.answers() > enough)
        plant.fates_of_all(first.captured + second.captured)
        counters = plant.outbox()
        self.assertGreaterEqual(counters["scored"], len(first.captured) + len(second.captured))
        self.assertLessEqual(counters["scored"], len(first.captured) + len(second.captured) + 4)  # one a client, whose answer was on its way
        self.assertEqual((counters["not_captured"], second.refused), (0, []))
        plant.verify()

    def test_an_answer_that_is_lost_on_its_way_makes_no_row_twice(self):
        plant = self.make()
        door = LossyDoor(plant.site_port)
        self.addCleanup(door.listener.close)
        plant.start_scorer("scorer0", "--capture-timeout-ms", 60000, port=door.port)
        plant.await_ready("scorer0")
        with Load(plant, "scorer0") as load:
            wait_for(lambda: door.lost > 10)
        counters, here = self.check(plant, [load])
        self.assertEqual((load.refused, load.uncaptured, here, counters["not_captured"]), ([], [], len(load.captured), 0))

    def test_an_async_scorer_keeps_what_its_queue_holds_over_an_outage(self):
        plant = self.make(["--capture-mode", "async"])
        plant.kill("site")
        rows = [row for _ in range(30) for row in plant.score(5, "scorer0")]
        plant.start_site()
        wait_for(lambda: plant.outbox()["scored"] == len(rows))
        plant.fates_of_all(rows)
        served = plant.running["scorer0"]
        rows += plant.score(7, "scorer0")
        plant.running.pop("scorer0")
        served.stop()  # hands over first
        plant.fates_of_all(rows)

    def test_rows_come_out_as_if_the_site_had_scored_them(self):
        plant = self.make([])
        for at in ("site", "scorer0"):
            plant.rng.seed(5)
            for rows in (1, 40, 200):
                plant.score(rows, at)
        for cls, least in (("sample", 200), ("anomaly", 1)):
            records = [json.loads(line) for line in good("outbox", "tail", "--class", cls, "--rows", 500, "--data", plant.site_data).splitlines()]
            own = [sorted((r["n"], {k: v for k, v in r.items() if k not in ("seq", "instance", "n", "event_time", "mono_us")}) for r in records
                          if r["instance"] == instance) for instance in {r["instance"] for r in records}]
            self.assertEqual(len(own), 2, cls)
            self.assertGreaterEqual(len(own[0]), least)
            self.assertEqual(*own)

    def test_scorers_follow_the_model_and_need_no_site_to_start_again(self):
        plant = self.make(["--capture-cache", self.root / "cache"])
        rows = plant.score(3, "scorer0")
        good("pack", plant.package, "--name", "demo", "--version", "2", "--out", plant.dir / "oci2")
        good("sign", plant.dir / "oci2", "--key", plant.hub_data / "keys/model.key")
        good("push", plant.dir / "oci2", "--hub", plant.hub_data)
        good("deploy", "demo:2", "--policy", "demo:1", "--sites", "north", "--hub", plant.hub_data)
        good("outbox", "sync", "--data", plant.site_data)
        self.assertEqual(plant.site("GET", "/v1/site")["model"]["version"], "2")
        rows += plant.score(3, "scorer0")  # of the package before, or the new one already
        version = lambda: json.loads(ask(plant.running["scorer0"].url + "/v2/models/demo")[1])["versions"]
        wait_for(lambda: version() == ["2"])
        plant.fates_of_all(rows + plant.score(3, "scorer0"))
        plant.running.pop("scorer0").stop()
        plant.kill("site")
        plant.start_scorer("scorer0", "--capture-cache", self.root / "cache", "--capture-outage", "answer")
        plant.await_ready("scorer0")
        self.assertEqual(version(), ["2"])
        plant.score(1, "scorer0")
        self.assertFalse(plant.captured)

    def test_who_has_no_key_gets_and_gives_nothing(self):
        plant = self.make()
        wrong = plant.dir / "wrong.key"
        wrong.write_text("no such key\n")
        wrong.chmod(0o600)
        plant.start_scorer("scorer0", key=wrong)
        time.sleep(0.5)
        self.assertNotEqual(ask(plant.running["scorer0"].url + "/v2/health/ready")[0], 200)
        for path, body in (("/v1/capture/package", None), ("/v1/capture", b"SKH")):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(plant.running["site"].url + path, body), timeout=10)
            self.assertEqual(refused.exception.code, 401)
        key = {"Authorization": "Bearer " + plant.key.read_text().strip()}
        for body in (b"SKH", b"SKH\x02" + bytes(60), b"SKH\x01" + bytes(16) + b"\x01" + bytes(60), b"junk" * 100):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(plant.running["site"].url + "/v1/capture", body, key), timeout=10)
            self.assertIn(refused.exception.code, (400, 501))
        unknown = b"SKH\x01" + bytes(range(16)) + (1).to_bytes(8, "little") + bytes(9) + bytes(8) + b"\x47sha256:" + b"a" * 64 + (1).to_bytes(4, "little")
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(plant.running["site"].url + "/v1/capture", unknown, key), timeout=10)
        self.assertEqual(refused.exception.code, 412)
        self.assertRegex(refused.exception.read().decode(), "does not run the package sha256:a+: it runs demo:1")

    def test_options_that_do_not_go_together_are_refused(self):
        for options, words in ((["--capture", "http://127.0.0.1:1"], "--capture-key-file"), (["--capture", "http://site.example:8000"], "plain HTTP"),
                               (["--capture", "ftp://x"], "--capture"), (["--capture", "http://127.0.0.1:1", "model"], "name none"),
                               (["--capture", "http://127.0.0.1:1", "--capture-outage", "hope"], "hope"),
                               (["--capture", "http://127.0.0.1:1", "--capture-mode", "async", "--capture-outage", "answer"], "async")):
            done = run("serve", "--http", "127.0.0.1:0", *options)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    run_tests(__name__)
