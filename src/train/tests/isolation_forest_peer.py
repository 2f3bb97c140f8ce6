"""The area under the ROC curve of scikit-learn's IsolationForest, mean over seeds.

isolation_forest_peer.py DIRECTORY NORMAL_ROWS SEEDS: fits to training.csv, scores judged.csv, whose
rows from NORMAL_ROWS on are anomalies; prints one number.
"""
import sys

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

directory, normal_rows, seeds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
training = np.loadtxt(f"{directory}/training.csv", delimiter=",", dtype=np.float32)
judged = np.loadtxt(f"{directory}/judged.csv", delimiter=",", dtype=np.float32)
truth = np.arange(len(judged)) >= normal_rows
areas = [
    roc_auc_score(truth, -IsolationForest(n_estimators=100, max_samples=256, random_state=seed)
                  .fit(training).score_samples(judged))
    for seed in range(seeds)
]
print(np.mean(areas))
