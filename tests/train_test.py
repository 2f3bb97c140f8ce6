"""skerry train, evaluate and compare from the outside. Prints "N passed, N failed, N skipped"."""
import json
import os
import pathlib
import signal
import subprocess
import unittest

from skerry_process import SKERRY, run, run_tests
from train_case import TrainCase, machine_rows, write_csv

AI4I = pathlib.Path(os.environ.get("SKERRY_TEST_DATA", "/nowhere")) / "ai4i2020/ai4i2020.csv"


class Train(TrainCase):
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

    def test_parameters_of_the_trees(self):
        few = self.report("--trees", "7", "--depth", "2", "--learning-rate", "0.3", "--threads", "1", "--bins", "16")
        told = {"trees": 7, "depth": 2, "learning_rate": 0.3, "threads": 1, "bins": 16}
        self.assertEqual({name: few["parameters"][name] for name in told}, told)
        self.assertLessEqual(few["trees"], 7)
        for wrong in (("--trees", "0"), ("--depth", "21"), ("--learning-rate", "0"), ("--threads", "0"), ("--bins", "1"), ("--bins", "65537")):
            done = self.train(*wrong, out="wrong")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(wrong[0], done.stderr)

    def test_a_search_chooses_on_inner_folds_alone(self):
        """With --time the latest rows are held out: other labels of theirs change no choice and no model."""
        rows = list(machine_rows(800))
        columns = ("--time", "day", "--ignore", "unit,weight", "--search", "6")
        first = self.report(*columns)
        last = max(row["day"] for row in rows)
        held_out = [row for row in rows if row["day"] > f"2026-01-{int(last[-2:]) - 5:02}"]
        labels = [row["failed"] for row in held_out]
        self.assertLess(len(held_out), first["holdout_rows"] + 1)
        for row, label in zip(held_out, labels[::-1]):
            row["failed"] = label
        write_csv(self.data, rows)
        other = self.report(*columns, out="other")
        self.assertNotEqual(first["holdout"], other["holdout"])
        for member in ("search", "parameters", "trees", "threshold", "cross_validation"):
            self.assertEqual(first[member], other[member], member)
        self.assertEqual((self.dir / "model/model.onnx").read_bytes(), (self.dir / "other/model.onnx").read_bytes())
        search = first["search"]
        self.assertLessEqual(search["chosen_loss"], search["default_loss"])
        self.assertEqual(search["rungs"][0]["configurations"], 6)
        self.assertEqual(search["default_chosen"], first["parameters"]["depth"] == 6 and first["parameters"]["learning_rate"] == 0.05)
        for text in ((self.dir / "model/card.md").read_text(), self.train(*columns, out="text").stdout):
            self.assertIn(f"learning rate {first['parameters']['learning_rate']}", text)
            self.assertIn("best of 6 configurations", text)
        self.assertNotIn("search", self.report("--time", "day", "--ignore", "unit,weight", out="plain"))
        self.assertIn("from 2 to 256 configurations", self.refused("--search", "257", out="not"))
        self.assertIn("from 2 to 256 configurations", self.refused("--search", "1", out="not"))
        self.assertIn("leave out --search", self.refused("--search", "4", "--task", "anomaly", label=None, out="not"))
        self.assertIn("where the rows fit in memory", self.refused("--search", "4", "--from-disk", out="not"))
        self.assertIn("without --engine spark", self.refused("--search", "4", "--engine", "spark", "--master", "local[1]", out="not"))

    def test_an_interrupted_search_leaves_nothing_and_says_how_long_it_takes(self):
        write_csv(self.data, machine_rows(20_000))
        line = self.interrupted("search: ", "--search", "64")
        self.assertRegex(line, r"^search: \d+ of 64 configurations learnt to 6.25 % of a whole fit; about \d+ s left$")

    @unittest.skipUnless(AI4I.exists(), "SKERRY_TEST_DATA is not set, or has no ai4i2020")
    def test_a_search_on_real_machines_is_no_worse_than_the_default(self):
        columns = ("--ignore", "UDI,Product ID,TWF,HDF,PWF,OSF,RNF")
        searched = self.report(*columns, "--search", "6", data=[AI4I], label="Machine failure")
        plain = self.report(*columns, data=[AI4I], label="Machine failure", out="plain")
        self.assertLessEqual(searched["search"]["chosen_loss"], searched["search"]["default_loss"])
        self.assertEqual(searched["split"], plain["split"])
        self.assertEqual(searched["parameters"] == plain["parameters"], searched["search"]["default_chosen"])

    def test_patterns_and_a_schema_file(self):
        rows = list(machine_rows(800))
        self.data.unlink()
        write_csv(self.dir / "part-1.csv", rows[:500])
        write_csv(self.dir / "part-2.csv", rows[500:])
        parts = [self.dir / "part-*.csv"]
        printed = run("train", *parts, "--label", "failed", "--print-schema")
        self.assertEqual(printed.returncode, 0, printed.stderr)
        self.assertIn('"torque": {role: feature, type: number}', printed.stdout)
        text = printed.stdout.replace('"weight": {role: feature, type: number}', '"weight": {role: weight}')
        text = text.replace('"unit": {role: feature, type: category}', '"unit": {role: group}')
        text = text.replace('"day": {role: context}', '"day": {role: ignore}')
        schema = self.dir / "schema.yaml"
        schema.write_text(text)
        report = self.report("--schema", schema, data=parts, label=None)
        self.assertEqual(report["rows"], 800)
        self.assertEqual(report["split"]["group"]["column"], "unit")
        fields = json.loads((self.dir / "model/schema.json").read_text())["fields"]
        self.assertEqual({f["column"] for f in fields}, {"speed", "torque", "grade", "unit"})
        schema.write_text(text + '  "pressure": {role: ignore}\n')
        line = len(text.splitlines()) + 1
        self.assertIn(f"schema.yaml, line {line}, ", self.refused("--schema", schema, data=parts, label=None, out="not"))
        facts = json.loads(run("train", *parts, "--label", "failed", "--print-schema", "--json").stdout)["columns"]
        self.assertEqual({f["column"]: f["role"] for f in facts}["failed"], "label")
        self.assertIn("no file matches", self.refused(data=[self.dir / "*.tsv"], out="not"))

    def test_parquet_and_ndjson_train_the_same_model(self):
        rows = list(machine_rows(400))
        lines = [json.dumps({**row, "speed": float(row["speed"]), "torque": float(row["torque"])}) for row in rows]
        (self.dir / "rows.ndjson").write_text("\n".join(lines) + "\n")
        write_csv(self.data, rows)
        self.report("--ignore", "day,weight,unit")
        self.report("--ignore", "day,weight,unit", data=[self.dir / "rows.ndjson"], out="other")
        for name in ("model.onnx", "detector.onnx", "schema.json", "reference.json"):
            self.assertEqual((self.dir / "model" / name).read_bytes(), (self.dir / "other" / name).read_bytes(), name)

    def test_rows_on_disk_give_a_model_of_the_same_quality(self):
        write_csv(self.data, machine_rows(4_000))
        whole = self.report("--ignore", "unit,day", out="whole")
        disk = self.report("--ignore", "unit,day", "--from-disk", out="disk")
        self.assertEqual(disk["engine"], "embedded, rows on disk")
        self.assertEqual(disk["rows"], 4_000)
        self.assertAlmostEqual(disk["holdout_rows"], 800, delta=80)
        for side in ("cross_validation", ("holdout", "model")):
            auc = [report[side]["auc"] if isinstance(side, str) else report[side[0]][side[1]]["auc"] for report in (whole, disk)]
            self.assertLess(max(one["low"] for one in auc), min(one["high"] for one in auc), auc)
        self.assertEqual(disk["warnings"], [])
        reference = json.loads((self.dir / "disk/reference.json").read_text())
        for feature in reference["features"]:
            self.assertEqual(sum(feature["counts"]) + (feature["missing"] or 0), disk["training_rows"], feature)
        again = self.report("--ignore", "unit,day", "--from-disk", out="again")
        self.assertEqual(again["trees"], disk["trees"])
        for file in ("model.onnx", "detector.onnx", "reference.json"):
            self.assertEqual((self.dir / "again" / file).read_bytes(), (self.dir / "disk" / file).read_bytes(), file)
        self.assertEqual(run("evaluate", self.dir / "disk", self.data).returncode, 0)
        self.assertNotIn(".scratch", " ".join(p.name for p in self.dir.iterdir()))

    def test_rows_on_disk_are_split_by_group_and_time(self):
        rows = [{**row, "day": 20_000 + int(row["day"][-2:]), "unit": f"u{i // 20}"} for i, row in enumerate(machine_rows(4_000))]
        write_csv(self.data, rows)
        grouped = self.report("--group", "unit", "--weight", "weight", "--ignore", "day", "--from-disk", out="grouped")
        self.assertEqual(grouped["split"]["group"], {"column": "unit", "groups": 200})
        self.assertAlmostEqual(grouped["holdout_rows"], 800, delta=300)
        self.assertEqual(grouped["holdout_rows"] % 20, 0)
        timed = self.report("--time", "day", "--group", "unit", "--from-disk", out="timed")
        late = sum(row["day"] >= 20_000 + 23 for row in rows)
        self.assertAlmostEqual(timed["holdout_rows"], late, delta=150)
        self.assertEqual(timed["rows"] + timed["split"]["left_out"], 4_000)

    def test_rows_on_disk_of_other_tasks(self):
        write_csv(self.data, ({**row, "wear": float(row["torque"]) * 2 + 1} for row in machine_rows(1_000)))
        value = self.report("--task", "regression", "--ignore", "unit,day", "--from-disk", label="wear", out="value")
        self.assertGreater(value["holdout"]["model"]["r2"]["value"], 0.9)
        classes = self.report("--task", "multiclass", "--ignore", "unit,day", "--from-disk", label="grade", out="classes")
        self.assertEqual(classes["classes"], ["A", "B", "C"])
        strange = self.report("--task", "anomaly", "--ignore", "failed,unit,day", "--from-disk", label=None, out="strange")
        self.assertLess(strange["holdout"]["model"]["alarm_rate"]["value"], 0.1)

    def test_rows_on_disk_that_cannot_be_told_so(self):
        write_csv(self.data, ({**row, "torque": "inf" if i == 3_100 else row["torque"]} for i, row in enumerate(machine_rows(4_000))))
        message = self.refused("--from-disk")
        self.assertIn("machines.csv, behind row 2048: column 'torque', row 1053: infinite", message)
        write_csv(self.data, ({**row, "weight": 0 if i == 5 else 1} for i, row in enumerate(machine_rows(800))))
        self.assertIn("weight column 'weight' is blank, zero or negative in row 6", self.refused("--from-disk", "--weight", "weight"))
        write_csv(self.data, ({**row, "unit": "one"} for row in machine_rows(800)))
        self.assertIn("'unit' is the same in every row", self.refused("--from-disk", "--group", "unit"))

    def test_an_interrupted_training_leaves_nothing(self):
        write_csv(self.data, machine_rows(20_000))
        self.interrupted("choosing the number of trees")

    def interrupted(self, at, *args):
        """Ctrl-C at the first line of progress that begins so; returns that line."""
        before, line = sorted(p.name for p in self.dir.iterdir()), ""
        process = subprocess.Popen([SKERRY, "train", self.data, "--label", "failed", *args, "--out", self.dir / "model"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if line.startswith(at):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(60), 1)
        self.assertIn("interrupted", rest)
        self.assertEqual(sorted(p.name for p in self.dir.iterdir()), before)
        return line

    def test_a_spark_job_that_goes_wrong_says_why_and_where_its_log_is(self):
        submit, log = self.dir / "submit", self.dir / "model.spark.log"
        say = "echo 'skerry-job: %s'"
        done = say % '{"event": "done"}'
        for script, words in (
                ("exit 3", "Spark: it ended without a word"),
                ("echo Exception: no Java >&2; exit 1", "Spark: Exception: no Java"),
                (say % '{"event": "failed", "text": "no cores"}' + "; echo more; exit 1", "Spark: no cores"),
                ("echo bye", "Spark: bye"),  # without a result
                ("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo short; exit 1", "Spark: short"),
                (done, "result.json"),
                (f'cd "$(dirname "${{11}}")"; echo "{{}}" > result.json; {done}', "format")):
            submit.write_text(f"#!/bin/sh\n{script}\n")
            submit.chmod(0o755)
            done_ = self.train("--engine", "spark", "--master", "local[1]", "--spark-submit", submit)
            self.assertEqual(done_.returncode, 1, script)
            self.assertIn(words, done_.stderr)
            job_failed = done_.stderr.count(f"(log: {log})")
            self.assertEqual(job_failed, int("Spark: " in words), done_.stderr)
            self.assertEqual(log.exists(), bool(job_failed))
            self.assertEqual(sorted(p.name for p in self.dir.iterdir() if p != log), ["machines.csv", "submit"])
            log.unlink(missing_ok=True)


if __name__ == "__main__":
    run_tests(__name__)
