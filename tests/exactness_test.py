"""Trains on tables with texts and missing cells from the outside, and holds what is served against the trees in model.onnx, read and
added up here. Prints "N passed, N failed, N skipped"."""
import csv
import json
import math
import pathlib
import random
import tempfile
import unittest
import urllib.request

from model_trees import Trees, float32
from skerry_process import Served, run, run_tests

PARTS = [f"part {i:02d}" for i in range(40)]
BAD = {part for i, part in enumerate(PARTS) if i * 7 % 5 < 2}
COLUMNS = ["load", "heat", "part"]


def write_rows(path, rows, seed):
    """What is bad about a part is no matter of its place among the others."""
    rng = random.Random(seed)
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*COLUMNS, "failed", "grade", "cost"])
        for _ in range(rows):
            load, heat, part = rng.gauss(40, 10), rng.gauss(0, 1), rng.choice(PARTS)
            margin = (load - 40) / 10 + heat + (1.5 if part in BAD else -1.5) + rng.gauss(0, 0.4)
            cells = [f"{load:.3f}", f"{heat:.4f}", part]
            cells = ["" if rng.random() < 0.07 else cell for cell in cells]
            writer.writerow([*cells, int(margin > 0.5), "abc"[(margin > -1) + (margin > 1)], f"{math.exp(margin):.4f}"])


def softmax(margins):
    powers = [math.exp(m - max(margins)) for m in margins]
    return [p / sum(powers) for p in powers]


class Exactness(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-exact-")
        cls.dir = pathlib.Path(cls.temporary.name)
        write_rows(cls.dir / "train.csv", 2500, 1)
        write_rows(cls.dir / "later.csv", 300, 2)
        labels = {"failed": [], "grade": [], "cost": ["--task", "regression", "--objective", "gamma"]}
        cls.reports, cls.trees, cls.codes = {}, {}, {}
        for label, options in labels.items():
            others = ",".join(other for other in labels if other != label)
            done = run("train", cls.dir / "train.csv", "--label", label, "--ignore", others, "--name", label, "--out", cls.dir / label, "--json", *options)
            assert done.returncode == 0, done.stderr
            cls.reports[label] = json.loads(done.stdout)
            cls.trees[label] = Trees(cls.dir / label / "model.onnx")
            features = [f for f in json.loads((cls.dir / label / "schema.json").read_text())["fields"] if f["role"] == "feature"]
            assert [f["name"] for f in features] == COLUMNS
            cls.codes[label] = features[2]["categories"]
        with (cls.dir / "later.csv").open() as rows:
            cls.rows = [cls.named(row) for row in csv.DictReader(rows)]
        cls.rows += [{"load": load, "heat": 0.3, "part": "a part of another make"} for load in (30.0, None, 52.5)]

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @staticmethod
    def named(row):
        return {"load": float(row["load"]) if row["load"] else None, "heat": float(row["heat"]) if row["heat"] else None, "part": row["part"] or None}

    def numbers(self, label, row):
        """As the graph gets them: float32, a category's index, the index after the last for another text, NaN for nothing."""
        known = self.codes[label]
        part = math.nan if row["part"] is None else known.index(row["part"]) if row["part"] in known else len(known)
        return [math.nan if row[name] is None else float32(row[name]) for name in COLUMNS[:2]] + [part]

    def test_texts_are_split_by_sets_and_tell_what_no_order_would(self):
        for label, trees in self.trees.items():
            self.assertIn("BRANCH_EQ", trees.modes, label)
            self.assertLessEqual(self.reports[label]["max_model_difference"], 1e-6, label)
        self.assertEqual([t.operators[1] for t in self.trees.values()], ["Sigmoid", "Softmax", "Exp"])
        self.assertGreater(self.reports["failed"]["holdout"]["model"]["auc"]["value"], 0.9)

    def test_served_answers_and_contributions_are_the_trees_sums(self):
        with Served("serve", "--http", "127.0.0.1:0", *(f"{label}={self.dir / label}" for label in self.trees)) as server:
            for label, trees in self.trees.items():
                request = urllib.request.Request(f"{server.url}/v1/score?model={label}&explain=1", json.dumps(self.rows).encode(), {"Content-Type": "application/json"})
                results = json.load(urllib.request.urlopen(request))["results"]
                lines = urllib.request.urlopen(urllib.request.Request(
                    f"{server.url}/v1/score?model={label}&explain=1", "\n".join(map(json.dumps, self.rows)).encode(), {"Content-Type": "application/x-ndjson"}))
                for line, result in zip(map(json.loads, lines), results, strict=True):
                    self.assertEqual({k: v for k, v in line.items() if k != "row"}, {k: v for k, v in result.items() if k != "row"})
                flat = [None if math.isnan(v) else v for row in self.rows for v in self.numbers(label, row)]
                infer = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [len(self.rows), 3], "data": flat}]}
                request = urllib.request.Request(f"{server.url}/v2/models/{label}/infer", json.dumps(infer).encode(), {"Content-Type": "application/json"})
                outputs = {o["name"]: o["data"] for o in json.load(urllib.request.urlopen(request))["outputs"]}
                for i, (row, result) in enumerate(zip(self.rows, results)):
                    margins = trees.margins(self.numbers(label, row))
                    self.assertEqual("part" in result["out_of_range"], row["part"] not in (None, *self.codes[label]))
                    explained = result["base"] + sum(result["contributions"].values())
                    if label == "failed":
                        self.assertAlmostEqual(result["score"], 1 / (1 + math.exp(-margins[0])), delta=1e-6)
                        self.assertAlmostEqual(explained, margins[0], delta=1e-5)
                    elif label == "grade":
                        shares = softmax(margins)
                        for share, served in zip(shares, result["probabilities"].values()):
                            self.assertAlmostEqual(served, share, delta=1e-6)
                        self.assertEqual(outputs["probabilities"][3 * i:3 * i + 3], list(result["probabilities"].values()))
                        self.assertAlmostEqual(explained, max(margins), delta=1e-5)
                    else:
                        self.assertAlmostEqual(result["value"] / math.exp(margins[0]), 1, delta=1e-6)
                        self.assertEqual(outputs["value"][i], result["value"])
                        self.assertAlmostEqual(explained, margins[0], delta=1e-5)

    def test_a_text_that_training_did_not_see_is_scored_in_files_too(self):
        data, out = self.dir / "other.csv", self.dir / "scored.csv"
        with data.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([["" if row[name] is None else row[name] for name in COLUMNS] for row in self.rows[-3:]])
        done = run("score", data, self.dir / "failed", "--out", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        with out.open() as file:
            for row, scored in zip(self.rows[-3:], csv.DictReader(file)):
                margin = self.trees["failed"].margins(self.numbers("failed", row))[0]
                self.assertAlmostEqual(float(scored["score"]), 1 / (1 + math.exp(-margin)), delta=1e-6)


if __name__ == "__main__":
    run_tests(__name__)
