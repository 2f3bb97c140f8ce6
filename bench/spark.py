#!/usr/bin/env python3
"""Trains on a real standalone Spark cluster of a master and two workers of one core each, on loopback, and measures it.

    bench/spark.py kdd99 KDDCUP.DATA_10_PERCENT.GZ    all of KDD'99 10 %: figures beside the embedded engine's, on the same held-out rows
    bench/spark.py rows [--rows N] [--trees N]        a made table of 8 numbers and a label, in Parquet: seconds and peak memory
    bench/spark.py segments [--files N]               N files of 200 rows, and the same rows compacted: seconds

Needs scripts/deps --spark, and SKERRY_SPARK=$(scripts/deps --print-spark); `make spark-scale` runs rows and kdd99.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
import kdd99  # noqa: E402
from skerry_process import SKERRY  # noqa: E402
from spark_cluster import ENVIRONMENT, SPARK, Cluster, Followed, why_not  # noqa: E402

WORKER_MB, EXECUTOR_MB, DRIVER_MB = 3_000, 2_000, 2_000
ROLES = {  # words of a command line -> whose memory it is
    "CoarseGrainedExecutorBackend": "executors, Java", "pyspark.daemon": "executors, Python", "deploy.SparkSubmit": "driver, Java",
    "skerry_train.py": "driver, Python"}
GENERATOR = """
import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq
directory, rows, per_file = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for first in range(0, rows, per_file):
    rng = np.random.default_rng(first)
    x = rng.standard_normal((min(per_file, rows - first), 8)).astype(np.float32)
    x[rng.random(x.shape) < 0.01] = np.nan
    z = np.nan_to_num(x)
    margin = z[:, 0] * z[:, 1] + np.maximum(z[:, 2], 0) * 1.5 - np.abs(z[:, 3]) + 0.5 * z[:, 4] * (z[:, 5] > 0) + 0.3 * z[:, 6] - 1
    failed = rng.random(len(x)) < 1 / (1 + np.exp(-2 * margin))
    columns = {f"x{i}": pa.array(x[:, i], from_pandas=False) for i in range(8)} | {"failed": pa.array(failed.astype(np.int32))}
    pq.write_table(pa.table(columns), f"{directory}/part-{first // per_file:05}.parquet", compression="zstd")
"""
READER = """
import sys, time
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
spark.range(1000).selectExpr("sum(id)").first()  # executors are there
started = time.monotonic()
table = spark.read.parquet(sys.argv[1])
table.agg(*[F.sum(name) for name in table.columns]).first()
print(time.monotonic() - started)
spark.stop()
"""


class Memory(threading.Thread):
    """The greatest sum of each role's memory (PSS, so that pages which forks share count once), looked at four times a second."""

    def __init__(self, skerry):
        super().__init__(daemon=True)
        self.skerry, self.peaks, self.over = skerry, {}, threading.Event()

    def role_of(self, pid):
        if pid == self.skerry:
            return "skerry"
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        return next((role for words, role in ROLES.items() if words in command), None)

    def look(self):
        sums = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                role = self.role_of(int(pid))
                if role:
                    pss = next(line for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
                    sums[role] = sums.get(role, 0) + int(pss.split()[1]) / 1024
            except (OSError, StopIteration):  # it ended meanwhile
                pass
        for role, mb in sums.items():
            self.peaks[role] = max(self.peaks.get(role, 0), mb)

    def run(self):
        while not self.over.wait(0.25):
            self.look()


def train(cluster, directory, data, label, out, *more):
    """Trains on the cluster; the report, the seconds and the peaks."""
    started = time.monotonic()
    job = Followed(SKERRY, "train", data, "--label", label, "--out", directory / out, "--engine", "spark", "--master", cluster.url,
                   "--spark-conf", f"spark.executor.memory={EXECUTOR_MB}m", "--spark-conf", f"spark.driver.memory={DRIVER_MB}m", *more)
    memory = Memory(job.process.pid)
    memory.start()
    status = job.wait(3 * 3600)
    seconds = time.monotonic() - started
    memory.over.set()
    if status:
        sys.exit("\n".join(job.said))
    return json.loads((directory / out / "report.json").read_text()), seconds, memory.peaks


def say(what, report, seconds, peaks):
    print(f"{what}: {report['rows']:,} rows, {report['trees']} trees, {seconds:.0f} s ({report['engine']})")
    if peaks:
        print("  peak memory, MB: " + ", ".join(f"{role} {mb:,.0f}" for role, mb in sorted(peaks.items())))


def judge(directory, model):
    done = subprocess.run([SKERRY, "evaluate", directory / model, directory / "test.csv", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def bench_kdd99(arguments, cluster, directory):
    kdd99.write_tables(arguments.source, directory / "train.csv", directory / "test.csv")
    more = ["--trees", str(arguments.trees)]
    say("Spark", *train(cluster, directory, directory / "train.csv", "attack", "model", *more))
    started = time.monotonic()
    subprocess.run([SKERRY, "train", directory / "train.csv", "--label", "attack", "--out", directory / "embedded", *more], check=True,
                   capture_output=True)
    say("embedded", json.loads((directory / "embedded/report.json").read_text()), time.monotonic() - started, {})
    spark, embedded = judge(directory, "model"), judge(directory, "embedded")
    outside = 0
    for figure in ("auc", "average_precision", "f1"):
        value, low, high = spark[figure]["value"], embedded[figure]["low"], embedded[figure]["high"]
        inside = low <= value <= high
        outside += not inside
        print(f"  {figure}: Spark {value:.6f}, embedded {embedded[figure]['value']:.6f} [{low:.6f}, {high:.6f}]: {'inside' if inside else 'OUTSIDE'}")
    sys.exit(outside > 0)


def bench_rows(arguments, cluster, directory):
    data = directory / "rows"
    data.mkdir()
    subprocess.run([f"{SPARK}/bin/python", "-c", GENERATOR, data, str(arguments.rows), "1000000"], check=True)
    megabytes = sum(file.stat().st_size for file in data.iterdir()) / 1e6
    print(f"made {arguments.rows:,} rows: {len(list(data.iterdir()))} Parquet files, {megabytes:.0f} MB")
    report, seconds, peaks = train(cluster, directory, f"{data}/*.parquet", "failed", "model", "--trees", str(arguments.trees))
    say("Spark", report, seconds, peaks)
    print(f"  AUC {report['holdout']['model']['auc']['value']:.4f}, ONNX against trainer {report['max_model_difference']:.1e}")


def bench_segments(arguments, cluster, directory):
    """Spark and skerry on many small files, as a hub's lake has them, and on the same rows compacted; interleaved."""
    small = directory / "small"
    small.mkdir()
    subprocess.run([f"{SPARK}/bin/python", "-c", GENERATOR, small, str(200 * arguments.files), "200"], check=True)
    started = time.monotonic()
    done = subprocess.run([SKERRY, "compact", f"{small}/*.parquet", "--out", directory / "large"], check=True, capture_output=True, text=True)
    print(f"{done.stdout.strip()}: {time.monotonic() - started:.1f} s")
    seconds = {"small": [], "large": []}
    for _ in range(arguments.rounds):
        for data, all_seconds in seconds.items():
            (directory / "read.py").write_text(READER)
            read = subprocess.run([f"{SPARK}/bin/spark-submit", "--master", cluster.url, "--conf", "spark.executor.memory=1g", "--conf",
                                   "spark.ui.enabled=false", directory / "read.py", f"file://{directory / data}"], check=True,
                                  capture_output=True, text=True, env=ENVIRONMENT)
            all_seconds.append(float(read.stdout.split()[-1]))
    least = {data: min(all_seconds) for data, all_seconds in seconds.items()}
    print(f"Spark reads every row: {arguments.files:,} files {least['small']:.1f} s, compacted {least['large']:.1f} s: {least['small'] / least['large']:.1f} x")
    whole = {}
    for data in seconds:
        report, whole[data], _ = train(cluster, directory, f"{directory / data}/*.parquet", "failed", f"model-{data}", "--trees", "20")
        say(f"skerry train, {data}", report, whole[data], {})
    print(f"skerry train --engine spark: {whole['small'] / whole['large']:.1f} x")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("kdd99")
    command.add_argument("source")
    command.add_argument("--trees", type=int, default=100)
    command.set_defaults(run=bench_kdd99)
    command = commands.add_parser("rows")
    command.add_argument("--rows", type=int, default=10_000_000)
    command.add_argument("--trees", type=int, default=20)
    command.set_defaults(run=bench_rows)
    command = commands.add_parser("segments")
    command.add_argument("--files", type=int, default=10_000)
    command.add_argument("--rounds", type=int, default=2)
    command.set_defaults(run=bench_segments)
    arguments = parser.parse_args()
    if why_not():
        sys.exit(why_not())
    cluster = Cluster(f"{WORKER_MB}m")
    try:
        with tempfile.TemporaryDirectory(prefix="skerry-spark-") as directory:
            arguments.run(arguments, cluster, pathlib.Path(directory))
    finally:
        cluster.end()


if __name__ == "__main__":
    main()
