"""Trains a skerry predictor on Spark. `skerry train --engine spark` submits this file; README.md beside it tells what goes in and out.

    spark-submit skerry_train.py JOB

JOB is a JSON file on this machine, or the address of one: http(s)://.../job.json.
Facts for skerry are lines on stdout that begin with MARK, one JSON object each; everything else there is Spark's own.
"""
import hashlib
import json
import os
import pathlib
import re
import socket
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request

MARK = "skerry-job: "
FORMAT = "skerry-spark-job/1"
OLDEST_SPARK = (3, 4)
POLL_S = 1.0
FIT_ATTEMPTS = 4
CALL_S = 30.0  # that skerry may take to answer
CALL_ATTEMPTS = 5


class Refused(Exception):
    """Something that a person can mend; the sentence says what and how."""


# --- skerry's side: where the job comes from, and where facts and results go ---

class Directory:
    """skerry runs on this machine: it reads facts from the output, and results from `return_to`."""

    def __init__(self, path):
        self.job = json.loads(pathlib.Path(path).read_text())
        self.results = pathlib.Path(self.job["return_to"])

    def tell(self, fact):
        pass

    def send(self, name):
        pass

    def owner_left(self):
        return not os.path.exists(f"/proc/{self.job['owner']}")


class Desk:
    """skerry is somewhere else and listens: facts and results are sent to it by HTTP."""

    def __init__(self, address):
        self.base = address.rpartition("/")[0]
        self.seen = self.asked = time.monotonic()
        self.job = json.loads(self.call("GET", "job.json"))
        self.temporary = tempfile.TemporaryDirectory(prefix="skerry-job-")
        self.results = pathlib.Path(self.temporary.name)

    def call(self, method, name, body=None, size=None):
        headers = {"Content-Type": "application/octet-stream"} | ({"Content-Length": str(size)} if size is not None else {})
        request = urllib.request.Request(f"{self.base}/{name}", data=body, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=CALL_S) as answer:
            self.seen = time.monotonic()
            return answer.read()

    def insist(self, call):
        for attempt in range(1, CALL_ATTEMPTS + 1):
            try:
                return call()
            except OSError as error:  # also of urllib
                if isinstance(error, urllib.error.HTTPError) and error.code < 500 or attempt == CALL_ATTEMPTS:
                    raise
                time.sleep(attempt * POLL_S)

    def tell(self, fact):
        self.insist(lambda: self.call("POST", "facts", fact.encode()))

    def send(self, name):
        def put():
            with open(self.results / name, "rb") as file:
                self.call("PUT", f"results/{name}", file, os.fstat(file.fileno()).st_size)
        self.insist(put)

    def owner_left(self):
        """Whether skerry has not answered for the job's patience."""
        if time.monotonic() - self.asked > 5 * POLL_S:
            self.asked = time.monotonic()
            try:
                self.call("GET", "alive")
            except OSError:
                pass
        return time.monotonic() - self.seen > self.job["patience_s"]


def tell(event, **facts):
    fact = json.dumps({"event": event, **facts})
    print(MARK + fact, flush=True)
    skerry.tell(fact)


def progress(text):
    tell("progress", text=text)


def open_job(argument):
    try:
        return (Desk if re.match("https?://", argument) else Directory)(argument)
    except (OSError, ValueError) as error:
        sys.exit(f"the job {argument} cannot be read: {error}")


skerry = open_job(sys.argv[1])

try:
    import numpy as np
    import pyarrow
    import pyarrow.parquet
    import pyspark
    import xgboost
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F
    from pyspark.sql import types as T
    from xgboost.spark import SparkXGBClassifier, SparkXGBRegressor
except ImportError as error:
    tell("failed", text=f"Spark's Python ({sys.executable}) lacks a module: {error}; install xgboost, pyarrow, pandas and scikit-learn for it, "
                        "or name another Python by PYSPARK_PYTHON")
    sys.exit(1)


# --- the cluster ---

def check_spark(master):
    """Spark itself would wait a minute for a standalone master that is not there."""
    if tuple(int(part) for part in pyspark.__version__.split(".")[:2]) < OLDEST_SPARK:
        raise Refused(f"Spark {pyspark.__version__} is too old: {'.'.join(map(str, OLDEST_SPARK))} or later is needed")
    if not master.startswith("spark://"):  # of Livy, which knows its master, ""
        return
    why = "it names no HOST:PORT"
    for host, port in re.findall(r"(\[[^]]+\]|[^:/,]+):(\d+)", master):  # several where masters stand by
        try:
            return socket.create_connection((host.strip("[]"), int(port)), 5).close()
        except OSError as error:
            why = error.strerror or str(error)
    raise Refused(f"the Spark master {master} does not answer ({why}): is it running, and is this its address?")


class Cluster:
    """The session, and a thread that says how far Spark is and ends a job that nobody can go on with."""

    def __init__(self, job):
        self.patience_s = job["patience_s"]
        self.spark = SparkSession.builder.getOrCreate()
        self.context = self.spark.sparkContext
        self.context.setLogLevel("WARN")
        for name, value in (("execution.arrow.pyspark.enabled", "true"), ("session.timeZone", "UTC"), ("ansi.enabled", "false")):
            self.spark.conf.set(f"spark.sql.{name}", value)
        self.needed = 0  # slots that the fit under way waits for
        progress(f"Spark {pyspark.__version__}, application {self.context.applicationId}")
        threading.Thread(target=self.watch, daemon=True).start()

    def slots(self):
        """How many tasks can run at once, now."""
        scala = self.context._jsc.sc()
        return scala.maxNumConcurrentTasks(scala.resourceProfileManager().defaultResourceProfile())

    def executors(self):
        return {(info.host(), info.port()) for info in self.context._jsc.sc().statusTracker().getExecutorInfos()}

    def watch(self):
        seen, short_since, said = time.monotonic(), None, {}
        while True:
            time.sleep(POLL_S)
            if skerry.owner_left():
                os._exit(1)
            now, slots = time.monotonic(), 0
            try:
                slots = self.slots()
                self.say_stages(said)
            except Exception:  # no session any more: the main thread is at its end, or soon finds out
                pass
            seen = now if slots else seen
            if now - seen > self.patience_s:
                tell("failed", text=f"the cluster has had no worker for this job for {self.patience_s} s: are its workers running, and have they "
                                    "cores and memory free?")
                os._exit(1)
            # A fit's tasks start together or not at all: with too few slots they would wait for ever.
            short_since = (short_since or now) if slots < self.needed else None
            if short_since and now - short_since > self.patience_s / 4:
                self.context.cancelAllJobs()

    def say_stages(self, said):
        tracker = self.context.statusTracker()
        for number in tracker.getActiveStageIds():
            stage = tracker.getStageInfo(number)
            if stage and stage.numTasks > 1 and said.get(number) != stage.numCompletedTasks:
                said[number] = stage.numCompletedTasks
                progress(f"stage {number}: {stage.numCompletedTasks} of {stage.numTasks} tasks")

    def fit(self, what, estimator, rows):
        """estimator(workers) fitted to the rows by as many workers as there are; again with those that are left if the cluster shrank."""
        for attempt in range(1, FIT_ATTEMPTS + 1):
            while not self.slots():
                time.sleep(POLL_S)  # until watch() gives up
            workers, before = self.slots(), self.executors()
            progress(f"{what}, {workers} at work")
            try:
                self.needed = workers
                return estimator(workers).fit(rows).get_booster()
            except Exception as error:
                self.needed = 0
                time.sleep(2 * POLL_S)
                if before <= self.executors() or attempt == FIT_ATTEMPTS:
                    raise
                progress(f"a worker was lost ({sentence(error)[:80]}): once more with those that are left")
            finally:
                self.needed = 0


# --- reading: the rules of src/model/schema.h ---

def list_files(spark, names):
    """(address, bytes, modified) of each file that addresses and patterns mean, in the order of the addresses."""
    hadoop, found = spark.sparkContext._jvm.org.apache.hadoop, []
    for name in names:
        path = hadoop.fs.Path(re.sub("^s3://", "s3a://", name))
        try:
            statuses = path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()).globStatus(path)
        except Exception as error:
            if "S3AFileSystem not found" in str(error):
                raise Refused(f"this Spark cannot read {name}: it lacks Hadoop's S3 file system (--spark-conf spark.jars.packages="
                              f"org.apache.hadoop:hadoop-aws:{hadoop.util.VersionInfo.getVersion()})")
            raise
        files = [status for status in statuses or () if status.isFile()]
        if not files:
            raise Refused(f"no file matches {name} (of a directory, name the files in it: {name.rstrip('/')}/*.parquet)")
        found += [(status.getPath().toString(), status.getLen(), status.getModificationTime()) for status in files]
    if len({address for address, _, _ in found}) < len(found):
        raise Refused("a file is named twice: its rows would count twice")
    return sorted(found)


def digest_of(listing):
    return "sha256:" + hashlib.sha256("".join(f"{address}\t{size}\t{modified}\n" for address, size, modified in listing).encode()).hexdigest()


def literal(name):
    """The name as a pattern that means it alone."""
    return re.sub(r"([][{}*?\\])", r"\\\1", name)


def check_listing(spark, data):
    """The addresses of the files, if they are those that the schema was chosen by."""
    listing = list_files(spark, data["patterns"])
    if digest_of(listing) != data["listing"]:
        raise Refused("the files changed while they were read: train on a copy that nothing writes to")
    return [address for address, _, _ in listing]


def read_table(spark, data):
    files = [literal(name) for name in (check_listing(spark, data) if "patterns" in data else [f"file://{name}" for name in data["files"]])]
    if data["form"] == "parquet":
        return spark.read.option("mergeSchema", "true").parquet(*files)
    if data["form"] == "json":
        return spark.read.json(files)
    return spark.read.csv(files, header=True, sep=data["delimiter"], quote='"', escape='"', enforceSchema=False, mode="FAILFAST")


def column_of(table, name):
    return F.col("`" + name.replace("`", "``") + "`")


def is_number(table, name):
    return isinstance(table.schema[name].dataType, T.NumericType)


def text_of(table, name):
    """A cell as CSV would write it; null where it is blank."""
    text = F.trim(column_of(table, name).cast("string"))
    return F.when(text != "", text)


def number_of(table, name):
    """NaN where it is missing, null where it is no number."""
    text, nan = text_of(table, name), F.lit(float("nan"))
    if is_number(table, name):
        return F.coalesce(column_of(table, name).cast("double"), nan)
    return F.when(text.isNull() | is_missing_word(text), nan).otherwise(text.cast("double"))


def is_missing_word(text):
    return F.lower(text).isin("nan", "na", "null")


def index_of(value, words):
    """The place of the value in the list; null where it is not there."""
    return F.create_map(*[F.lit(part) for i, word in enumerate(words) for part in (word, float(i))])[value]


def feature_of(table, field):
    name = field["column"]
    if field["type"] == "number":
        return number_of(table, name).cast("float")
    text = text_of(table, name)
    missing = text.isNull() | is_missing_word(text)
    unlisted = F.when(missing, float("nan")).otherwise(float(len(field["categories"])))
    return F.coalesce(index_of(text, field["categories"]), unlisted).cast("float")


def label_of(table, job):
    label, classes = job["schema"]["label"]["column"], job["schema"].get("classes")
    if not classes:
        return F.nanvl(number_of(table, label), F.lit(None).cast("double")).cast("float")
    if job["label_is_number"]:
        return index_of(number_of(table, label), [float(word) for word in classes]).cast("float")
    return index_of(text_of(table, label), classes).cast("float")


def time_of(table, name):
    if isinstance(table.schema[name].dataType, T.StringType):
        return F.coalesce(text_of(table, name).cast("double"), text_of(table, name).cast("timestamp").cast("double"))
    if is_number(table, name):
        return column_of(table, name).cast("double")
    return column_of(table, name).cast("timestamp").cast("double")


def encode(table, job, fields):
    """f0, f1, ... (float, NaN: missing), y (class or number), w; and g (group, text), t (time, a number) where they are named."""
    columns = [feature_of(table, field).alias(f"f{i}") for i, field in enumerate(fields)]
    columns.append(label_of(table, job).alias("y"))
    columns.append((column_of(table, job["weight"]).cast("double") if job["weight"] else F.lit(1.0)).alias("w"))
    if job["group"]:
        columns.append(text_of(table, job["group"]).alias("g"))
    if job["time"]:
        columns.append(time_of(table, job["time"]).alias("t"))
    return table.select(*columns)


def check_rows(rows, job, fields):
    """The rows with weights of mean 1, their number, and by feature how many cells are a category that the schema does not list."""
    infinite = float("inf")
    wrong = [(F.col("y").isNull() | (F.abs("y") == infinite), f"label '{job['schema']['label']['column']}' is blank or none of what it may be"),
             (F.col("w").isNull() | ~(F.col("w") > 0) | (F.col("w") == infinite) | F.isnan("w"),
              f"weight column '{job['weight']}' is blank, zero, negative or infinite")]
    wrong += [(F.col(f"f{i}").isNull() | (F.abs(f"f{i}") == infinite),
               f"column '{field['column']}' is no number, infinite or over the range of 32-bit floats") for i, field in enumerate(fields)]
    wrong += [(F.col(name).isNull(), f"{what} column '{job[what]}' is blank or cannot be read")
              for name, what in (("g", "group"), ("t", "time")) if job[what]]
    unlisted = [F.col(f"f{i}") == float(len(field["categories"])) if field["type"] == "category" else F.lit(False)
                for i, field in enumerate(fields)]
    sums = [F.sum(condition.cast("long")) for condition in [condition for condition, _ in wrong] + unlisted]
    total, mean_weight, *counts = rows.agg(F.count("*"), F.avg("w"), *sums).first()
    if not total:
        raise Refused("the data has no rows")
    for (_, what), count in zip(wrong, counts):
        if count:
            raise Refused(f"{what} in {count} of {total} rows: mend or remove them")
    cells = {field["name"]: count for field, count in zip(fields, counts[len(wrong):]) if count}
    return rows.withColumn("w", (F.col("w") / mean_weight).cast("float")), total, cells


# --- the split: by hash, so that it needs no order of the rows ---

FEW_DISTINCT = 20  # as in src/train/row_plan.cpp: fewer different rows repeat by nature


def unit_interval(hashed):
    return F.shiftrightunsigned(hashed, 11) * F.lit(2.0 ** -53)


def split_rows(rows, job, total):
    """The rows with `unit` (a hash that rows share which must not be parted), `held` and `fold`; and facts of the split.

    Rows that would be on both sides are left out."""
    seed, features = F.lit(job["seed"]), [name for name in rows.columns if re.match(r"f\d", name)]
    rows = rows.withColumn("copy", F.xxhash64(seed, *features))
    distinct = rows.agg(F.countDistinct("copy")).first()[0]
    by_nature = distinct < FEW_DISTINCT or distinct * 20 < total
    facts = {"copies": total - distinct, "copies_by_nature": by_nature, "groups": 0}
    unit = F.xxhash64("copy", F.monotonically_increasing_id()) if by_nature else F.col("copy")
    if job["group"]:
        unit, facts["groups"] = F.xxhash64(seed, "g"), rows.agg(F.countDistinct("g")).first()[0]
        if facts["groups"] < 2:
            raise Refused(f"group column '{job['group']}' is the same in every row: nothing can be split by it")
    rows = rows.withColumn("unit", unit)
    held = unit_interval(F.col("unit")) < job["holdout"]
    if job["time"] and job["holdout"]:
        first, cut = rows.approxQuantile("t", [0.0, 1 - job["holdout"]], 0.001)
        held = F.col("t") > cut if cut == first else F.col("t") >= cut
    rows = rows.withColumn("held", held)
    if job["time"] and job["group"]:
        rows = rows.join(rows.where("held").select("g", F.lit(False).alias("held")).distinct(), ["g", "held"], "left_anti")
    if (job["time"] or job["group"]) and not by_nature:
        rows = rows.join(rows.where("not held").select("copy", F.lit(True).alias("held")).distinct(), ["copy", "held"], "left_anti")
    fold = F.pmod(F.xxhash64("unit", F.lit(11)), F.lit(job["folds"]))
    if job["time"]:
        edges = rows.where("not held").approxQuantile("t", [i / job["folds"] for i in range(1, job["folds"])], 0.001)
        fold = sum(((F.col("t") > edge).cast("int") for edge in edges), F.lit(0))
    return rows.withColumn("fold", fold.cast("int")).select(*features, "y", "w", "unit", "held", "fold"), facts


def count_sides(rows, job):
    """{"training": {"rows", "classes"}, "holdout": ...}; of a regression no classes."""
    classes = job["schema"].get("classes", [])
    sides = {side: {"rows": 0, "classes": [0] * len(classes)} for side in ("training", "holdout")}
    for row in rows.groupBy("held", *(["y"] if classes else [])).count().collect():
        side = sides["holdout" if row["held"] else "training"]
        side["rows"] += row["count"]
        if classes:
            side["classes"][int(row["y"])] = row["count"]
    if job["holdout"] and not sides["holdout"]["rows"]:
        raise Refused("no row is left to be held out: hold out more, or none (0)")
    if not sides["training"]["rows"]:
        raise Refused("no row is left to train on: hold out less, or name either a group or a time column")
    for count, word in zip(sides["training"]["classes"], classes):
        if count < job["least_rows_per_class"]:
            raise Refused(f"only {count} training rows have label '{word}'; at least {job['least_rows_per_class']} are needed")
    return sides


# --- what is handed back ---

def collect_sample(rows, total, most):
    """All rows, or about `most` chosen by their unit, in the order of their unit: a pandas frame."""
    if total > most:
        rows = rows.where(unit_interval(F.xxhash64("unit", F.lit(5))) < most / total)
    return rows.toPandas().sort_values("unit", kind="stable", ignore_index=True)


def decile_edges(values):
    """DecileEdges of src/model/reference.h."""
    values, edges = np.sort(values[~np.isnan(values)]), []
    for i in range(1, 10):
        if len(values):
            edge = float(values[(len(values) - 1) * i // 10])
            if edge < values[-1] and (not edges or edge > edges[-1]):
                edges.append(edge)
    return edges


def feature_references(training, fields, sample):
    """`features` of reference.json (docs/formats/model-package.md), counted over every training row; the edges are the sample's deciles."""
    listed = [len(field["categories"]) if field["type"] == "category" else 0 for field in fields]
    edges = [[] if listed[i] else decile_edges(sample[f"f{i}"].to_numpy()) for i in range(len(fields))]
    sizes = [listed[i] or len(edges[i]) + 1 for i in range(len(fields))]

    def count(batches):
        parts = [{"counts": np.zeros(size, np.int64), "missing": 0, "min": np.inf, "max": -np.inf} for size in sizes]
        for batch in batches:
            for i, part in enumerate(parts):
                values = batch.column(i).to_numpy(zero_copy_only=False)
                present = values[~np.isnan(values)]
                bins = present.astype(np.int64) if listed[i] else np.searchsorted(edges[i], present, side="left")
                part["counts"] += np.bincount(bins[bins < sizes[i]], minlength=sizes[i])
                part["missing"] += len(values) - len(present)
                part["min"] = min(part["min"], float(present.min(initial=np.inf)))
                part["max"] = max(part["max"], float(present.max(initial=-np.inf)))
        text = json.dumps([{**part, "counts": part["counts"].tolist()} for part in parts])
        yield pyarrow.RecordBatch.from_pydict({"parts": [text]})

    counted = [json.loads(row.parts) for row in training.select(*[f"f{i}" for i in range(len(fields))]).mapInArrow(count, "parts string").collect()]
    references = []
    for i, (field, parts) in enumerate(zip(fields, zip(*counted))):
        least, most = min(part["min"] for part in parts), max(part["max"] for part in parts)
        bounded = not listed[i] and least <= most
        references.append({"field": field["name"], "min": least if bounded else 0, "max": most if bounded else 0, "edges": edges[i],
                           "counts": np.sum([part["counts"] for part in parts], axis=0).tolist(), "missing": sum(part["missing"] for part in parts)})
    return references


def look(cluster, job):
    """Hands back the first rows, for skerry to choose the schema by, and what the files are: the whole of a job with `look_rows`."""
    spark, form, rows = cluster.spark, job["data"]["form"], job["look_rows"]
    sample = skerry.results / {"parquet": "sample.parquet", "json": "sample.ndjson", "csv": "sample.csv"}[form]
    listing = list_files(spark, job["data"]["patterns"])
    progress(f"{len(listing)} files, {sum(size for _, size, _ in listing) / 1e6:,.1f} MB")
    if form == "parquet":
        head = spark.read.option("mergeSchema", "true").parquet(*[literal(address) for address, _, _ in listing]).limit(rows)
        head = head.toArrow() if hasattr(head, "toArrow") else pyarrow.Table.from_batches(head._collect_as_arrow())
        pyarrow.parquet.write_table(head, sample)
    else:  # as it is written: skerry sniffs it
        lines = spark.read.text(literal(listing[0][0])).limit(rows + 1).collect()
        sample.write_text("".join(line.value + "\n" for line in lines))
    (skerry.results / "listing.json").write_text(json.dumps({"format": "skerry-spark-listing/1", "files": len(listing), "digest": digest_of(listing),
                                                 "bytes": sum(size for _, size, _ in listing)}))
    skerry.send(sample.name)
    skerry.send("listing.json")
    tell("done")


# --- training ---

class Trainer:
    def __init__(self, cluster, job, fields):
        self.cluster, self.job = cluster, job
        self.features = [f"f{i}" for i in range(len(fields))]
        self.feature_types = ["c" if field["type"] == "category" else "q" for field in fields]
        self.kind = SparkXGBClassifier if job["schema"].get("classes") else SparkXGBRegressor

    def rows(self, table, *more):
        """What is fitted. The features are one column: with a list of columns xgboost.spark 3.2 fails at a batch that has no row of a fold."""
        return table.select(F.array(*self.features).alias("x"), "y", "w", *more)

    def estimator(self, rounds, **more):
        p = self.job["parameters"]
        if not self.job["schema"].get("classes"):
            more["objective"] = self.job["objective"]
        return lambda workers: self.kind(
            features_col="x", feature_types=self.feature_types, label_col="y", weight_col="w", num_workers=workers, n_estimators=rounds,
            max_depth=p["depth"], learning_rate=p["learning_rate"], min_child_weight=p["min_child_weight"], subsample=p["row_fraction"],
            colsample_bytree=p["feature_fraction"], reg_lambda=p["l2"], tree_method="hist", max_bin=p["bins"], random_state=self.job["seed"], **more)

    def cross_validate(self, training, sample):
        """Mean of the folds' rounds, and for each sampled training row the answer of the model that did not see it."""
        answers, rounds, folds = None, [], self.job["folds"]
        early = self.estimator(self.job["parameters"]["trees"], validation_indicator_col="out", eval_metric=self.job["metric"],
                               early_stopping_rounds=self.job["parameters"]["early_stopping_rounds"])
        for fold in range(folds):
            booster = self.cluster.fit(f"inner fold {fold + 1} of {folds}", early, self.rows(training, (F.col("fold") == fold).alias("out")))
            rounds.append(booster.best_iteration + 1)
            mine = (sample["fold"] == fold).to_numpy()
            answer = self.predict(booster, sample[mine], rounds[-1])
            answers = np.zeros((len(sample), answer.shape[1]), np.float32) if answers is None else answers
            answers[mine] = answer
        return max(1, round(sum(rounds) / folds)), answers

    def predict(self, booster, frame, rounds):
        """A row's answers: P(class 1), the probability of each of several classes, or the number."""
        matrix = xgboost.DMatrix(frame[self.features].to_numpy(np.float32), missing=float("nan"), feature_types=self.feature_types, enable_categorical=True)
        return booster.predict(matrix, iteration_range=(0, rounds), validate_features=False).reshape(len(frame), -1)


def train(cluster, job):
    started, to = time.monotonic(), skerry.results
    fields = [field for field in job["schema"]["fields"] if field["role"] == "feature"]
    rows, total, unlisted = check_rows(encode(read_table(cluster.spark, job["data"]), job, fields), job, fields)
    rows, facts = split_rows(rows, job, total)
    rows = rows.persist(pyspark.StorageLevel.MEMORY_AND_DISK)
    sides = count_sides(rows, job)
    kept = sides["training"]["rows"] + sides["holdout"]["rows"]
    progress(f"{total} rows: {sides['training']['rows']} to train on, {sides['holdout']['rows']} held out")

    frame = collect_sample(rows, kept, job["returned_rows"])
    training, sample = rows.where("not held"), frame[~frame["held"]]
    references = feature_references(training, fields, sample)
    trainer = Trainer(cluster, job, fields)
    rounds, inner = trainer.cross_validate(training, sample)
    booster = cluster.fit(f"fitting {rounds} trees", trainer.estimator(rounds), trainer.rows(training))

    progress("handing back the model")
    answers = trainer.predict(booster, frame, rounds)
    for j in range(answers.shape[1]):
        frame[f"answer{j}"] = answers[:, j]
        frame.loc[~frame["held"], f"inner{j}"] = inner[:, j]
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame.drop(columns="unit"), preserve_index=False), to / "rows.parquet")
    (to / "booster.json").write_bytes(bytes(booster.save_raw("json")))
    (to / "result.json").write_text(json.dumps({
        "format": "skerry-spark-result/1", "trees": rounds, "rows": total, "left_out": total - kept, "unlisted": unlisted, **facts,
        "sides": {name: {"rows": side["rows"], "positives": sum(side["classes"][1:2])} for name, side in sides.items()},
        "reference": {"format": "skerry-reference/1", "rows": sides["training"]["rows"], "threshold": 0.5, "score": {"edges": [], "counts": [0]},
                      "features": references},
        "spark": pyspark.__version__, "xgboost": xgboost.__version__, "seconds": time.monotonic() - started}))
    if "patterns" in job["data"]:
        check_listing(cluster.spark, job["data"])
    for name in ("rows.parquet", "booster.json", "result.json"):
        skerry.send(name)
    tell("done")


def sentence(error):
    """What of an error says something to a person: its innermost cause, on one line."""
    text = str(getattr(error, "java_exception", None) or error) or type(error).__name__
    causes = re.findall(r"Caused by: ([^\n]+)", text)
    line = causes[-1] if causes else next(line for line in text.splitlines() if line.strip())
    return re.sub(r"^([\w.$]+(Exception|Error): )+", "", line.strip())[:400]


def run(cluster, job):
    work = look if "look_rows" in job else train
    try:
        work(cluster, job)
    except Exception as error:
        # Spark 3 knows some encodings of Parquet (BYTE_STREAM_SPLIT, which a hub's segments have) only where it reads row by row.
        if "Unsupported encoding" not in str(error):
            raise
        progress("the files have encodings that this Spark reads row by row alone: once more")
        cluster.spark.catalog.clearCache()
        cluster.spark.conf.set("spark.sql.parquet.enableVectorizedReader", "false")
        work(cluster, job)


def main():
    job, status = skerry.job, 1
    if job.get("format") != FORMAT:
        sys.exit(f"this job is '{job.get('format')}'; this file takes {FORMAT}: it is of another version of skerry")
    try:
        check_spark(job["master"])
        run(Cluster(job), job)
        status = 0
    except Refused as refusal:
        tell("failed", text=str(refusal))
    except Exception as error:
        traceback.print_exc()
        tell("failed", text=sentence(error))
    if SparkSession.getActiveSession():
        # With a local master Java would go on for ever: Spark's timer of barrier tasks is no daemon thread.
        java = SparkSession.getActiveSession()._jvm.java.lang
        SparkSession.getActiveSession().stop()
        java.Runtime.getRuntime().exit(status)
    sys.exit(status)


if __name__ == "__main__":
    main()
