"""The same work as a plain Python script by somebody who knows MLflow well.

It states the requirements of the model instead of inferring them, logs metrics in one batch, and draws without pyplot.
"""

from __future__ import annotations

import argparse
import time

import mlflow
import mlflow.data
import mlflow.xgboost
import sklearn.datasets
import xgboost as xgb
from matplotlib.figure import Figure
from mlflow.entities import Metric
from mlflow.models import infer_signature
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import KFold, train_test_split


def train(options: argparse.Namespace) -> float:
    """Train, record everything, and return the best metric of the validation rows."""
    mlflow.set_tracking_uri(options.tracking_uri)
    mlflow.set_experiment("script")
    with mlflow.start_run() as run:
        params = {
            "eta": options.eta,
            "max_depth": options.max_depth,
            "objective": "reg:squarederror",
            "eval_metric": "rmse",
            "seed": options.seed,
        }
        mlflow.log_params(vars(options))
        X, y = getattr(sklearn.datasets, f"load_{options.dataset}")(return_X_y=True, as_frame=True)
        table = mlflow.data.from_pandas(X.assign(target=y), name=options.dataset, targets="target")
        mlflow.log_input(table, context="training")
        X_rest, X_test, y_rest, y_test = train_test_split(X, y, test_size=options.test_size, random_state=options.seed)
        valid_share = options.valid_size / (1 - options.test_size)
        X_train, X_valid, y_train, y_valid = train_test_split(X_rest, y_rest, test_size=valid_share, random_state=options.seed)
        dtrain, dvalid, dtest = xgb.DMatrix(X_train, y_train), xgb.DMatrix(X_valid, y_valid), xgb.DMatrix(X_test)

        history: dict[str, dict[str, list[float]]] = {}
        booster = xgb.train(
            params,
            dtrain,
            options.num_boost_round,
            evals=[(dtrain, "train"), (dvalid, "valid")],
            early_stopping_rounds=options.early_stopping_rounds,
            evals_result=history,
            verbose_eval=False,
        )
        now = int(time.time() * 1000)
        points = [
            Metric(f"{part}_rmse", value, now, step) for part, line in history.items() for step, value in enumerate(line["rmse"])
        ]
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics=points)

        figure = Figure(layout="constrained")
        axes = figure.subplots()
        axes.plot(history["train"]["rmse"], label="train")
        axes.plot(history["valid"]["rmse"], label="valid")
        axes.set(xlabel="boosting round", ylabel="rmse", title="Learning curves")
        axes.legend()
        mlflow.log_figure(figure, "plots/learning_curves.png")

        figure = Figure(layout="constrained")
        gain = booster.get_score(importance_type="gain")
        figure.subplots().barh(list(gain), list(gain.values()))
        mlflow.log_figure(figure, "plots/feature_importance.png")

        predicted = booster.predict(dtest, iteration_range=(0, booster.best_iteration + 1))
        constant = DummyRegressor().fit(X_train, y_train).predict(X_test)
        for prefix, answer in (("test", predicted), ("baseline", constant)):
            mlflow.log_metrics(
                {
                    f"{prefix}_rmse": root_mean_squared_error(y_test, answer),
                    f"{prefix}_mae": mean_absolute_error(y_test, answer),
                    f"{prefix}_r2": r2_score(y_test, answer),
                }
            )

        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.scatter(y_test, predicted)
        left.set(xlabel="true", ylabel="predicted", title="Predicted against true")
        right.hist(y_test - predicted, bins="auto")
        right.set(xlabel="residual", ylabel="test rows", title="Residuals")
        mlflow.log_figure(figure, "plots/test.png")

        scores: list[dict[str, float]] = []
        splitter = KFold(options.folds, shuffle=True, random_state=options.seed).split(X) if options.folds else []
        for known, tested in splitter:
            first, second = train_test_split(known, test_size=valid_share, random_state=options.seed)
            parts = {"train": xgb.DMatrix(X.iloc[first], y.iloc[first]), "valid": xgb.DMatrix(X.iloc[second], y.iloc[second])}
            fold = xgb.train(
                params,
                parts["train"],
                options.num_boost_round,
                evals=[(parts["train"], "train"), (parts["valid"], "valid")],
                early_stopping_rounds=options.early_stopping_rounds,
                verbose_eval=False,
            )
            answer = fold.predict(xgb.DMatrix(X.iloc[tested]), iteration_range=(0, fold.best_iteration + 1))
            true = y.iloc[tested]
            scores.append(
                {
                    "rmse": root_mean_squared_error(true, answer),
                    "mae": mean_absolute_error(true, answer),
                    "r2": r2_score(true, answer),
                }
            )
        if scores:
            means = {f"cv_{name}": sum(score[name] for score in scores) / len(scores) for name in scores[0]}
            mlflow.log_metrics(means)
            figure = Figure(layout="constrained")
            axes = figure.subplots()
            axes.plot([score["rmse"] for score in scores], "o")
            axes.set(xlabel="fold", ylabel="rmse", title="Folds")
            mlflow.log_figure(figure, "plots/folds.png")

        mlflow.xgboost.log_model(
            booster[: booster.best_iteration + 1],
            name="model",
            signature=infer_signature(X_train, predicted),
            input_example=X_train.head(5),
            pip_requirements=[f"xgboost=={xgb.__version__}"],
        )
    return float(booster.best_score)


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="diabetes")
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--test-size", type=float, default=0.2)
    parser.add_argument("--valid-size", type=float, default=0.2)
    parser.add_argument("--eta", type=float, default=0.1)
    parser.add_argument("--max-depth", type=int, default=4)
    parser.add_argument("--num-boost-round", type=int, default=500)
    parser.add_argument("--early-stopping-rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    train(read_options())
