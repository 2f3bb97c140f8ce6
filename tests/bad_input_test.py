"""skerry train on data that is wrong, odd, or goes away meanwhile: a clear message, status 1, nothing half-written. Prints "N passed, N failed, N skipped"."""
import json
import os
import resource
import subprocess
import unittest

from skerry_process import SKERRY, run_tests
from train_case import TrainCase, machine_rows, write_csv


class BadInput(TrainCase):
    def test_bad_input_is_told_and_leaves_nothing(self):
        rows = list(machine_rows(300))

        def table(change):
            write_csv(self.data, [change(i, dict(row)) for i, row in enumerate(rows)])

        table(lambda i, row: {**row, "failed": 0})
        self.assertIn("one class only", self.refused())
        table(lambda i, row: {**row, "failed": "NaN" if i == 4 else i % 2})
        self.assertIn("'failed' is blank in 1 of 300 rows (row 5)", self.refused())
        table(lambda i, row: {**row, "torque": "inf" if i == 6 else row["torque"]})
        self.assertIn("column 'torque', row 7: infinite", self.refused())
        table(lambda i, row: {**row, "torque": "broken" if i == 8 else row["torque"]})
        self.assertIn("column 'torque' holds numbers, but row 9 says 'broken'", self.refused())
        table(lambda i, row: {"speed": "", "failed": i % 2})
        self.assertIn("no column is left to learn from", self.refused())
        table(lambda i, row: {"speed": "5", "failed": i % 2})
        self.assertIn("no column is left to learn from", self.refused())
        with self.data.open("w") as out:
            out.write("x,failed\n" + "".join(f"{i % 7},c{i}\n" for i in range(1_000_000)))
        message = self.refused()
        self.assertIn("label 'failed'", message)
        self.assertIn("different values", message)

    def test_a_column_of_100000_texts_is_an_id(self):
        with self.data.open("w") as out:
            out.write("x,name,failed\n" + "".join(f"{i * 37 % 1000},n{i},{int(i * 37 % 1000 > 700)}\n" for i in range(100_000)))
        done = self.train()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("column 'name' has over 100 different texts: carried as an id", done.stderr)

    def test_files_that_cannot_be_read_as_one_table_are_told_apart(self):
        rows = list(machine_rows(300))
        other = self.dir / "other.csv"
        both = [self.data, other]

        def second(change):
            write_csv(other, [change(dict(row)) for row in rows])

        second(lambda row: {**row, "pressure": 1})
        self.assertIn("other.csv has a column 'pressure', which the files before it do not have", self.refused(data=both))
        second(lambda row: {name: cell for name, cell in row.items() if name != "grade"})
        self.assertIn("other.csv has no column 'grade', which the first file has", self.refused(data=both))
        second(lambda row: {**row, "torque": "much"})
        self.assertIn("column 'torque' is text in", self.refused(data=both))
        second(lambda row: {**row, "torque": ""})  # a column that is missing throughout takes the other's type
        self.assertEqual(self.report("--ignore", "unit,day", data=both, out="both")["rows"], 1100)
        for text, words in (("", "is empty"), ("speed,failed\n", "has a header and no rows"), ("a,a,failed\n1,2,0\n", "two columns named 'a'"),
                            ("a,failed\n" + "1,0\n" * 200 + "1,2,3,4\n", "Line: 202"), ("a,failed\n" + "1,0\n" * 200 + "1\n", "Line: 202")):
            self.data.write_text(text)
            self.assertIn(words, self.refused(), text[:40])
        self.data.write_bytes(bytes(range(256)) * 20)
        self.assertIn("machines.csv", self.refused())
        (self.dir / "rows.parquet").write_bytes(bytes(range(256)) * 20)
        self.assertIn("rows.parquet", self.refused(data=[self.dir / "rows.parquet"]))
        (self.dir / "rows.ndjson").write_text('{"a": 1, "failed": 0}\n{"a": 2, "failed"\n')
        self.assertIn("rows.ndjson", self.refused(data=[self.dir / "rows.ndjson"]))
        self.assertIn("there is no file", self.refused(data=[self.dir / "none.csv"]))
        self.assertIn("is a directory", self.refused(data=[self.dir]))

    def test_columns_without_news_dates_and_text_are_left_out_with_a_word(self):
        rows = [{**row, "site": "north", "level": 7, "note": "", "remark": f"seen by {i} at {i * i}", "due": f"2027-02-{1 + i % 28:02}"}
                for i, row in enumerate(machine_rows(400))]
        write_csv(self.data, rows)
        columns = ("--ignore", "unit,weight,day")
        done = self.train(*columns)
        self.assertEqual(done.returncode, 0, done.stderr)
        for words in ("column 'site' is 'north' throughout: left out", "column 'level' is 7 throughout: left out",
                      "column 'note' is blank throughout: left out", "column 'remark' has over 100 different texts: carried as an id",
                      "column 'due' is a time: carried as context"):
            self.assertIn(words, done.stderr)
        roles = {f["column"]: f["role"] for f in json.loads((self.dir / "model/schema.json").read_text())["fields"]}
        self.assertEqual(roles, {"speed": "feature", "torque": "feature", "grade": "feature", "remark": "id", "due": "context"})
        schema = self.dir / "schema.yaml"
        schema.write_text('format: skerry-columns/1\ncolumns:\n  "due": {role: feature, type: category}\n')
        self.report(*columns, "--schema", schema, out="told")
        fields = {f["column"]: f for f in json.loads((self.dir / "told/schema.json").read_text())["fields"]}
        self.assertEqual(len(fields["due"]["categories"]), 28)
        schema.write_text('format: skerry-columns/1\ncolumns:\n  "due": {role: feature, type: number}\n')
        self.assertIn("make a number of them", self.refused(*columns, "--schema", schema, out="not"))
        schema.write_text('format: skerry-columns/1\ncolumns:\n  "remark": {role: feature, type: number}\n')
        self.assertIn("row 1 says 'seen by 0 at 0'", self.refused(*columns, "--schema", schema, out="not"))
        self.assertIn("label 'due' holds times", self.refused(*columns, label="due", out="not"))

    def test_columns_of_mixed_types(self):
        write_csv(self.data, [{**row, "torque": row["torque"] if i % 2 else f"about {i % 5}"} for i, row in enumerate(machine_rows(400))])
        done = self.train("--ignore", "unit,weight,day")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("column 'torque' has over 100 different texts: carried as an id", done.stderr)
        lines = [json.dumps({**row, "speed": float(row["speed"]), "torque": "low" if i % 3 else 5}) for i, row in enumerate(machine_rows(400))]
        (self.dir / "rows.ndjson").write_text("\n".join(lines) + "\n")
        self.report("--ignore", "unit,weight,day", data=[self.dir / "rows.ndjson"], out="json")
        fields = {f["column"]: f for f in json.loads((self.dir / "json/schema.json").read_text())["fields"]}
        self.assertEqual(fields["torque"]["categories"], ["5", "low"])

    def test_labels_that_are_no_labels(self):
        rows = list(machine_rows(300))

        def labelled(label):
            write_csv(self.data, [{**row, "failed": label(i)} for i, row in enumerate(rows)])

        labelled(lambda i: "odd" if i < 3 else "abc"[i % 3])
        self.assertIn("training rows have label 'odd'; at least 10 are needed", self.refused())
        labelled(lambda i: "inf" if i == 6 else i)
        self.assertIn("column 'failed', row 7: infinite", self.refused("--task", "regression"))
        labelled(lambda i: "" if i % 100 == 0 else i % 2)
        self.assertIn("blank in 3 of 300 rows (row 1, 101, 201)", self.refused())
        labelled(lambda i: 4)
        self.assertIn("one class only", self.refused("--task", "regression"))
        labelled(lambda i: i % 2)
        self.assertIn("no label column 'broken'", self.refused(label="broken"))
        write_csv(self.data, [{**row, "failed": i % 2} for i, row in enumerate(rows[:14])])
        self.assertIn("at least 10 are needed", self.refused())

    def test_told_categories_have_a_limit(self):
        with self.data.open("w") as out:
            out.write("x,name,failed\n" + "".join(f"{i * 37 % 1000},n{i},{int(i * 37 % 1000 > 700)}\n" for i in range(100_000)))
        schema = self.dir / "schema.yaml"
        schema.write_text('format: skerry-columns/1\ncolumns:\n  "name": {role: feature, type: category}\n')
        self.assertIn("column 'name' has over 1000 different texts; a category has 1 to 1000", self.refused("--schema", schema))

    def test_what_gives_a_class_or_a_number_away_is_said(self):
        grades = {"A": "good", "B": "fair", "C": "poor"}
        rows = [{"speed": row["speed"], "torque": row["torque"], "mark": grades[row["grade"]], "cost": f"{float(row['torque']) * 3 + float(row['speed']) / 1000:.4f}", "grade": row["grade"]}
                for row in machine_rows(600)]
        write_csv(self.data, rows + rows[:30])
        report = self.report("--ignore", "cost", label="grade")
        text = "\n".join(report["warnings"])
        self.assertIn("column 'mark' alone tells label 'grade' (100.0 % fewer errors by it alone)", text)
        self.assertIn("30 of 630 rows have the features of an earlier row, 0 of them with another label", text)
        report = self.report("--task", "regression", "--ignore", "mark,grade", label="cost", out="number")
        self.assertIn("column 'torque' alone tells label 'cost' (R2 0.9", "\n".join(report["warnings"]))
        write_csv(self.data, [{**row, "part": f"p{i % 60}", "cost": (i % 60) * 37 % 101} for i, row in enumerate(rows)])
        report = self.report("--task", "regression", "--ignore", "mark,grade", label="cost", out="priced")
        self.assertIn("label 'cost' is a function of column 'part'", "\n".join(report["warnings"]))
        report = self.report("--task", "anomaly", "--ignore", "mark,grade,cost", label=None, out="alone")
        self.assertEqual(report["warnings"], [])

    def test_a_file_that_changes_while_it_is_read(self):
        """The first of two files grows as soon as it is named: the second is still to be read then."""
        other = self.dir / "other.csv"
        write_csv(other, machine_rows(60_000, seed=2))
        before = sorted(p.name for p in self.dir.iterdir())
        process = subprocess.Popen([SKERRY, "train", self.data, other, "--label", "failed", "--out", self.dir / "model"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if line.startswith("reading "):
                with self.data.open("a") as out:
                    out.write("1,2,A,u1,2026-01-01,1,0\n")
                break
        rest = process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(60), 1)
        self.assertIn(f"{self.data} changed while it was read: train on a copy", rest)
        self.assertEqual(sorted(p.name for p in self.dir.iterdir()), before)

    def test_a_full_disk_leaves_nothing(self):
        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
        before = sorted(p.name for p in self.dir.iterdir())
        for more, what in (([], "File too large"), (["--from-disk"], "a scratch file in")):
            done = subprocess.run([SKERRY, "train", self.data, "--label", "failed", "--out", self.dir / "model", *more],
                                  capture_output=True, text=True, preexec_fn=small_files, timeout=120, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(what, done.stderr)
            self.assertEqual(sorted(p.name for p in self.dir.iterdir()), before, done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to mount a small disk")
    def test_a_disk_that_fills_leaves_nothing(self):
        """20 KB hold the first files of the package, not all."""
        disk = self.dir / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20k", "skerry-test", disk], capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            self.skipTest(f"no disk can be mounted here: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        message = self.refused(out="disk/model")
        self.assertIn("No space left on device", message)
        self.assertEqual(list(disk.iterdir()), [])


# What stands for spark-submit, and shows what it was given: the job says what the limits allow.
SUBMIT = """#!/bin/sh
for job; do :; done  # the last word
cat "$job" > "%s"
echo 'skerry-job: {"event": "failed", "text": "seen"}'
exit 1
"""


class SparkLimits(TrainCase):
    def job(self, data):
        submit, seen = self.dir / "submit", self.dir / "seen.json"
        submit.write_text(SUBMIT % seen)
        submit.chmod(0o755)
        done = self.train("--engine", "spark", "--master", "local[1]", "--spark-submit", submit, data=[data])
        self.assertEqual(done.returncode, 1)
        self.assertIn("Spark: seen", done.stderr)
        return json.loads(seen.read_text())

    def test_the_schema_is_chosen_by_the_first_million_rows(self):
        """kSchemaRows: what comes after them is no category, and no type."""
        with self.data.open("w") as out:
            out.write("kind,failed\n")
            out.write("".join(f"{'abc'[i % 3]},{i // 7 % 2}\n" for i in range(1_000_000)))
            out.write("late,1\n" * 5)
        fields = self.job(self.data)["schema"]["fields"]
        self.assertEqual([f["categories"] for f in fields], [["a", "b", "c"]])

    def test_a_million_rows_or_64_million_cells_come_back(self):
        """kReturnedRows, and for 80 features kReturnedCells."""
        self.assertEqual(self.job(self.data)["returned_rows"], 1_000_000)
        write_csv(self.data, [{**{f"f{j}": (i * j + i) % 97 for j in range(80)}, "failed": i % 2} for i in range(100)])
        self.assertEqual(self.job(self.data)["returned_rows"], 800_000)


if __name__ == "__main__":
    run_tests(__name__)
