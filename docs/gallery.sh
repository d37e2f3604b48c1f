#!/usr/bin/env bash
# Run the notebooks for the gallery: headless, with a store and a state folder that are deleted at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export MLFLOW_TRACKING_URI="sqlite:///$work/mlflow.db" XDG_STATE_HOME="$work/state" MLFLOW_DISABLE_TELEMETRY=true
pages=docs/gallery
rm -f "$pages"/*.ipynb

run() { # NOTEBOOK OUTPUT OPTION…
  echo "gallery: $1 ${*:3}"
  "$BIN"/papermill --no-progress-bar --log-level WARNING "notebooks/$1.ipynb" "$2" "${@:3}"
}

run train "$work/out.ipynb" -p dataset breast_cancer -p subsample 0.8 -p seed 1
run train "$work/out.ipynb" -p dataset breast_cancer -p eta 0.3 -p max_depth 2
run train "$pages/train.ipynb" -p dataset breast_cancer -p subsample 0.8 -p details True -p learning_curve True -p register_as tumours -p purpose "Tell malignant from benign tumours."
run sweep "$pages/sweep.ipynb" -p space quick -p n_trials 12 -y 'fixed: {dataset: breast_cancer, num_boost_round: 100}'
run compare "$pages/compare.ipynb"
run registry "$work/out.ipynb" -p model tumours -p version 1 -p stage staging -p reason "first candidate"
run registry "$pages/registry.ipynb" -p model tumours -p version 1 -p stage production -p reason "passes every rule"
run deploy "$pages/deploy.ipynb" -p model tumours -p output process
"$BIN"/python -c "from sklearn.datasets import load_breast_cancer; load_breast_cancer(as_frame=True).data.to_csv('$work/new.csv', index=False)"
run score "$pages/score.ipynb" -p model tumours -p rows "$work/new.csv" -p output "$work/scored.csv"
