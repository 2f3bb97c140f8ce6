"""What a training leaves for people: plots, slices, the card that shows them, where it all came from. Prints "N passed, N failed, N skipped"."""
import csv
import hashlib
import json
import pathlib
import random
import re
import socket
import tempfile
import unittest
import xml.etree.ElementTree as xml

from skerry_process import run, run_tests

SVG = "{http://www.w3.org/2000/svg}"
CURVES = ["plot-calibration.svg", "plot-precision-recall.svg", "plot-roc.svg"]
TREES = ["plot-contributions.svg", "plot-importance.svg"]


def write_rows(path, rows, seed):
    """Machines of two plants: whether one fails, in which way (words that markup could trip over), its yield."""
    rng = random.Random(seed)
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["load", "heat", "kind", "plant", "shift", "fails", "way", "yield"])
        for i in range(rows):
            kind, plant, shift = rng.choice("xyz"), rng.choice(["north", "south"]), rng.choice([1, 2, 3])
            load, heat = rng.gauss(0, 1), rng.gauss(0, 1)
            noise = rng.gauss(0, 0.3 if plant == "north" else 1.5)  # the south is harder to tell
            margin = load + 0.5 * heat + {"x": -1, "y": 0, "z": 1}[kind] + noise
            way = "none" if margin < 0 else "<b>bent & \"torn\"" if margin < 1 else "heiß gelaufen"
            writer.writerow([f"{load:.4f}" if rng.random() > 0.05 else "", f"{heat:.4f}", kind, plant, shift,
                             int(margin > 1), way, f"{100 + 10 * margin:.3f}"])


def train(data, out, *options):
    done = run("train", data, "--name", "demo", "--out", out, "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def line_points(svg, ink):
    """The points of the first line of that colour."""
    path = next(p for p in svg.iter(f"{SVG}path") if p.get("class") == f"line s{ink}")
    return [tuple(map(float, at)) for at in re.findall(r"[ML]([\d.]+) ([\d.]+)", path.get("d"))]


def area_below(points):
    """Of a curve on the whole frame, whose corners are (78, 64) and (630, 394)."""
    area = sum((x2 - x1) * (394 - (y1 + y2) / 2) for (x1, y1), (x2, y2) in zip(points, points[1:]))
    return area / (630 - 78) / (394 - 64)


class Reports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-report-")
        cls.dir = pathlib.Path(cls.temporary.name)
        write_rows(cls.dir / "train.csv", 1500, 1)
        write_rows(cls.dir / "later.csv", 900, 2)
        data = cls.dir / "train.csv"
        keep = ("--context", "plant,shift")
        cls.reports = {
            "binary": train(data, cls.dir / "binary", "--label", "fails", "--ignore", "way,yield", *keep, "--calibration", "sigmoid"),
            "several": train(data, cls.dir / "several", "--label", "way", "--ignore", "fails,yield", *keep),
            "number": train(data, cls.dir / "number", "--label", "yield", "--task", "regression", "--ignore", "fails,way", *keep),
            "strange": train(data, cls.dir / "strange", "--task", "anomaly", "--ignore", "fails,way,yield", *keep),
        }

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def plots(self, name):
        return sorted(path.name for path in (self.dir / name).glob("*.svg"))

    def test_two_models_are_compared_on_the_same_rows(self):
        data, later = self.dir / "pair.csv", self.dir / "pair-later.csv"
        write_rows(data, 1_500, 21)
        write_rows(later, 1_000, 22)
        for name, trees in (("poor", "1"), ("good", "60")):
            train(data, self.dir / name, "--label", "fails", "--ignore", "way,yield", "--trees", trees, "--depth", "2" if trees == "1" else "4")
        done = run("compare", self.dir / "poor", self.dir / "good", later, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        gain = report["gain"]
        self.assertEqual(report["rows"], 1_000)
        self.assertAlmostEqual(gain["value"], report["challenger_average_precision"] - report["champion_average_precision"])
        self.assertGreater(gain["low"], 0)
        self.assertIn("the second is better", run("compare", self.dir / "poor", self.dir / "good", later).stdout)
        self.assertIn("the first is better", run("compare", self.dir / "good", self.dir / "poor", later).stdout)
        self.assertIn("do not tell", run("compare", self.dir / "good", self.dir / "good", later).stdout)
        later.write_text("load,heat\n1,2\n")
        done = run("compare", self.dir / "poor", self.dir / "good", later)
        self.assertEqual(done.returncode, 1)
        self.assertIn("'fails'", done.stderr)

    def test_each_task_has_its_plots_and_the_card_shows_them(self):
        expected = {"binary": CURVES + TREES, "several": ["plot-confusion.svg", "plot-precision-recall.svg", "plot-roc.svg"] + TREES,
                    "number": ["plot-predicted.svg", "plot-residuals.svg"] + TREES, "strange": []}
        for name, plots in expected.items():
            self.assertEqual(self.plots(name), sorted([*plots, "plot-anomaly.svg"]), name)
            card = (self.dir / name / "card.md").read_text()
            self.assertEqual(sorted(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", card)), self.plots(name))
            for plot in self.plots(name):
                root = xml.parse(self.dir / name / plot).getroot()  # well-formed, whatever the classes are called
                self.assertEqual(root.tag, f"{SVG}svg")
                texts = [text.text for text in root.iter(f"{SVG}text")]
                self.assertGreater(len(texts), 8, plot)
                self.assertNotIn("nan", " ".join(filter(None, texts)).lower())
                self.assertLess((self.dir / name / plot).stat().st_size, 200_000)
                self.assertIn("prefers-color-scheme:dark", (self.dir / name / plot).read_text())
        roc = xml.parse(self.dir / "several" / "plot-roc.svg").getroot()
        self.assertTrue(any(text.text.startswith("<b>bent & \"torn\" against the rest: AUC") for text in roc.iter(f"{SVG}text")))

    def test_curves_are_the_reports_figures(self):
        model = self.reports["binary"]["holdout"]["model"]
        for plot, figure in (("plot-roc.svg", "auc"), ("plot-precision-recall.svg", "average_precision")):
            root = xml.parse(self.dir / "binary" / plot).getroot()
            self.assertAlmostEqual(area_below(line_points(root, 0)), model[figure]["value"], delta=0.002)
            shown = " ".join(text.text for text in root.iter(f"{SVG}text"))
            self.assertIn("{value:.3f} [{low:.3f}, {high:.3f}]".format(**model[figure]), shown)
        reliability = self.reports["binary"]["calibration"]["holdout"]["reliability"]
        filled = [b for b in reliability if b["rows"] > 0]
        root = xml.parse(self.dir / "binary" / "plot-calibration.svg").getroot()
        dots = next(p for p in root.iter(f"{SVG}path") if p.get("class") == "dot s0").get("d")
        drawn = [tuple(map(float, at)) for at in re.findall(r"M([\d.]+) ([\d.]+)", dots)]
        expected = [(78 + 552 * b["mean_score"], 394 - 330 * b["positive_share"]) for b in filled]
        for (x, y), (at_x, at_y) in zip(sorted(drawn), sorted(expected), strict=True):
            self.assertAlmostEqual(x, at_x, delta=0.1)
            self.assertAlmostEqual(y, at_y, delta=0.1)

    def test_without_held_out_rows_the_inner_folds_are_drawn(self):
        train(self.dir / "train.csv", self.dir / "all", "--label", "fails", "--ignore", "way,yield", "--holdout", "0")
        self.assertIn("1500 rows of the inner folds", (self.dir / "all" / "plot-roc.svg").read_text())

    def test_plots_travel_with_the_packed_model(self):
        packed = run("pack", self.dir / "binary", "--name", "demo", "--version", "1", "--out", self.dir / "layout")
        self.assertEqual(packed.returncode, 0, packed.stderr)
        blobs = self.dir / "layout" / "blobs" / "sha256"
        manifest = next(m for m in (json.loads(p.read_text()) for p in blobs.iterdir() if p.read_bytes()[:1] == b"{") if m.get("layers"))
        layers = {layer["annotations"]["org.cncf.model.filepath"]: layer for layer in manifest["layers"]}
        for plot in self.plots("binary"):
            self.assertEqual(layers[plot]["mediaType"], "application/vnd.cncf.model.doc.v1.raw")
            self.assertEqual((blobs / layers[plot]["digest"].split(":")[1]).read_bytes(), (self.dir / "binary" / plot).read_bytes())

    def group(self, report, column, name):
        table = next(t for t in report["slices"] if t["column"] == column)
        return next(g for g in table["groups"] if g["group"] == name)

    def test_slices_show_the_part_that_the_model_fails_on(self):
        report = self.reports["binary"]
        self.assertEqual([table["column"] for table in report["slices"]], ["kind", "plant", "shift"])
        for table in report["slices"]:
            self.assertEqual(sum(g["rows"] for g in table["groups"]) + table["left_out_rows"], report["holdout_rows"])
        north, south = (self.group(report, "plant", plant)["figures"]["auc"] for plant in ("north", "south"))
        self.assertGreater(north["low"], south["high"])
        card = (self.dir / "binary" / "card.md").read_text()
        self.assertRegex(card, r"\| plant \| rows \| of class 1 \| AUC \| average precision \| F1 \| alarm rate \|\n.*\n\| north \| \d+ \| \d+ \| 0\.9")
        self.assertEqual(json.loads((self.dir / "binary" / "report.json").read_text())["slices"], report["slices"])
        for name, figures in (("several", ["accuracy", "log_loss", "macro_f1"]), ("number", ["mae", "r2", "rmse"]), ("strange", ["alarm_rate"])):
            self.assertEqual(sorted(self.group(self.reports[name], "plant", "south")["figures"]), figures)
        rmse = [self.group(self.reports["number"], "plant", plant)["figures"]["rmse"] for plant in ("north", "south")]
        self.assertLess(rmse[0]["high"], rmse[1]["low"])

    def test_evaluate_gives_the_slices_that_scored_rows_have(self):
        done = run("evaluate", self.dir / "binary", self.dir / "later.csv", "--json", "--slice", "shift", "--slice", "load")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual([g["group"] for g in report["slices"][0]["groups"]], ["1", "2", "3"])
        self.assertEqual([g["group"].split()[0] for g in report["slices"][1]["groups"]], ["up", "over", "over", "over", "(missing)"])
        self.assertEqual(run("score", self.dir / "later.csv", self.dir / "binary", "--out", self.dir / "later-scored.csv").returncode, 0)
        with (self.dir / "later-scored.csv").open() as rows:
            rows = list(csv.DictReader(rows))
        for shift in "123":
            mine = [(float(r["score"]), int(r["fails"])) for r in rows if r["shift"] == shift]
            group = self.group(report, "shift", shift)
            self.assertEqual((group["rows"], group["positives"]), (len(mine), sum(truth for _, truth in mine)))
            raised = [score >= report["threshold"] for score, _ in mine]
            self.assertAlmostEqual(group["figures"]["alarm_rate"]["value"], sum(raised) / len(mine), delta=1e-9)
            found = [score for score, truth in mine if truth]
            other = [score for score, truth in mine if not truth]
            auc = sum((a > b) + 0.5 * (a == b) for a in found for b in other) / len(found) / len(other)
            self.assertAlmostEqual(group["figures"]["auc"]["value"], auc, delta=1e-9)
        text = run("evaluate", self.dir / "binary", self.dir / "later.csv").stdout
        self.assertRegex(text, r"by plant +rows  class 1  AUC")
        self.assertRegex(text, r"\n  south +\d+ +\d+  0\.")

    def test_columns_that_cannot_be_sliced_are_refused_before_anything_is_trained(self):
        for column, named in (("nothing", "no column to slice by 'nothing'"), ("fails", "is the label"), ("yield", None)):
            done = run("train", self.dir / "train.csv", "--label", "fails", "--ignore", "way,yield", "--out", self.dir / f"by-{column}", "--slice", column)
            self.assertEqual(done.returncode, 1 if named else 0, done.stderr)
            self.assertEqual((self.dir / f"by-{column}").exists(), not named)
            if named:
                self.assertIn(named, done.stderr)
                self.assertNotIn("trees", done.stderr)
        done = run("evaluate", self.dir / "binary", self.dir / "later.csv", "--slice", "nothing")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no column to slice by 'nothing'", done.stderr)

    def test_evaluate_writes_the_same_report_with_plots_of_other_rows(self):
        for name in self.reports:
            out = self.dir / f"{name}-later"
            done = run("evaluate", self.dir / name, self.dir / "later.csv", "--json", "--out", out)
            self.assertEqual(done.returncode, 0, done.stderr)
            plots = sorted(path.name for path in out.glob("*.svg"))
            self.assertEqual(plots, [plot for plot in self.plots(name) if plot != "plot-importance.svg"])
            self.assertEqual(json.loads((out / "report.json").read_text()), json.loads(done.stdout))
            text = (out / "report.md").read_text()
            self.assertEqual(sorted(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)), plots)
            self.assertIn("| south |", text)
            self.assertIn("900 rows", xml.parse(out / "plot-anomaly.svg").getroot().find(f"{SVG}desc").text)
            self.assertEqual(sorted(path.name for path in out.iterdir()), sorted([*plots, "report.json", "report.md"]))
            again = run("evaluate", self.dir / name, self.dir / "later.csv", "--out", out)
            self.assertEqual(again.returncode, 1)
            self.assertIn("is there already", again.stderr)
        shown = " ".join(text.text for text in xml.parse(self.dir / "binary-later" / "plot-roc.svg").getroot().iter(f"{SVG}text"))
        auc = json.loads((self.dir / "binary-later" / "report.json").read_text())["auc"]
        self.assertIn("{value:.3f} [{low:.3f}, {high:.3f}]".format(**auc), shown)

    def packed(self, name):
        layout = self.dir / f"{name}-layout"
        done = run("pack", self.dir / name, "--name", "demo", "--version", "1", "--out", layout)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split()[-1]

    def provenance(self, name):
        return json.loads((self.dir / name / "provenance.json").read_text())

    def test_same_seed_and_data_give_the_same_digest_and_a_changed_byte_another(self):
        (self.dir / "copy").mkdir()
        data = self.dir / "copy" / "train.csv"
        rows = (self.dir / "train.csv").read_bytes()
        data.write_bytes(rows)
        options = ("--label", "fails", "--ignore", "way,yield", "--context", "plant,shift", "--calibration", "sigmoid")
        train(data, self.dir / "same", *options)
        train(data, self.dir / "seeded", *options, "--seed", "2")
        self.assertTrue(rows.endswith(b"\r\n"))
        data.write_bytes(rows[:-3] + (b"7" if rows[-3:-2] != b"7" else b"8") + rows[-2:])  # a digit of a column that is ignored
        train(data, self.dir / "changed", *options)
        self.assertEqual(contents(self.dir / "same"), contents(self.dir / "binary"))
        digests = {name: self.packed(name) for name in ("binary", "same", "seeded", "changed")}
        self.assertTrue(digests["binary"].startswith("sha256:"))
        self.assertEqual(digests["same"], digests["binary"])
        self.assertEqual(len(set(digests.values())), 3)
        for name, path in (("binary", self.dir / "train.csv"), ("changed", data)):
            digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
            self.assertEqual(self.provenance(name)["data"], [{"file": "train.csv", "digest": digest}])
        changed, first = self.provenance("changed"), self.provenance("binary")
        self.assertEqual({key for key in first if first[key] != changed[key]}, {"data", "files"})
        self.assertEqual({name for name in first["files"] if first["files"][name] != changed["files"][name]}, {"card.md", "report.json"})

    def test_provenance_tells_what_the_package_was_made_of_and_nothing_of_where(self):
        for name in self.reports:
            told = self.provenance(name)
            files = contents(self.dir / name)
            del files["provenance.json"]
            self.assertEqual(told["files"], {file: "sha256:" + hashlib.sha256(files[file]).hexdigest() for file in files})
            self.assertEqual(sorted(told["software"]), ["duckdb", "onnxruntime", "skerry"] + (["trees"] if name != "strange" else []))
            text = (self.dir / name / "provenance.json").read_text()
            for place in (str(self.dir), self.dir.name, socket.gethostname()):
                self.assertNotIn(place, text)
            self.assertNotIn("seconds", json.loads((self.dir / name / "report.json").read_text()))
            self.assertIn("seconds", self.reports[name])
        told = self.provenance("binary")
        self.assertEqual((told["options"]["label"], told["options"]["ignore"], told["options"]["calibration"]), ("fails", ["way", "yield"], "sigmoid"))
        self.assertEqual(told["parameters"], self.reports["binary"]["parameters"])
        self.assertRegex(told["software"]["trees"], r"^XGBoost \d+\.\d+\.\d+$")
        self.assertNotEqual(told["split"]["assignment"], self.provenance("several")["split"]["assignment"])


if __name__ == "__main__":
    run_tests(__name__)
