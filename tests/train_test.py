"""skerry train, evaluate and compare from the outside. Prints "N passed, N failed, N skipped"."""
import json
import pathlib
import random
import tempfile
import unittest

from skerry_process import run, run_tests


def machine_rows(rows, seed=1):
    """Dicts of: speed, torque, grade, unit (40 of them), day, weight, failed."""
    rng = random.Random(seed)
    for i in range(rows):
        speed, torque, grade = rng.gauss(1500, 200), rng.gauss(40, 10), rng.choice("ABC")
        failed = speed * torque > 70_000 + (0 if grade == "A" else 8_000) and rng.random() < 0.95
        yield {"speed": f"{speed:.1f}", "torque": f"{torque:.2f}", "grade": grade, "unit": f"u{i % 40}",
               "day": f"2026-01-{1 + i * 28 // rows:02}", "weight": 1 + i % 3, "failed": int(failed)}


def write_csv(path, rows):
    rows = list(rows)
    lines = [",".join(rows[0])] + [",".join(str(cell) for cell in row.values()) for row in rows]
    path.write_text("\n".join(lines) + "\n")


class Train(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-train-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        self.data = self.dir / "machines.csv"
        write_csv(self.data, machine_rows(800))

    def train(self, *args, data=None, out="model", label="failed"):
        names = data or [self.data]
        return run("train", *names, *(["--label", label] if label else []), "--out", self.dir / out, *args)

    def refused(self, *args, **named):
        """The message of a training that must fail with status 1 and leave nothing behind."""
        before = sorted(p.name for p in self.dir.iterdir())
        done = self.train(*args, **named)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(sorted(p.name for p in self.dir.iterdir()), before)
        return done.stderr

    def report(self, *args, **named):
        done = self.train(*args, "--json", **named)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_groups_times_and_weights(self):
        grouped = self.report("--group", "unit", "--weight", "weight", "--ignore", "day")
        self.assertEqual(grouped["split"]["group"], {"column": "unit", "groups": 40})
        self.assertEqual(grouped["holdout_rows"], 160)
        schema = json.loads((self.dir / "model/schema.json").read_text())
        self.assertEqual({f["column"]: f["role"] for f in schema["fields"]},
                         {"speed": "feature", "torque": "feature", "grade": "feature", "unit": "id"})
        timed = self.report("--time", "day", "--ignore", "unit,weight", out="timed")
        self.assertEqual(timed["split"]["time"], {"column": "day"})
        self.assertIn("time column 'grade' holds text", self.refused("--time", "grade", out="not"))
        self.assertIn("no group column 'units'", self.refused("--group", "units", out="not"))

    def test_what_gives_the_label_away_is_said(self):
        rows = [{**row, "repaired": "later" if row["failed"] else "no"} for row in machine_rows(600)]
        write_csv(self.data, rows + rows[:60])
        report = self.report("--ignore", "unit,day,weight")
        self.assertEqual(report["split"]["copies"], 60)
        text = "\n".join(report["warnings"])
        self.assertIn("label 'failed' is a function of column 'repaired'", text)
        self.assertIn("60 of 660 rows have the features of an earlier row", text)
        self.assertIn("function of column 'repaired'", (self.dir / "model/card.md").read_text())


if __name__ == "__main__":
    run_tests(__name__)
