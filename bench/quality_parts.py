"""What the sets of bench/quality share: training and scoring with skerry as a person would, baselines, intervals."""
import subprocess, time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

RESAMPLES = 1_000
FLAML_LEAST_SECONDS = 5  # it does not get through its first candidates in less


@dataclass
class Workshop:
    skerry: Path
    directory: Path
    data: Path | None
    repeats: int
    seconds: dict = field(default_factory=dict)  # by name of a model: what its fits took

    def file(self, *parts):
        path = (self.data or Path("SKERRY_TEST_DATA")).joinpath(*parts)
        if not path.exists():
            raise FileNotFoundError(2, "no such file", str(path))
        return path

    def spent(self, name, started):
        self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - started

    def run(self, *command):
        done = subprocess.run([str(part) for part in (self.skerry, *command)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"skerry {command[0]} failed: {done.stderr[-2000:]}")
        return done.stdout

    def fit_and_score(self, name, train, test, *options):
        """Trains on every row of one frame and scores another: what `skerry score` adds to it."""
        place = self.directory / f"run{len(list(self.directory.iterdir()))}"
        place.mkdir()
        train.to_csv(place / "train.csv", index=False)
        test.to_csv(place / "test.csv", index=False)
        started = time.perf_counter()
        self.run("train", place / "train.csv", "--holdout", "0", "--out", place / "model", *options)
        self.spent(name, started)
        self.run("score", place / "test.csv", place / "model", "--out", place / "scored.csv")
        return pd.read_csv(place / "scored.csv", keep_default_na=False)


def flaml(task, train, labels, test, seconds, metric):
    """Predictions, or None where FLAML is not installed."""
    try:
        from flaml import AutoML
    except ImportError:
        return None
    train, test = (frame.set_axis([f"f{i}" for i in range(frame.shape[1])], axis=1) for frame in (train, test))  # LightGBM takes no brackets
    search = AutoML()
    search.fit(train, labels, task=task, time_budget=max(FLAML_LEAST_SECONDS, seconds), metric=metric, verbose=0, n_jobs=2, seed=1)
    return search.predict_proba(test) if task == "classification" else search.predict(test)


def intervals(rows, figures, seed=1):
    """{figure: {"value", "low", "high"}} of figures(rows: indices) -> {figure: number}, by the bootstrap over rows."""
    random = np.random.default_rng(seed)
    values = figures(np.arange(rows))
    drawn = [figures(random.integers(0, rows, rows)) for _ in range(RESAMPLES)]
    spread = {name: np.nanpercentile([one[name] for one in drawn], [2.5, 97.5]) for name in values}
    return {name: {"value": float(values[name]), "low": float(spread[name][0]), "high": float(spread[name][1])} for name in values}


def table(rows, figures_of, models, ours="skerry"):
    """Every model's figures, and ours less each other's on the same resampled rows. figures_of(model, indices) -> {figure: number}"""
    def figures(indices):
        of = {model: figures_of(model, indices) for model in models}
        flat = {(model, name): value for model, values in of.items() for name, value in values.items()}
        for model in models:
            if model != ours:
                flat.update({(f"{ours} - {model}", name): of[ours][name] - value for name, value in of[model].items()})
        return flat
    got = intervals(rows, figures)
    nested = {}
    for (model, name), interval in got.items():
        nested.setdefault(model, {})[name] = interval
    return nested


def print_set(name, result, seconds):
    print(f"\n{name}: {result['protocol']}")
    for model, figures in result["models"].items():
        cells = [f"{figure} {got['value']:.3f} [{got['low']:.3f}, {got['high']:.3f}]" for figure, got in figures.items()]
        print(f"  {model:34} {'  '.join(cells)}")
    for line in result.get("goals", []):
        print(f"  {line}")
    fits = ", ".join(f"{model} {spent:.0f}" for model, spent in result["seconds"].items())
    print(f"  {seconds:.0f} s in all; seconds of fits: {fits}", flush=True)


def goal(words, value, wanted, at_least=True):
    met = value >= wanted if at_least else value <= wanted
    return f"goal: {words} {'>=' if at_least else '<='} {wanted}: {value:.3f}, {'met' if met else 'missed'}"
