"""What a training leaves for people: plots, the card that shows them. Prints "N passed, N failed, N skipped"."""
import csv
import json
import pathlib
import random
import re
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

    def test_same_seed_and_data_give_the_same_plots(self):
        train(self.dir / "train.csv", self.dir / "again", "--label", "fails", "--ignore", "way,yield", "--context", "plant,shift", "--calibration", "sigmoid")
        first, again = contents(self.dir / "binary"), contents(self.dir / "again")
        self.assertEqual({name: again[name] for name in self.plots("again")}, {name: first[name] for name in self.plots("binary")})

    def test_plots_travel_with_the_packed_model(self):
        packed = run("pack", self.dir / "binary", "--name", "demo", "--version", "1", "--out", self.dir / "layout")
        self.assertEqual(packed.returncode, 0, packed.stderr)
        blobs = self.dir / "layout" / "blobs" / "sha256"
        manifest = next(m for m in (json.loads(p.read_text()) for p in blobs.iterdir() if p.read_bytes()[:1] == b"{") if m.get("layers"))
        layers = {layer["annotations"]["org.cncf.model.filepath"]: layer for layer in manifest["layers"]}
        for plot in self.plots("binary"):
            self.assertEqual(layers[plot]["mediaType"], "application/vnd.cncf.model.doc.v1.raw")
            self.assertEqual((blobs / layers[plot]["digest"].split(":")[1]).read_bytes(), (self.dir / "binary" / plot).read_bytes())


if __name__ == "__main__":
    run_tests(__name__)
