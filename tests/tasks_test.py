"""Trains, evaluates, scores and serves a model of each task from the outside. Prints "N passed, N failed, N skipped"."""
import csv
import json
import math
import pathlib
import random
import tempfile
import unittest
import urllib.error
import urllib.request

from skerry_process import Served, run, run_tests

FEATURES = ["a", "b", "kind"]


def write_rows(path, rows, seed):
    """A label of three words, a number, and whether the row is strange; with missing cells."""
    rng = random.Random(seed)
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*FEATURES, "species", "yield", "grade"])
        for _ in range(rows):
            kind = rng.choice("xyz")
            a, b = rng.gauss(0, 1), rng.gauss(0, 1)
            margin = a + 0.5 * b + {"x": -1, "y": 0, "z": 1}[kind] + rng.gauss(0, 0.3)
            species = "low" if margin < -0.7 else "mid" if margin < 0.7 else "the high one"
            number = 100 + 10 * margin
            cell = "" if rng.random() < 0.05 else f"{a:.4f}"
            writer.writerow([cell, f"{b:.4f}", kind, species, f"{number:.3f}", 1 + (margin > -0.7) + (margin > 0.7)])


def post(url, body, content_type="application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": content_type})) as answer:
        return json.load(answer)


class Tasks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-tasks-")
        cls.dir = pathlib.Path(cls.temporary.name)
        write_rows(cls.dir / "train.csv", 900, 1)
        write_rows(cls.dir / "later.csv", 300, 2)
        cls.reports = {
            "species": cls.train("species", "--label", "species", "--ignore", "yield,grade"),
            "yield": cls.train("yield", "--label", "yield", "--task", "regression", "--ignore", "species,grade"),
            "strange": cls.train("strange", "--task", "anomaly", "--ignore", "species,yield,grade"),
        }
        with (cls.dir / "later.csv").open() as rows:
            cls.rows = list(csv.DictReader(rows))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def train(cls, name, *options):
        done = run("train", cls.dir / "train.csv", "--name", name, "--out", cls.dir / name, "--json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *options):
        done = run("train", self.dir / "train.csv", "--out", self.dir / "none", *options)
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse((self.dir / "none").exists())
        return done.stderr

    def scored(self, name, suffix="csv"):
        out = self.dir / f"{name}-scored.{suffix}"
        done = run("score", self.dir / "later.csv", self.dir / name, "--out", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("positive", done.stdout)
        with out.open() as rows:
            return list(csv.DictReader(rows)) if suffix == "csv" else None

    def named_rows(self, count):
        return [{"a": float(r["a"]) if r["a"] else None, "b": float(r["b"]), "kind": r["kind"]} for r in self.rows[:count]]

    def test_reports_have_the_tasks_figures_with_intervals(self):
        species, number, strange = (self.reports[name] for name in ("species", "yield", "strange"))
        self.assertEqual(species["task"], "multiclass")
        self.assertEqual(species["classes"], ["low", "mid", "the high one"])
        self.assertGreater(species["holdout"]["model"]["accuracy"]["value"], 0.7)
        self.assertLess(species["holdout"]["model"]["log_loss"]["value"], species["holdout"]["baseline"]["log_loss"]["value"])
        self.assertEqual(sum(map(sum, species["holdout"]["model"]["confusion"])), 180)
        self.assertGreater(number["holdout"]["model"]["r2"]["value"], 0.7)
        for report, figures in ((species, ("log_loss", "accuracy", "macro_f1")), (number, ("rmse", "mae", "r2"))):
            for figure in figures:
                interval = report["holdout"]["model"][figure]
                self.assertLessEqual(interval["low"], interval["value"])
                self.assertLessEqual(interval["value"], interval["high"])
                self.assertLess(interval["low"], interval["high"])
            self.assertIn("cross_validation", report)
        self.assertAlmostEqual(strange["cross_validation"]["alarm_rate"]["value"], 0.01, delta=0.002)
        self.assertNotIn("trees", strange)
        self.assertFalse((self.dir / "strange" / "model.onnx").exists())
        for name in self.reports:
            schema = json.loads((self.dir / name / "schema.json").read_text())
            self.assertEqual(schema["task"], self.reports[name]["task"])
            self.assertIn("Figures, with 95 %", (self.dir / name / "card.md").read_text())

    def test_thresholds_are_chosen_for_what_is_asked(self):
        options = ("--label", "broken", "--ignore", "species,yield,grade", "--alarm-rate", "0.05")
        for name in ("train", "later"):
            with (self.dir / f"{name}.csv").open() as rows, (self.dir / f"{name}-broken.csv").open("w", newline="") as out:
                table = [{**row, "broken": int(row["species"] == "low")} for row in csv.DictReader(rows)]
                writer = csv.DictWriter(out, table[0])
                writer.writeheader()
                writer.writerows(table)
        done = {}
        for goal in ("f1", "cost=1:20", "alarm-rate=0.1"):
            model = self.dir / f"broken-{goal[:5].strip('=')}"
            trained = run("train", self.dir / "train-broken.csv", "--out", model, "--json", *options, "--threshold", goal)
            self.assertEqual(trained.returncode, 0, trained.stderr)
            done[goal] = (model, json.loads(trained.stdout))
            self.assertEqual(done[goal][1]["threshold_goal"], goal)
            reference = json.loads((model / "reference.json").read_text())
            self.assertEqual(reference["threshold_goal"], goal)
            self.assertEqual(reference["anomaly_alarm_rate"], 0.05)
        self.assertLess(done["cost=1:20"][1]["threshold"], done["f1"][1]["threshold"])
        self.assertNotIn("cost", done["f1"][1]["holdout"]["model"])
        rate = done["alarm-rate=0.1"][1]["cross_validation"]["alarm_rate"]["value"]
        self.assertTrue(0.095 < rate <= 0.1, rate)
        model, report = done["cost=1:20"]
        false_alarms = report["alarms"]["cross_validation"]["false_alarm_rate"]["value"]
        self.assertTrue(0.045 < false_alarms <= 0.05, false_alarms)
        self.assertIn("least cost at 1 a false alarm and 20 a missed row", (model / "card.md").read_text())

        # What evaluate says is what the answers to other rows come to.
        answer = json.loads(run("evaluate", model, self.dir / "later-broken.csv", "--json").stdout)
        scored = run("score", self.dir / "later-broken.csv", model, "--out", self.dir / "broken-scored.csv")
        self.assertEqual(scored.returncode, 0, scored.stderr)
        with (self.dir / "broken-scored.csv").open() as rows:
            rows = list(csv.DictReader(rows))
        truth = [int(r["broken"]) for r in rows]
        raised = [float(r["score"]) >= report["threshold"] for r in rows]
        cost = sum(20 * t * (not r) + (1 - t) * r for t, r in zip(truth, raised)) / len(rows)
        self.assertAlmostEqual(answer["cost"]["value"], cost, delta=1e-9)
        self.assertLess(answer["cost"]["low"], answer["cost"]["high"])
        self.assertAlmostEqual(answer["alarm_rate"]["value"], sum(raised) / len(rows), delta=1e-9)
        anomalies = [float(r["anomaly_score"]) >= report["anomaly_threshold"] for r in rows]
        false_alarms = sum(a and not t for a, t in zip(anomalies, truth)) / truth.count(0)
        self.assertAlmostEqual(answer["alarms"]["false_alarm_rate"]["value"], false_alarms, delta=1e-9)
        self.assertEqual(answer["asked_alarm_rate"], 0.05)
        text = run("evaluate", model, self.dir / "later-broken.csv").stdout
        self.assertIn("least cost at 1 a false alarm and 20 a missed row", text)

    def test_calibrated_scores_are_probabilities_wherever_they_are_answered(self):
        rng = random.Random(5)
        for name, count in (("coins", 3000), ("coins-later", 1500)):
            with (self.dir / f"{name}.csv").open("w", newline="") as out:
                writer = csv.writer(out)
                writer.writerow(["a", "b", "kind", "fell"])
                for _ in range(count):
                    a, b = rng.gauss(0, 1), rng.gauss(0, 1)
                    truth = 1 / (1 + math.exp(2.5 - a - b))
                    writer.writerow([f"{a:.4f}" if rng.random() > 0.05 else "", f"{b:.4f}", rng.choice("xyz"), int(rng.random() < truth)])
        with (self.dir / "coins-later.csv").open() as rows:
            later = list(csv.DictReader(rows))
        for kind in ("none", "sigmoid", "isotonic"):
            model = self.dir / f"coins-{kind}"
            done = run("train", self.dir / "coins.csv", "--label", "fell", "--calibration", kind, "--out", model, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            report = json.loads(done.stdout)
            self.assertLessEqual(report["max_model_difference"], 1e-6)
            held_out = report["calibration"]["holdout"]
            self.assertEqual(report["calibration"]["kind"], kind)
            self.assertEqual(sum(b["rows"] for b in held_out["reliability"]), report["holdout_rows"])
            self.assertEqual("uncalibrated" in held_out, kind != "none")
            for figure in ("brier", "ece"):
                self.assertLess(held_out[figure]["low"], held_out[figure]["high"])
            card = (model / "card.md").read_text()
            self.assertIn("| score | held-out rows | mean score | share of class 1 |", card)
            self.assertEqual("before calibration" in card, kind != "none")

            # evaluate, score and the server answer the same probabilities.
            answer = json.loads(run("evaluate", model, self.dir / "coins-later.csv", "--json").stdout)
            scored = self.dir / f"coins-{kind}.csv"
            self.assertEqual(run("score", self.dir / "coins-later.csv", model, "--out", scored).returncode, 0)
            with scored.open() as rows:
                scores = [float(r["score"]) for r in csv.DictReader(rows)]
            brier = sum((s - int(r["fell"])) ** 2 for s, r in zip(scores, later)) / len(later)
            self.assertAlmostEqual(answer["brier"]["value"], brier, delta=1e-6)
            if kind != "none":
                self.assertLess(answer["ece"]["value"], 0.05)
            named = [{"a": float(r["a"]) if r["a"] else None, "b": float(r["b"]), "kind": r["kind"]} for r in later[:50]]
            with Served("serve", "--http", "127.0.0.1:0", f"coins={model}") as server:
                served = post(f"{server.url}/v1/score?model=coins", named)["results"]
                self.assertEqual([r["score"] for r in served], scores[:50])
                explained = f"{server.url}/v1/score?model=coins&explain=1"
                if kind == "isotonic":
                    with self.assertRaises(urllib.error.HTTPError) as refused:
                        post(explained, named)
                    self.assertIn("no tree ensemble", refused.exception.read().decode())
                else:
                    first = post(explained, named)["results"][0]
                    margin = first["base"] + sum(first["contributions"].values())
                    self.assertAlmostEqual(1 / (1 + math.exp(-margin)), served[0]["score"], delta=1e-4)
        self.assertIn("leave out --calibration sigmoid", self.refused("--label", "species", "--calibration", "sigmoid"))

    def test_a_detector_by_pca_alarms_as_asked_on_later_rows(self):
        """Four readings that two causes drive, drifting none; later broken rows keep each reading in its range."""
        rng = random.Random(7)

        def table(name, count, broken, day0):
            with (self.dir / name).open("w", newline="") as out:
                writer = csv.writer(out)
                writer.writerow(["day", "p", "q", "r", "s", "kind", "bad"])
                for i in range(count):
                    u, v = rng.gauss(0, 1), rng.gauss(0, 1)
                    cells = [50 + 5 * u, 10 + v, 3 * u - 2 * v, u + 0.5 * v]
                    cells = [c + scale * rng.gauss(0, 0.1) for c, scale in zip(cells, (5, 1, 3, 1))]
                    bad = i % 50 == 0
                    if broken or bad:
                        cells[2] = 3 * rng.gauss(0, 1) - 2 * rng.gauss(0, 1)
                    cells = ["" if rng.random() < 0.03 else f"{c:.4f}" for c in cells]
                    writer.writerow([f"2026-01-{day0 + i * 10 // count:02}", *cells, rng.choice("xyz"), int(bad)])

        table("readings.csv", 4000, False, 1)
        table("readings-later.csv", 2000, False, 11)
        table("readings-broken.csv", 500, True, 21)
        alone = ("--task", "anomaly", "--ignore", "bad")
        for name, options in (("alone", alone), ("beside", ("--label", "bad"))):
            model = self.dir / f"pca-{name}"
            done = run("train", self.dir / "readings.csv", "--time", "day", "--detector", "pca", "--alarm-rate", "0.05", "--out", model, "--json", *options)
            self.assertEqual(done.returncode, 0, done.stderr)
            report = json.loads(done.stdout)
            self.assertEqual(report["detector"]["kind"], "pca")
            self.assertEqual(report["detector"]["components"], 2)
            self.assertGreater(report["detector"]["explained_variance"], 0.9)
            self.assertEqual(report["detector"]["left_out"], ["kind"])
            self.assertLess(report["max_detector_difference"], 1e-6)
            figures = report["holdout"]["model"] if name == "alone" else report["alarms"]["holdout"]
            rate = figures["alarm_rate" if name == "alone" else "false_alarm_rate"]
            self.assertTrue(rate["low"] < 0.05 < rate["high"], rate)  # the held-out rows are the latest
            words = f"PCA of 2 components ({report['detector']['explained_variance'] * 100:.1f} % of the variance)"
            card = (model / "card.md").read_text()
            self.assertIn(words, card)
            self.assertIn("have no part: kind.", card)
            answers = {}
            for data in ("later", "broken"):
                done = run("evaluate", model, self.dir / f"readings-{data}.csv", "--json")
                self.assertEqual(done.returncode, 0, done.stderr)
                answers[data] = json.loads(done.stdout)
                self.assertEqual(answers[data]["detector"], words)
            if name == "alone":
                self.assertAlmostEqual(answers["later"]["alarm_rate"]["value"], 0.05 * 0.98 + 0.02 * 0.9, delta=0.03)
                self.assertGreater(answers["broken"]["alarm_rate"]["value"], 0.6)
            else:
                self.assertAlmostEqual(answers["later"]["alarms"]["false_alarm_rate"]["value"], 0.05, delta=0.015)
            self.assertIn(words, run("evaluate", model, self.dir / "readings-later.csv").stdout)
            self.assertEqual(run("score", self.dir / "readings-later.csv", model, "--out", self.dir / f"pca-{name}.csv").returncode, 0)
            with (self.dir / f"pca-{name}.csv").open() as rows:
                scores = [float(r["anomaly_score"]) for r in csv.DictReader(rows)]
            share = sum(s >= report["anomaly_threshold"] for s in scores) / len(scores)
            told = answers["later"] if name == "alone" else answers["later"]["alarms"]
            self.assertAlmostEqual(told["alarm_rate"]["value"], share, delta=1e-9)
        again = run("train", self.dir / "readings.csv", "--time", "day", "--detector", "pca", "--alarm-rate", "0.05", "--out", self.dir / "pca-again", *alone)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual((self.dir / "pca-again/detector.onnx").read_bytes(), (self.dir / "pca-alone/detector.onnx").read_bytes())
        (self.dir / "kinds.csv").write_text("kind,bad\n" + "".join(f"{'xyz'[i % 3]},{i % 2}\n" for i in range(200)))
        none = run("train", self.dir / "kinds.csv", "--label", "bad", "--detector", "pca", "--out", self.dir / "none")
        self.assertEqual(none.returncode, 1)
        self.assertIn("use --detector isolation-forest", none.stderr)
        self.assertFalse((self.dir / "none").exists())

    def test_thresholds_that_mean_nothing_are_refused(self):
        for goal, named in (("cost=1:0", "cost=1:20"), ("alarm-rate=2", "alarm-rate=0.02"), ("recall", "f1, cost=FP:FN")):
            done = run("train", self.dir / "train.csv", "--label", "species", "--out", self.dir / "none", "--threshold", goal)
            self.assertEqual(done.returncode, 2)
            self.assertIn(named, done.stderr)
        self.assertIn("leave out --threshold f1", self.refused("--label", "species", "--threshold", "f1"))
        self.assertEqual(run("train", self.dir / "train.csv", "--task", "anomaly", "--out", self.dir / "none", "--alarm-rate", "-1").returncode, 2)

    def test_evaluate_gives_the_figures_that_scored_rows_have(self):
        answers = {}
        for name in self.reports:
            done = run("evaluate", self.dir / name, self.dir / "later.csv", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            answers[name] = json.loads(done.stdout)
        rows = self.scored("species")
        right = sum(r["prediction"] == r["species"] for r in rows) / len(rows)
        loss = -sum(math.log(float(r["probability_" + r["species"]])) for r in rows) / len(rows)
        self.assertAlmostEqual(answers["species"]["accuracy"]["value"], right, delta=1e-9)
        self.assertAlmostEqual(answers["species"]["log_loss"]["value"], loss, delta=1e-5)
        rows = self.scored("yield")
        rmse = math.sqrt(sum((float(r["value"]) - float(r["yield"])) ** 2 for r in rows) / len(rows))
        self.assertAlmostEqual(answers["yield"]["rmse"]["value"], rmse, delta=1e-4)
        rows = self.scored("strange")
        reference = json.loads((self.dir / "strange" / "reference.json").read_text())
        alarms = sum(float(r["anomaly_score"]) >= reference["anomaly_threshold"] for r in rows)
        self.assertAlmostEqual(answers["strange"]["alarm_rate"]["value"], alarms / len(rows), delta=1e-9)
        self.assertGreaterEqual(sum(r["anomaly"] == "true" for r in rows), alarms)
        text = run("evaluate", self.dir / "species", self.dir / "later.csv").stdout
        self.assertIn("accuracy", text)
        self.assertIn("the high one", text)

    def test_score_writes_a_column_a_class_also_into_parquet(self):
        rows = self.scored("species")
        self.assertEqual(list(rows[0])[-6:], ["prediction", "score", "anomaly_score", "probability_low", "probability_mid", "probability_the high one"])
        for row in rows:
            shares = {word: float(row["probability_" + word]) for word in ("low", "mid", "the high one")}
            self.assertAlmostEqual(sum(shares.values()), 1, delta=1e-5)
            self.assertEqual(row["prediction"], max(shares, key=shares.get))
            self.assertEqual(float(row["score"]), max(shares.values()))
        for name in self.reports:
            self.scored(name, "parquet")
            back = run("score", self.dir / f"{name}-scored.parquet", self.dir / "strange", "--out", self.dir / "twice.csv")
            self.assertEqual(back.returncode, 1)
            self.assertIn("already", back.stderr)

    def test_the_server_answers_each_task_as_score_does(self):
        with Served("serve", "--http", "127.0.0.1:0", *(f"{name}={self.dir / name}" for name in self.reports)) as server:
            documents = {m["name"]: m for m in json.load(urllib.request.urlopen(f"{server.url}/v1/models"))["models"]}
            for name, report in self.reports.items():
                self.assertEqual(documents[name]["task"], report["task"])
                answer = post(f"{server.url}/v1/score?model={name}", self.named_rows(40))
                self.assertEqual(len(answer["results"]), 40)
                matrix = [[math.nan if v is None else v for v in (r["a"], r["b"], float("xyz".index(r["kind"])))] for r in self.named_rows(40)]
                flat = [None if isinstance(v, float) and math.isnan(v) else v for r in matrix for v in r]
                outputs = {o["name"]: o for o in post(f"{server.url}/v2/models/{name}/infer", {
                    "inputs": [{"name": "input", "datatype": "FP32", "shape": [40, 3], "data": flat}]})["outputs"]}
                metadata = json.load(urllib.request.urlopen(f"{server.url}/v2/models/{name}"))
                self.assertEqual([o["name"] for o in metadata["outputs"]], list(outputs))
                file_rows = self.scored(name)
                csv_lines = (self.dir / "later.csv").read_bytes().split(b"\n")[:41]
                request = urllib.request.Request(f"{server.url}/v1/score?model={name}", b"\n".join(csv_lines), {"Content-Type": "text/csv"})
                lines = [json.loads(line) for line in urllib.request.urlopen(request)]
                for i, result in enumerate(answer["results"]):
                    one = file_rows[i]
                    self.assertEqual(result["anomaly_score"], float(one["anomaly_score"]))
                    self.assertEqual({k: v for k, v in lines[i].items() if k != "row"}, {k: v for k, v in result.items() if k != "row"})
                    if name == "species":
                        self.assertEqual(result["prediction"], one["prediction"])
                        self.assertEqual(result["probabilities"], {w: float(one["probability_" + w]) for w in report["classes"]})
                        self.assertEqual(outputs["probabilities"]["data"][3 * i:3 * i + 3], list(result["probabilities"].values()))
                        self.assertEqual(outputs["prediction"]["data"][i], one["prediction"])
                    elif name == "yield":
                        self.assertEqual(result["value"], float(one["value"]))
                        self.assertEqual(outputs["value"]["data"][i], result["value"])
                        self.assertNotIn("prediction", result)
                    else:
                        self.assertEqual(list(outputs), ["anomaly_score"])
                        self.assertEqual(str(result["anomaly"]).lower(), one["anomaly"])
                        self.assertNotIn("score", result)
            with self.assertRaises(urllib.error.HTTPError) as refused:
                post(f"{server.url}/v2/models/yield/infer", {
                    "inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 3], "data": [0, 0, 0]}], "outputs": [{"name": "probabilities"}]})
            self.assertEqual(refused.exception.code, 400)
            self.assertIn("value", json.load(refused.exception)["error"])

    def test_objectives_of_numbers(self):
        for objective in ("absolute-error", "poisson", "gamma", "tweedie"):
            report = self.train(f"yield-{objective}", "--label", "yield", "--task", "regression", "--objective", objective, "--ignore", "species,grade")
            self.assertGreater(report["holdout"]["model"]["r2"]["value"], 0.6, objective)
        self.assertIn("objective", self.refused("--label", "yield", "--task", "regression", "--objective", "rank"))
        self.assertIn("regression", self.refused("--label", "species", "--objective", "poisson"))
        self.assertIn("takes numbers from 0", self.refused("--label", "b", "--task", "regression", "--objective", "poisson"))

    def test_numbers_may_be_classes_and_an_unclear_label_is_asked_about(self):
        report = self.train("grade", "--label", "grade", "--task", "classification", "--ignore", "species,yield")
        self.assertEqual(report["classes"], ["1", "2", "3"])
        self.assertIn("--task", self.refused("--label", "grade"))
        self.assertIn("at most 100", self.refused("--label", "yield", "--task", "multiclass"))
        self.assertIn("predicts numbers", self.refused("--label", "species", "--task", "regression"))
        self.assertIn("without a label", self.refused("--label", "species", "--task", "anomaly"))
        self.assertIn("no task", self.refused("--label", "species", "--task", "ranking"))
        self.assertIn("multiclass", self.refused("--label", "species", "--positive", "low"))


if __name__ == "__main__":
    run_tests(__name__)
