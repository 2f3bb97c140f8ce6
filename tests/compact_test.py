"""skerry compact. Prints "N passed, N failed, N skipped"."""
import pathlib
import tempfile
import unittest

from skerry_process import run, run_tests, train_package, write_table


class CompactTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-compact-test-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)

    def test_a_training_on_the_compacted_files_is_the_same(self):
        train_package(self.dir)
        for part in range(30):
            write_table(self.dir / "part.csv", 40, seed=part)
            scored = run("score", self.dir / "part.csv", self.dir / "model", "--out", self.dir / f"part-{part:02}.parquet")
            self.assertEqual(scored.returncode, 0, scored.stderr)
        done = run("compact", self.dir / "part-*.parquet", "--out", self.dir / "few")
        self.assertEqual(done.stdout, f"{self.dir}/few: 1,200 rows of 30 files in 1\n", done.stderr)
        self.assertEqual([file.name for file in (self.dir / "few").iterdir()], ["part-00000.parquet"])
        digests = []
        for data in ("part-*.parquet", "few/*.parquet"):
            out = self.dir / f"of-{len(digests)}"
            trained = run("train", self.dir / data, "--label", "failure", "--out", out)
            self.assertEqual(trained.returncode, 0, trained.stderr)
            digests.append((out / "model.onnx").read_bytes())
        self.assertEqual(digests[0], digests[1])

    def test_refusals(self):
        write_table(self.dir / "part.csv")
        for args, words in (([self.dir / "part.csv", "--out", self.dir / "few"], "is no Parquet file"),
                            ([self.dir / "*.parquet", "--out", self.dir / "few"], "no file matches"),
                            ([self.dir / "part.csv", "--out", self.dir], "is there already")):
            done = run("compact", *args)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(words, done.stderr)
        self.assertEqual([file.name for file in self.dir.iterdir()], ["part.csv"])


if __name__ == "__main__":
    run_tests(__name__)
