"""The sets of bench/quality: each function states its protocol, fits skerry and its peers to the same rows, and judges them alike."""
import time

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score
from sklearn.model_selection import GroupKFold, RepeatedKFold, RepeatedStratifiedKFold

from quality_parts import flaml, goal, table

FOLDS = 5
SEED = 20


def codes(frame):
    """Texts as pandas' categories, for scikit-learn and FLAML."""
    return frame.apply(lambda column: column.astype("category") if column.dtype == object else column)


def one_hot(frame):
    return pd.get_dummies(frame).astype(np.float32)


def binary_folds(shop, features, label, train_options):
    """Out-of-fold scores and decisions of every model: {model: {"score": [repeats][rows], "alarm": ...}}"""
    rows, told = len(label), {}
    def keep(model, repeat, test, score, alarm):
        of = told.setdefault(model, {"score": np.full((shop.repeats, rows), np.nan), "alarm": np.zeros((shop.repeats, rows), dtype=bool)})
        of["score"][repeat, test], of["alarm"][repeat, test] = score, alarm
    splits = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=shop.repeats, random_state=SEED)
    peers = {"HistGradientBoosting": lambda: (HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=SEED), codes(features)),
             "RandomForest": lambda: (RandomForestClassifier(random_state=SEED, n_jobs=2), one_hot(features))}
    for k, (train, test) in enumerate(splits.split(features, label)):
        frame = features.assign(label=label)
        for model, options in train_options.items():
            scored = shop.fit_and_score(model, frame.iloc[train], features.iloc[test], "--label", "label", *options)
            keep(model, k // FOLDS, test, scored["score"].to_numpy(float), (scored["prediction"].astype(str) == "1").to_numpy())
        for model, make in peers.items():
            fitted, table_of = make()
            started = time.perf_counter()
            fitted.fit(table_of.iloc[train], label[train])
            shop.spent(model, started)
            score = fitted.predict_proba(table_of.iloc[test])[:, 1]
            keep(model, k // FOLDS, test, score, score >= 0.5)
        started = time.perf_counter()
        given = flaml("classification", codes(features).iloc[train], label[train], codes(features).iloc[test],
                      shop.seconds["skerry"] / (k + 1), "ap")
        if given is not None:
            shop.spent("FLAML", started)
            keep("FLAML", k // FOLDS, test, given[:, 1], given[:, 1] >= 0.5)
    return told


def binary_figures(told, label):
    def figures(model, rows):
        of, y = told[model], label[rows]
        if y.min() == y.max():
            return {"AP": np.nan, "AUC": np.nan, "F1": np.nan}
        repeats = range(len(of["score"]))
        return {"AP": np.mean([average_precision_score(y, of["score"][r][rows]) for r in repeats]),
                "AUC": np.mean([roc_auc_score(y, of["score"][r][rows]) for r in repeats]),
                "F1": np.mean([f1_score(y, of["alarm"][r][rows]) for r in repeats])}
    return figures


def ai4i(shop):
    frame = pd.read_csv(shop.file("ai4i2020", "ai4i2020.csv"))
    label = frame["Machine failure"].to_numpy()
    features = frame.drop(columns=["Machine failure", "UDI", "Product ID", "TWF", "HDF", "PWF", "OSF", "RNF"])
    told = binary_folds(shop, features, label, {"skerry": [], "skerry, derived": ["--derive", "4"]})
    models = table(len(label), binary_figures(told, label), told)
    derived = models["skerry, derived"]
    return {"protocol": f"AI4I 2020, {shop.repeats} x {FOLDS}-fold stratified; figures are means over the repeats; skerry's threshold is of its "
                        "inner folds, that of the others 0.5, as they come",
            "models": models, "seconds": shop.seconds,
            "goals": [goal("AP", models["skerry"]["AP"]["value"], 0.82), goal("F1", models["skerry"]["F1"]["value"], 0.76),
                      goal("AP, derived", derived["AP"]["value"], 0.88), goal("F1, derived", derived["F1"]["value"], 0.84)]}


def breast_cancer(shop):
    data = load_breast_cancer(as_frame=True)
    label = (data.target == 0).to_numpy().astype(int)  # malignant
    told = binary_folds(shop, data.data, label, {"skerry": []})
    return {"protocol": f"breast cancer (scikit-learn), {shop.repeats} x {FOLDS}-fold stratified, malignant is class 1",
            "models": table(len(label), binary_figures(told, label), told), "seconds": shop.seconds}


def digits(shop):
    features, label = load_digits(return_X_y=True, as_frame=True)
    label = label.to_numpy()
    told = {}
    def keep(model, repeat, test, probabilities):
        told.setdefault(model, np.zeros((shop.repeats, len(label), 10)))[repeat, test] = probabilities
    splits = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=shop.repeats, random_state=SEED)
    for k, (train, test) in enumerate(splits.split(features, label)):
        scored = shop.fit_and_score("skerry", features.assign(label=label).iloc[train], features.iloc[test], "--label", "label",
                                    "--task", "multiclass")
        keep("skerry", k // FOLDS, test, scored[[f"probability_{c}" for c in range(10)]].to_numpy(float))
        for model, fitted in (("HistGradientBoosting", HistGradientBoostingClassifier(random_state=SEED)),
                              ("RandomForest", RandomForestClassifier(random_state=SEED, n_jobs=2))):
            started = time.perf_counter()
            fitted.fit(features.iloc[train], label[train])
            shop.spent(model, started)
            keep(model, k // FOLDS, test, fitted.predict_proba(features.iloc[test]))
    loss = {model: -np.log(np.clip(np.take_along_axis(p, label[None, :, None], 2)[:, :, 0], 1e-15, 1)) for model, p in told.items()}
    right = {model: p.argmax(2) == label for model, p in told.items()}
    return {"protocol": f"digits (scikit-learn, 10 classes), {shop.repeats} x {FOLDS}-fold stratified",
            "models": table(len(label), lambda model, rows: {"log loss": loss[model][:, rows].mean(), "accuracy": right[model][:, rows].mean()}, told),
            "seconds": shop.seconds}


def diabetes(shop):
    features, target = load_diabetes(return_X_y=True, as_frame=True)
    target, told = target.to_numpy(), {}
    for k, (train, test) in enumerate(RepeatedKFold(n_splits=FOLDS, n_repeats=shop.repeats, random_state=SEED).split(features)):
        scored = shop.fit_and_score("skerry", features.assign(label=target).iloc[train], features.iloc[test], "--label", "label",
                                    "--task", "regression")
        told.setdefault("skerry", np.zeros((shop.repeats, len(target))))[k // FOLDS, test] = scored["value"].to_numpy(float)
        for model, fitted in (("HistGradientBoosting", HistGradientBoostingRegressor(random_state=SEED)),
                              ("RandomForest", RandomForestRegressor(random_state=SEED, n_jobs=2))):
            started = time.perf_counter()
            fitted.fit(features.iloc[train], target[train])
            shop.spent(model, started)
            told.setdefault(model, np.zeros((shop.repeats, len(target))))[k // FOLDS, test] = fitted.predict(features.iloc[test])
    def figures(model, rows):
        error = told[model][:, rows] - target[rows]
        return {"RMSE": np.sqrt((error**2).mean(1)).mean(), "MAE": np.abs(error).mean()}
    return {"protocol": f"diabetes (scikit-learn), regression, {shop.repeats} x {FOLDS}-fold", "models": table(len(target), figures, told),
            "seconds": shop.seconds}


KDD_NUMBERS = 41


def read_kdd(path):
    frame = pd.read_csv(path, header=None)
    frame.columns = [f"c{i}" for i in range(KDD_NUMBERS)] + ["kind"]
    return frame


def kdd99(shop):
    train, test = (read_kdd(shop.file("kdd99", name)) for name in ("kddcup.data_10_percent.gz", "corrected.gz"))
    columns = [f"c{i}" for i in range(KDD_NUMBERS)]
    attack, known = (test["kind"] != "normal.").to_numpy(), set(train["kind"])
    new = attack & ~test["kind"].isin(known).to_numpy()
    label = (train["kind"] != "normal.").astype(int)
    alarms = {}
    scored = shop.fit_and_score("skerry", train[columns].assign(attack=label), test[columns], "--label", "attack")
    alarms["skerry"] = (scored["prediction"].astype(str) == "1").to_numpy()
    normal = train.loc[label == 0, columns]
    for detector in ("isolation-forest", "pca"):
        name = f"skerry, {detector} on normals"
        scored = shop.fit_and_score(name, normal, test[columns], "--task", "anomaly", "--alarm-rate", "0.01", "--detector", detector)
        alarms[name] = (scored["anomaly"].astype(str).str.lower() == "true").to_numpy()
    both = codes(pd.concat([train[columns], test[columns]]))
    boosting = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=SEED)
    started = time.perf_counter()
    boosting.fit(both.iloc[:len(train)], label)
    shop.spent("HistGradientBoosting", started)
    alarms["HistGradientBoosting"] = boosting.predict_proba(both.iloc[len(train):])[:, 1] >= 0.5
    kinds = np.where(new, 2, np.where(attack, 1, 0))
    def figures(model, rows):
        raised, kind = alarms[model][rows], kinds[rows]
        return {"detection": raised[kind > 0].mean(), "false alarms": raised[kind == 0].mean(), "new attacks": raised[kind == 2].mean()}
    models = table(len(test), figures, alarms)
    ours = models["skerry"]
    return {"protocol": "KDD'99, fitted to the 10 % file, judged on every row of 'corrected': attack against normal; new attacks are of kinds that "
                        "training lacks; rows repeat, so the intervals are too narrow",
            "models": models, "seconds": shop.seconds,
            "goals": [goal("detection", ours["detection"]["value"], 0.914), goal("false alarms", ours["false alarms"]["value"], 0.017, False),
                      goal("new attacks", ours["new attacks"]["value"], 0.13)]}


CLIP = 125
WINDOW = 30


def read_engines(path):
    frame = pd.read_csv(path, sep=r"\s+", header=None)
    frame.columns = ["unit", "cycle", *[f"setting{i}" for i in range(1, 4)], *[f"s{i}" for i in range(1, 22)]]
    return frame


def with_windows(frame, sensors):
    """Mean, standard deviation and slope of each sensor's last WINDOW cycles."""
    parts = [frame]
    for sensor in sensors:
        rolled = frame.groupby("unit")[sensor].rolling(WINDOW, min_periods=1)
        cycle_mean = frame.groupby("unit")["cycle"].rolling(WINDOW, min_periods=1).mean().reset_index(0, drop=True)
        product = (frame[sensor] * frame["cycle"]).groupby(frame["unit"]).rolling(WINDOW, min_periods=1).mean().reset_index(0, drop=True)
        square = (frame["cycle"]**2).groupby(frame["unit"]).rolling(WINDOW, min_periods=1).mean().reset_index(0, drop=True)
        mean = rolled.mean().reset_index(0, drop=True)
        slope = (product - mean * cycle_mean) / (square - cycle_mean**2).where(lambda x: x > 0)
        parts.append(pd.DataFrame({f"{sensor}_mean": mean, f"{sensor}_sd": rolled.std().reset_index(0, drop=True), f"{sensor}_slope": slope}))
    return pd.concat(parts, axis=1)


def nasa_score(error):
    return np.where(error < 0, np.exp(-error / 13) - 1, np.exp(error / 10) - 1).sum()


def cmapss(shop):
    train, test = (read_engines(shop.file("cmapss_fd001", f"{name}_FD001.txt.gz")) for name in ("train", "test"))
    truth = np.minimum(np.loadtxt(shop.file("cmapss_fd001", "RUL_FD001.txt")), CLIP)
    sensors = [c for c in train.columns if c.startswith("s") and not c.startswith("setting") and train[c].nunique() > 2]
    rul = np.minimum(train.groupby("unit")["cycle"].transform("max") - train["cycle"], CLIP)
    plain = ["cycle", *sensors]
    wide = [with_windows(frame, sensors) for frame in (train, test)]
    columns = [c for c in wide[0].columns if c not in ("unit", "setting1", "setting2", "setting3")]
    last = test.groupby("unit")["cycle"].idxmax().to_numpy()
    told, chosen = {}, {}
    # Engines run one after another in `hour`: inner folds by time are then folds by engine, but for the four on a border.
    as_rows = lambda frame: frame[["unit", *plain]].assign(hour=frame["unit"] * 1000 + frame["cycle"])
    window = lambda lengths, *more: ["--window", f"unit:{lengths}", "--window-column", ",".join(sensors), *more]
    candidates = {"plain": [], "windows": window(WINDOW), "windows, depth 4": window(WINDOW, "--depth", "4"),
                  "two windows, depth 4": window(f"10,{WINDOW}", "--depth", "4"),
                  "two windows, depth 4, rate .03": window(f"10,{WINDOW}", "--depth", "4", "--learning-rate", "0.03", "--trees", "800")}
    for name, more in candidates.items():
        options = ("--label", "rul", "--task", "regression", "--time", "hour", "--id" if name == "plain" else "--context", "unit", *more)
        frame, errors = as_rows(train).assign(rul=rul), []
        for inside, outside in GroupKFold(FOLDS).split(frame, groups=frame["unit"]):
            scored = shop.fit_and_score("skerry, choosing", frame.iloc[inside], as_rows(train).iloc[outside], *options)
            errors.append(((np.minimum(scored["value"].to_numpy(float), CLIP) - rul.to_numpy()[outside])**2).mean())
        chosen[name] = np.sqrt(np.mean(errors))
        scored = shop.fit_and_score(f"skerry, {name}", frame, as_rows(test), *options)
        told[f"skerry, {name}"] = scored["value"].to_numpy(float)[last]
    for name, (learnt, judged) in {"plain": (train[plain], test[plain]), "windows": (wide[0][columns], wide[1][columns])}.items():
        boosting = HistGradientBoostingRegressor(random_state=SEED)
        started = time.perf_counter()
        boosting.fit(learnt, rul)
        shop.spent(f"HistGradientBoosting, {name}", started)
        told[f"HistGradientBoosting, {name}"] = boosting.predict(judged.loc[last])
    best = min(chosen, key=chosen.get)
    told = {"skerry": told[f"skerry, {best}"], **told}
    error = {model: np.minimum(values, CLIP) - truth for model, values in told.items()}
    models = table(len(truth), lambda model, rows: {"RMSE": np.sqrt((error[model][rows]**2).mean()), "NASA score": nasa_score(error[model][rows])}, told)
    return {"protocol": f"C-MAPSS FD001, the official test engines at their last cycle, RUL clipped at {CLIP} on both sides; windows of {WINDOW} "
                        f"cycles (two: 10 and {WINDOW}); features, depth and rate chosen by cross-validation over engines (RMSE {', '.join(f'{k} {v:.2f}' for k, v in chosen.items())}: "
                        f"'skerry' is {best})",
            "models": models, "seconds": shop.seconds,
            "goals": [goal("RMSE", models["skerry"]["RMSE"]["value"], 11.9, False),
                      goal("NASA score", models["skerry"]["NASA score"]["value"], 210, False)]}


SETS = {"ai4i": ai4i, "cmapss": cmapss, "kdd99": kdd99, "breast_cancer": breast_cancer, "digits": digits, "diabetes": diabetes}
