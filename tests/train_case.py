"""What the tests of `skerry train` share: a small table of machines, and a directory to train in."""
import json
import pathlib
import random
import tempfile
import unittest

from skerry_process import run


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


class TrainCase(unittest.TestCase):
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
