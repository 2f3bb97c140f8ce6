"""Packages that look back over an entity's last rows, from the outside: train --window, then files, streams, requests and restarts give
the answers that the trees in model.onnx give of windows computed here, to the bit. Prints "N passed, N failed, N skipped"."""
import csv
import json
import math
import pathlib
import random
import tempfile
import time
import unittest
import urllib.request

from model_trees import Trees, float32
from skerry_process import Served, post, run, run_tests

NUMBERS = ["load", "heat"]
HEADER = ["hour", "machine", *NUMBERS, "level", "failed"]


def make_rows(count, seed):
    """A machine fails while its load rises; no row alone tells that it does. `level` is the mean of its last loads."""
    rng = random.Random(seed)
    drift, load, last = {}, {}, {}
    rows = []
    for hour in range(count):
        machine = f"m{rng.randrange(15):02}"
        if machine not in drift or rng.random() < 0.08:
            drift[machine] = rng.choice([4, -1, -1])
        load[machine] = 0.9 * load.get(machine, 0) + drift[machine] + rng.gauss(0, 1)
        last.setdefault(machine, []).append(load[machine])
        cell = "" if rng.random() < 0.04 else f"{load[machine]:.4f}"
        level = sum(last[machine][-5:]) / len(last[machine][-5:])
        rows.append([hour, machine if rng.random() > 0.02 else "", cell, f"{rng.gauss(0, 30):.3f}", f"{level:.4f}", int(drift[machine] > 0)])
    return rows


def write_rows(path, rows):
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([HEADER, *rows])


class History:
    """What docs/formats/model-package.md says of windows, row by row."""

    def __init__(self, schema):
        self.features = schema["windows"]["features"]
        self.rows = {}

    def inputs(self, row):
        machine, numbers = row[1], {name: float32(float(cell)) if cell else math.nan for name, cell in zip(NUMBERS, row[2:4])}
        history = self.rows.setdefault(machine, []) if machine else []
        history.append(numbers)
        return [*numbers.values(), *(float32(self.feature(history, **one)) for one in self.features)]

    @staticmethod
    def feature(history, statistic, of, rows, **_):
        if statistic == "lag":
            return history[-1 - rows][of] if len(history) > rows else math.nan
        points = [(float(place), one[of]) for place, one in enumerate(history[-rows:]) if not math.isnan(one[of])]
        if not points or (len(points) < 2 and statistic in ("sd", "slope")):
            return math.nan
        values = [value for _, value in points]
        if statistic in ("min", "max"):
            return {"min": min, "max": max}[statistic](values)
        mean = left_to_right(values) / len(values)
        if statistic == "mean":
            return mean
        if statistic == "sd":
            return math.sqrt(left_to_right([(value - mean) * (value - mean) for value in values]) / (len(values) - 1))
        middle = left_to_right([place for place, _ in points]) / len(points)
        together = left_to_right([(place - middle) * (value - mean) for place, value in points])
        return together / left_to_right([(place - middle) * (place - middle) for place, _ in points])


def left_to_right(numbers):  # sum() of Python 3.12 compensates
    total = 0.0
    for number in numbers:
        total += number
    return total


class Windows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-windows-")
        cls.dir = pathlib.Path(cls.temporary.name)
        cls.train, cls.later = make_rows(4000, 1), make_rows(900, 2)
        shuffled = list(cls.train)
        random.Random(3).shuffle(shuffled)
        write_rows(cls.dir / "train.csv", shuffled)  # --time puts them in order
        write_rows(cls.dir / "later.csv", cls.later)
        cls.reports = {}
        for name, options in {"failed": ["--window", "machine:3,10", "--ignore", "level"],
                              "plain": ["--ignore", "level", "--id", "machine"],
                              "level": ["--window", "machine:5", "--window-column", "load", "--ignore", "failed", "--task", "regression"]}.items():
            label = "failed" if name == "plain" else name
            done = run("train", cls.dir / "train.csv", "--label", label, "--time", "hour", "--name", name, "--out", cls.dir / name, "--json", *options)
            assert done.returncode == 0, done.stderr
            cls.reports[name] = json.loads(done.stdout)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def schema(self, name):
        return json.loads((self.dir / name / "schema.json").read_text())

    def margins(self, name, rows, history=None):
        trees, history = Trees(self.dir / name / "model.onnx"), history or History(self.schema(name))
        return [trees.margins(history.inputs(row))[0] for row in rows]

    @staticmethod
    def fields(row):
        return {"load": float(row[2]) if row[2] else None, "heat": float(row[3]), **({"machine": row[1]} if row[1] else {})}

    def value(self, server, row):
        answer = json.loads(post(f"{server.url}/v1/score?model=level", json.dumps(self.fields(row))))
        return float32(answer["results"][0]["value"])

    def serve(self, state, *names):
        return Served("serve", "--http", "127.0.0.1:0", "--state", state, *(f"{name}={self.dir / name}" for name in names))

    def test_history_tells_what_a_row_does_not(self):
        auc = {name: self.reports[name]["holdout"]["model"]["auc"] for name in ("plain", "failed")}
        self.assertGreater(auc["failed"]["low"], 0.85, auc)
        self.assertGreater(auc["failed"]["low"], auc["plain"]["high"] + 0.03, auc)
        schema = self.schema("failed")
        self.assertEqual((schema["format"], schema["windows"]["entity"], schema["windows"]["time"]), ("skerry-schema/1.2", "machine", "hour"))
        self.assertEqual(len(schema["windows"]["features"]), 26)
        self.assertIn("`load_slope_10`: slope of load over 10 rows", (self.dir / "failed/card.md").read_text())
        self.assertNotIn("windows", self.schema("plain"))
        evaluated = run("evaluate", self.dir / "failed", self.dir / "later.csv", "--json")
        self.assertEqual(evaluated.returncode, 0, evaluated.stderr)
        self.assertGreater(json.loads(evaluated.stdout)["auc"]["value"], 0.85)
        compared = run("compare", self.dir / "plain", self.dir / "failed", self.dir / "later.csv", "--json")
        self.assertEqual(compared.returncode, 0, compared.stderr)
        self.assertGreater(json.loads(compared.stdout)["gain"]["low"], 0)

    def test_files_are_scored_by_the_bits_of_the_rows_before(self):
        ordered = self.dir / "ordered.csv"
        write_rows(ordered, self.train)
        for name, rows, file in (("level", self.later, self.dir / "later.csv"), ("level", self.train, ordered), ("failed", self.later, self.dir / "later.csv")):
            for threads in ("1", "4"):
                done = run("score", file, self.dir / name, "--out", self.dir / "scored.csv", "--threads", threads)
                self.assertEqual(done.returncode, 0, done.stderr)
                with (self.dir / "scored.csv").open() as scored:
                    for row, margin, answer in zip(rows, self.margins(name, rows), csv.DictReader(scored), strict=True):
                        if name == "level":  # no link: to the last bit
                            self.assertEqual(float32(float(answer["value"])), margin, row)
                        else:
                            self.assertAlmostEqual(float(answer["score"]), 1 / (1 + math.exp(-margin)), delta=1e-6)
        text = (self.dir / "later.csv").read_text().replace("hour,machine,", "hour,unit,", 1)
        (self.dir / "nobody.csv").write_text(text)
        done = run("score", self.dir / "nobody.csv", self.dir / "level", "--out", self.dir / "not.csv")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no column for machine", done.stderr)

    def test_served_rows_answer_the_same_over_a_restart(self):
        wanted = self.margins("level", self.later)
        state = self.dir / "restart"
        got = []
        for part in (self.later[:200], self.later[200:201], self.later[201:500]):
            with self.serve(state, "level") as server:
                got += [self.value(server, row) for row in part]
                other = run("serve", "--http", "127.0.0.1:0", "--state", state, self.dir / "level")
                self.assertEqual(other.returncode, 1)
                self.assertIn("is in use by process", other.stderr)
        with self.serve(state, "level") as server:  # streams, and typed tensors with the machine as a parameter
            lines = "\n".join(json.dumps(self.fields(row)) for row in self.later[500:800])
            answers = post(f"{server.url}/v1/score", lines, "application/x-ndjson").splitlines()
            got += [float32(json.loads(line)["value"]) for line in answers]
            rows = self.later[800:]
            infer = {"inputs": [{"name": name, "datatype": "FP64", "shape": [len(rows)], "data": [self.fields(row)[name] for row in rows]} for name in NUMBERS],
                     "parameters": {"machine": [row[1] for row in rows]}}
            outputs = json.loads(post(f"{server.url}/v2/models/level/infer", json.dumps(infer)))["outputs"]
            got += [float32(value) for output in outputs if output["name"] == "value" for value in output["data"]]
        self.assertEqual(got, wanted)

    def test_killed_server_loses_what_was_not_saved_and_nothing_else(self):
        state = self.dir / "killed"
        rows = [row for row in self.later if row[1]]
        with self.serve(state, "level") as server:
            for row in rows[:200]:
                self.value(server, row)
            self.value(server, [0, "the last one", "1", "1"])
            deadline = time.monotonic() + 60
            while not any(b"the last one" in file.read_bytes() for file in state.glob("level@*.windows")):
                self.assertLess(time.monotonic(), deadline, "nothing was saved")
                time.sleep(0.05)
            for row in rows[200:260]:
                self.value(server, row)
            server.process.kill()
            server.process.wait(20)
        with self.serve(state, "level") as server:
            got = [self.value(server, row) for row in rows[260:400]]
        lost = []
        for saved in range(200, 261):
            history = History(self.schema("level"))
            for row in rows[:saved]:
                history.inputs(row)
            if self.margins("level", rows[260:400], history) == got:
                lost.append(260 - saved)
        self.assertTrue(lost, "what it goes on with is no state that it had since the saving")

    def test_a_server_without_a_directory_says_so(self):
        with Served("serve", "--http", "127.0.0.1:0", self.dir / "level", self.dir / "plain") as server:
            self.value(server, self.later[0])
            metrics = urllib.request.urlopen(f"{server.url}/metrics").read().decode()
            self.assertIn('skerry_window_entities_forgotten_total{model="level"} 0', metrics)
            self.assertNotIn('skerry_window_entities_forgotten_total{model="plain"}', metrics)
            server.log.seek(0)
            log = server.log.read().decode()
            self.assertIn("model level looks back over the last rows of each machine", log)
            self.assertNotIn("model plain", log)
            self.assertEqual(json.loads(urllib.request.urlopen(f"{server.url}/v1/models").read())["models"][0]["windows"]["entity"], "machine")

    def test_what_cannot_be_is_refused_with_the_reason(self):
        base = ["train", self.dir / "train.csv", "--label", "failed", "--out", self.dir / "not"]
        for options, words in ((["--window", "machine:10"], "--time"), (["--window", "machine", "--time", "hour"], "COLUMN:ROWS"),
                               (["--window", "machine:1", "--time", "hour"], "kWindowRows"), (["--window", "unit:10", "--time", "hour"], "'unit'"),
                               (["--window", "machine:10", "--time", "hour", "--from-disk"], "fit in memory"),
                               (["--window", "machine:10", "--time", "hour", "--engine", "spark", "--master", "local[1]"], "embedded engine alone"),
                               (["--window-column", "load"], "--window")):
            done = run(*base, *options)
            self.assertNotEqual(done.returncode, 0, done.stdout)
            self.assertIn(words, done.stderr)
            self.assertFalse((self.dir / "not").exists())
        package = self.dir / "later-version"
        package.mkdir()
        for file in (self.dir / "level").iterdir():
            (package / file.name).write_bytes(file.read_bytes())
        schema = self.schema("level")
        schema["windows"]["features"][0]["statistic"] = "median"
        (package / "schema.json").write_text(json.dumps(schema))
        done = run("evaluate", package, self.dir / "later.csv")
        self.assertEqual(done.returncode, 1)
        self.assertIn('windows.features[0].statistic is "median"; this version of skerry knows mean, sd, min, max, slope, lag', done.stderr)


if __name__ == "__main__":
    run_tests(__name__)
