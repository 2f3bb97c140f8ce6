"""Drives skerry score from the outside: threads, memory, interruption, the server's own answers. Prints "N passed, N failed, N skipped"."""
import csv
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest
import urllib.request

from skerry_process import SKERRY, Served, run, run_tests, train_package

ROWS = 2_000_000
BLOCK = 20_000


def row(number):
    """Row `number`, from 0 on: a, b, kind, and a column that is no field."""
    return f"{number % 977 / 10 - 3:.6g},{number % 13 / 7 - 1:.6g},{'xyz'[number % 3]},\"n, {number % BLOCK}\"\n"


def thread_ticks(pid):
    """The CPU time of each thread, clock ticks."""
    ticks = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            ticks.append(int(fields[11]) + int(fields[12]))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return ticks


class ScoreFile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-score-file-")
        cls.dir = pathlib.Path(cls.temporary.name)
        train_package(cls.dir)
        block = "".join(map(row, range(BLOCK)))
        with (cls.dir / "rows.csv").open("w") as out:
            out.write("a,b,kind,note\n")
            for _ in range(ROWS // BLOCK):
                out.write(block)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def start(self, out, *options):
        return subprocess.Popen([SKERRY, "score", self.dir / "rows.csv", self.dir / "model", "--out", out, *options],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_two_million_rows_on_two_threads_in_little_memory(self):
        for name, limit_mib in (("scored.csv", 100), ("scored.parquet", 600)):
            process = self.start(self.dir / name, "--threads", "2", "--json")
            peak_kib = 0
            while True:
                try:
                    output, errors = process.communicate(timeout=0.1)
                    break
                except subprocess.TimeoutExpired:
                    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                    peak_kib = max([peak_kib] + [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")])
                    ticks = thread_ticks(process.pid)
                    if name == "scored.csv" and len(ticks) > 1:
                        busiest = sorted(ticks)[-2:]
            self.assertEqual(process.returncode, 0, errors)
            self.assertEqual(errors, "", "progress is for terminals")
            self.assertEqual(json.loads(output)["rows"], ROWS)
            self.assertLess(peak_kib, limit_mib * 1024)
            print(f"{name}: peak {peak_kib} KiB, {json.loads(output)['seconds']:.1f} s")
        self.assertGreater(busiest[0], busiest[1] / 3, "one thread did nearly all")
        with (self.dir / "scored.csv").open() as scored:
            reader = csv.reader(scored)
            self.assertEqual(next(reader), ["a", "b", "kind", "note", "prediction", "score", "anomaly_score"])
            for number, fields in enumerate(reader):
                if fields[3] != f"n, {number % BLOCK}":
                    self.fail(f"row {number} is out of order: {fields}")
        self.assertEqual(number, ROWS - 1)

    def test_scores_are_those_of_the_server(self):
        head = "a,b,kind,note\n" + "".join(map(row, range(3000))) + ",,,missing\n"
        (self.dir / "some.csv").write_text(head)
        self.assertEqual(run("score", self.dir / "some.csv", self.dir / "model", "--out", self.dir / "some.out.csv").returncode, 0)
        with Served("serve", "--http", "127.0.0.1:0", f"demo={self.dir / 'model'}") as server:
            request = urllib.request.Request(f"{server.url}/v1/score", head.encode(), {"Content-Type": "text/csv"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                served = [json.loads(line) for line in answer]
        with (self.dir / "some.out.csv").open() as scored:
            rows = list(csv.DictReader(scored))
        self.assertEqual(len(rows), len(served))
        for given, wanted in zip(rows, served):
            self.assertEqual((given["prediction"], float(given["score"]), float(given["anomaly_score"])),
                             (wanted["prediction"], wanted["score"], wanted["anomaly_score"]))

    def test_interruption_leaves_the_old_file_and_nothing_else(self):
        for name in ("out.csv", "out.parquet"):
            directory = self.dir / f"of-{name}"
            directory.mkdir()
            (directory / name).write_text("old")
            process = self.start(directory / name)
            # Its temporary directory is there, with a part of the file in it, once rows are written.
            while process.poll() is None and not any(path.stat().st_size for path in directory.glob(".*/*")):
                pass
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 1, errors)
            self.assertIn("interrupted", errors)
            self.assertEqual(os.listdir(directory), [name])
            self.assertEqual((directory / name).read_text(), "old")

    def test_progress_is_a_bar_on_a_terminal(self):
        controller, terminal = os.openpty()
        process = subprocess.Popen([SKERRY, "score", self.dir / "rows.csv", self.dir / "model", "--out", self.dir / "bar.csv"],
                                   stdout=subprocess.DEVNULL, stderr=terminal)
        os.close(terminal)
        shown = b""
        try:
            while piece := os.read(controller, 4096):
                shown += piece
        except OSError:  # the terminal's other side was closed
            pass
        os.close(controller)
        self.assertEqual(process.wait(60), 0)
        self.assertRegex(shown.decode(), r"\[#+-+\] +\d+ %  [\d,]+ rows, [\d,]+ a second")


if __name__ == "__main__":
    run_tests(__name__)
