"""skerry pack takes models that scikit-learn trained, skl2onnx converted and MLflow saved (flavour onnx), and skerry score gives scikit-learn's answers.
Prints "N passed, N failed, N skipped". Needs $SKERRY_MLFLOW_PYTHON, where scripts/deps --mlflow puts it."""
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from skerry_process import run, run_tests

PYTHON = os.environ.get("SKERRY_MLFLOW_PYTHON", "")
if not PYTHON:
    print("skipped: mlflow_model_test: MLflow is not installed (scripts/deps --mlflow, make mlflow-test)")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)

# Trains and saves three models below its argument: of a table with texts, by inputs of one column each; and of a matrix.
TRAIN = r'''
import json, pathlib, sys
import mlflow.onnx, numpy, pandas
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

where, rng, n = pathlib.Path(sys.argv[1]), numpy.random.default_rng(1), 500
table = pandas.DataFrame({"torque": rng.normal(40, 10, n).astype("float32"), "speed": rng.normal(1500, 200, n).astype("float32"),
                          "grade": rng.choice(["low", "medium", "high"], n)})
failed = numpy.where((table.torque > 48) | ((table.grade == "low") & (table.speed > 1600)), "failed", "fine")
wear = (table.torque * 2 + table.speed / 100).to_numpy()
level = numpy.digitize(table.torque, [35, 45])
numbers = table[["torque", "speed"]].to_numpy()
table.assign(machine=[f"m{i}" for i in range(n)], failed=failed).to_csv(where / "mixed.csv", index=False)
table[["torque", "speed"]].to_csv(where / "numbers.csv", index=False)

mixed = Pipeline([("columns", ColumnTransformer([("numbers", StandardScaler(), ["torque", "speed"]),
                                                 ("texts", OneHotEncoder(handle_unknown="ignore"), ["grade"])])),
                  ("model", LogisticRegression(max_iter=500))]).fit(table, failed)
forest = RandomForestRegressor(30, random_state=1).fit(numbers, wear)
levels = GradientBoostingClassifier(n_estimators=20, random_state=1).fit(numbers, level)
kinds = [("torque", FloatTensorType([None, 1])), ("speed", FloatTensorType([None, 1])), ("grade", StringTensorType([None, 1]))]
mlflow.onnx.save_model(to_onnx(mixed, initial_types=kinds), where / "mixed")
mlflow.onnx.save_model(to_onnx(forest, numbers[:1]), where / "forest")
mlflow.onnx.save_model(to_onnx(levels, numbers[:1], options={"zipmap": False}), where / "levels")
json.dump({"mixed": mixed.predict_proba(table)[:, list(mixed.classes_).index("failed")].tolist(), "forest": forest.predict(numbers).tolist(),
           "levels": levels.predict_proba(numbers).max(axis=1).tolist(), "level": levels.predict(numbers).tolist()}, (where / "truth.json").open("w"))
'''


class MlflowModelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = tempfile.TemporaryDirectory(prefix="skerry-mlflow-model-")
        cls.dir = pathlib.Path(cls.work.name)
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        subprocess.run([PYTHON, "-c", TRAIN, cls.dir], check=True, env=environment, capture_output=True, timeout=600)
        cls.truth = json.loads((cls.dir / "truth.json").read_text())

    @classmethod
    def tearDownClass(cls):
        cls.work.cleanup()

    def pack(self, model, sample, *options):
        done = run("pack", self.dir / model, "--sample", self.dir / sample, "--name", model, "--version", "1", "--out", self.dir / f"{model}.oci",
                   "--package", self.dir / f"{model}-package", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.dir / f"{model}-package"

    def scored(self, package, sample):
        out = self.dir / f"{package.name}.csv"
        done = run("score", self.dir / sample, package, "--out", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        with out.open() as rows:
            return list(csv.DictReader(rows))

    def test_a_pipeline_of_numbers_and_texts(self):
        package = self.pack("mixed", "mixed.csv", "--label", "failed", "--positive", "failed", "--id", "machine")
        rows = self.scored(package, "mixed.csv")
        for row, probability in zip(rows, self.truth["mixed"], strict=True):
            self.assertAlmostEqual(float(row["score"]), probability, delta=2e-6)
            self.assertEqual(row["prediction"], "failed" if float(row["score"]) >= 0.5 else "fine")
        judged = run("evaluate", package, self.dir / "mixed.csv")
        self.assertEqual(judged.returncode, 0, judged.stderr)

    def test_a_forest_that_predicts_a_number(self):
        rows = self.scored(self.pack("forest", "numbers.csv", "--label", "wear"), "numbers.csv")
        for row, value in zip(rows, self.truth["forest"], strict=True):
            self.assertAlmostEqual(float(row["value"]) / value, 1, delta=1e-5)

    def test_three_classes_without_a_map(self):
        rows = self.scored(self.pack("levels", "numbers.csv", "--label", "level"), "numbers.csv")
        for row, probability, level in zip(rows, self.truth["levels"], self.truth["level"], strict=True):
            self.assertAlmostEqual(float(row["score"]), probability, delta=2e-6)
            self.assertEqual(row["prediction"], str(level))

    def test_what_is_missing_is_said(self):
        without = run("pack", self.dir / "forest", "--name", "x", "--version", "1", "--out", self.dir / "x.oci")
        self.assertEqual(without.returncode, 1)
        self.assertIn("--sample", without.stderr)
        wrong = run("pack", self.dir / "forest", "--sample", self.dir / "mixed.csv", "--label", "failed", "--name", "x", "--version", "1", "--out",
                    self.dir / "x.oci")
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("2 columns", wrong.stderr)
        self.assertFalse((self.dir / "x.oci").exists())


if __name__ == "__main__":
    run_tests(__name__)
