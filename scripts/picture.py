"""Draws who ran what when in the demonstration, and the main job's scores, from their stores."""
import sqlite3
import sys

import matplotlib
import matplotlib.pyplot as plt

results, picture = sys.argv[1:]
plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")

runs = sqlite3.connect(f"{results}/demo/runs.sqlite").execute(
    "SELECT task, rank, started, seconds FROM all_runs ORDER BY task"
).fetchall()
begin = min(started for _, _, started, _ in runs)
colours = matplotlib.colormaps["tab10"]
for task, rank, started, seconds in runs:
    dataset, param = divmod(task, 3)
    left.barh(rank, seconds, left=started - begin, color=colours(dataset), edgecolor="white")
    left.text(started - begin + seconds / 2, rank, f"{dataset}, {param}", ha="center", va="center", color="white")
left.set(xlabel="seconds", ylabel="worker (MPI rank)", xlim=(0, None))
left.set_title("gridmpi: 10 data sets x 3 parameters x 1 s, flattened on 8 workers", fontsize=9)
left.invert_yaxis()

store = sqlite3.connect(f"{results}/ridge/runs.sqlite")
for (dataset,) in store.execute("SELECT DISTINCT dataset FROM all_runs").fetchall():
    curve = store.execute(
        "SELECT alpha, avg(score) FROM all_runs WHERE dataset = ? GROUP BY alpha", [dataset]
    ).fetchall()
    alphas, scores = zip(*curve)
    (line,) = right.plot(alphas, scores, label=dataset)
    best = max(range(len(scores)), key=scores.__getitem__)
    right.plot(alphas[best], scores[best], "o", color=line.get_color())
right.set(xscale="log", xlabel="alpha", ylabel="mean R² over 5 folds")
right.set_title("gridmpi jobs/ridge.toml: 1000 runs, the best alpha of each data set", fontsize=9)
right.legend(frameon=False, fontsize=8)
figure.savefig(picture, dpi=110)
