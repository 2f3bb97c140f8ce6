"""Packages that derive features, from the outside: --derive chooses them, every way of scoring is given raw fields alone and answers
what the trees in model.onnx say of numbers derived here. Prints "N passed, N failed, N skipped"."""
import csv
import json
import math
import pathlib
import random
import tempfile
import unittest
import urllib.request

from model_trees import Trees, float32
from skerry_process import Served, post, run, run_tests

COLUMNS = ["speed", "torque", "heat"]
OPERATIONS = {"product": lambda a, b: a * b, "ratio": lambda a, b: a / b if b else math.nan, "difference": lambda a, b: a - b}


def write_rows(path, rows, seed):
    """`power` is made of a product and a difference; some cells are blank or 0."""
    rng = random.Random(seed)
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*COLUMNS, "power", "failed"])
        for _ in range(rows):
            speed, torque, heat = rng.uniform(1, 90), rng.choice([0, *range(5, 95)]) + rng.random() / 2, rng.uniform(1, 90)
            power = speed * torque / 50 + 2 * abs(speed - heat)
            cells = ["" if rng.random() < 0.01 else f"{cell:.3f}" for cell in (speed, torque, heat)]
            writer.writerow([*cells, f"{power:.4f}", int(power > 110)])


class Derived(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-derived-")
        cls.dir = pathlib.Path(cls.temporary.name)
        write_rows(cls.dir / "train.csv", 2500, 1)
        write_rows(cls.dir / "later.csv", 600, 2)
        cls.reports = {}
        for name, options in {"power": ["--task", "regression", "--derive", "4", "--ignore", "failed"],
                              "failed": ["--derive", "3", "--ignore", "power"], "plain": ["--ignore", "power"]}.items():
            label = "failed" if name == "plain" else name
            done = run("train", cls.dir / "train.csv", "--label", label, "--name", name, "--out", cls.dir / name, "--json", *options)
            assert done.returncode == 0, done.stderr
            cls.reports[name] = json.loads(done.stdout)
        with (cls.dir / "later.csv").open() as rows:
            cls.rows = [{name: float(row[name]) if row[name] else None for name in COLUMNS} for row in csv.DictReader(rows)]
        # No product, no ratio, and products beyond float32.
        cls.rows += [{"speed": 3e20, "torque": 5e25, "heat": 1e-20}, {"speed": 0, "torque": 0, "heat": 0},
                     {"speed": 3e38, "torque": None, "heat": -3e38}]

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def schema(self, name):
        return json.loads((self.dir / name / "schema.json").read_text())

    def inputs(self, name, row):
        """What the graph of package `name` is given: the fields as float32, then what its schema derives of them."""
        numbers = {column: math.nan if row[column] is None else float32(row[column]) for column in COLUMNS}
        derived = []
        for one in self.schema(name)["derived"]:
            value = float32(OPERATIONS[one["operation"]](*(numbers[of] for of in one["of"])))
            derived.append(value if math.isfinite(value) else math.nan)
        return [numbers[column] for column in COLUMNS] + derived

    def test_what_helps_on_inner_folds_is_chosen_and_told(self):
        for name in ("power", "failed"):
            chosen = self.reports[name]["derived"]["chosen"]
            self.assertTrue({tuple(sorted(one["of"])) for one in chosen} & {("speed", "torque"), ("heat", "speed")}, chosen)
            self.assertTrue(all(one["loss_after"] < one["loss_before"] for one in chosen))
            self.assertEqual(self.schema(name)["format"], "skerry-schema/1.1")
            self.assertEqual([one["name"] for one in self.schema(name)["derived"]], [one["name"] for one in chosen])
            card = (self.dir / name / "card.md").read_text()
            for one in chosen:
                self.assertIn(f"`{one['name']}`: {one['of'][0]} ", card)
        self.assertNotIn("derived", self.schema("plain"))
        precision = {}
        for name in ("plain", "failed"):
            evaluated = run("evaluate", self.dir / name, self.dir / "later.csv", "--json")
            self.assertEqual(evaluated.returncode, 0, evaluated.stderr)
            precision[name] = json.loads(evaluated.stdout)["average_precision"]["value"]
        self.assertGreater(precision["failed"], precision["plain"])
        evaluated = run("evaluate", self.dir / "power", self.dir / "later.csv", "--json")
        self.assertEqual(evaluated.returncode, 0, evaluated.stderr)
        self.assertGreater(json.loads(evaluated.stdout)["r2"]["value"], 0.9)

    def test_served_answers_are_the_trees_sums_of_raw_fields(self):
        names = ["power", "failed"]
        with Served("serve", "--http", "127.0.0.1:0", *(f"{name}={self.dir / name}" for name in names)) as server:
            for name in names:
                trees = Trees(self.dir / name / "model.onnx")
                metadata = json.loads(urllib.request.urlopen(f"{server.url}/v2/models/{name}").read())
                self.assertEqual(metadata["inputs"], [{"name": "input", "datatype": "FP32", "shape": [-1, 3]}])
                results = json.loads(post(f"{server.url}/v1/score?model={name}&explain=1", json.dumps(self.rows)))["results"]
                flat = [row[column] for row in self.rows for column in COLUMNS]
                infer = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [len(self.rows), 3], "data": flat}]}
                outputs = json.loads(post(f"{server.url}/v2/models/{name}/infer", json.dumps(infer)))["outputs"]
                outputs = {output["name"]: output["data"] for output in outputs}
                wanted = set(COLUMNS) | {one["name"] for one in self.schema(name)["derived"]}
                for i, (row, result) in enumerate(zip(self.rows, results, strict=True)):
                    inputs = self.inputs(name, row)
                    margin = trees.margins(inputs)[0]
                    self.assertEqual(set(result["contributions"]), wanted)
                    # The trainer's float32 rounds at the size of what is added up, which begins at the base.
                    largest = max(1, abs(margin), abs(result["base"]))
                    self.assertAlmostEqual(result["base"] + sum(result["contributions"].values()), margin, delta=1e-5 * largest)
                    self.assertTrue(set(result["out_of_range"]) <= set(COLUMNS))
                    if name == "power":  # no link: to the last bit
                        self.assertEqual(float32(result["value"]), margin, row)
                        self.assertEqual(float32(outputs["value"][i]), margin)
                    else:
                        self.assertAlmostEqual(result["score"], 1 / (1 + math.exp(-margin)), delta=1e-6)
                        self.assertEqual(outputs["probabilities"][2 * i + 1], result["score"])
                refused = post(f"{server.url}/v1/score?model={name}", json.dumps({**self.rows[0], wanted.difference(COLUMNS).pop(): 1}))
                self.assertIn("error", json.loads(refused))

    def test_files_are_scored_of_raw_columns(self):
        done = run("score", self.dir / "later.csv", self.dir / "power", "--out", self.dir / "scored.csv")
        self.assertEqual(done.returncode, 0, done.stderr)
        trees = Trees(self.dir / "power/model.onnx")
        with (self.dir / "scored.csv").open() as file:
            scored = list(csv.DictReader(file))
        for row, answer in zip(self.rows, scored):
            self.assertEqual(float32(float(answer["value"])), trees.margins(self.inputs("power", row))[0])

    def test_an_operation_of_a_later_version_is_refused_with_the_reason(self):
        schema = self.schema("power")
        schema["derived"][0]["operation"] = "logarithm"
        package = self.dir / "later-version"
        package.mkdir()
        for file in (self.dir / "power").iterdir():
            (package / file.name).write_bytes(file.read_bytes())
        (package / "schema.json").write_text(json.dumps(schema))
        done = run("evaluate", package, self.dir / "later.csv")
        self.assertEqual(done.returncode, 1)
        self.assertIn('schema.derived[0].operation is "logarithm"; this version of skerry knows product, ratio, difference', done.stderr)

    def test_engines_and_tasks_without_them_say_so(self):
        for options, words in ((["--label", "failed", "--engine", "spark", "--master", "local[1]"], "embedded engine alone"),
                               (["--task", "anomaly"], "leave out --derive")):
            done = run("train", self.dir / "train.csv", "--derive", "1", "--out", self.dir / "not", *options)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(words, done.stderr)
            self.assertFalse((self.dir / "not").exists())
        done = run("train", self.dir / "train.csv", "--label", "failed", "--derive", "65", "--out", self.dir / "not")
        self.assertIn("--derive", done.stderr)


if __name__ == "__main__":
    run_tests(__name__)
