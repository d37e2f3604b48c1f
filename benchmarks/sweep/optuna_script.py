"""The same search as a plain script with Optuna and MLflow, without notebooks: two trials at a time, as processes of a pool.

Usage: ``python -m benchmarks.sweep.optuna_script TRACKING_URI TRIALS PROCESSES``.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

import matplotlib.pyplot as plt
import mlflow
import optuna
import optuna.visualization.matplotlib as pictures

from benchmarks.train_overhead.script import read_options, train


def run(tracking_uri: str, eta: float, max_depth: int) -> float:
    """Run one trial."""
    return train(read_options(["--tracking-uri", tracking_uri, "--eta", str(eta), "--max-depth", str(max_depth)]))


def main(tracking_uri: str, trials: int, processes: int) -> None:
    """Search, and draw Optuna's figures of the study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    running: dict[Future[float], optuna.Trial] = {}
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_experiment("script")  # MLflow fails if two processes make it at the same time
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for number in range(trials + processes):
            while len(running) >= processes or (running and number >= trials):
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    study.tell(running.pop(future), future.result())
            if number < trials:
                trial = study.ask()
                eta, depth = trial.suggest_float("eta", 0.02, 0.3, log=True), trial.suggest_int("max_depth", 2, 8)
                running[pool.submit(run, tracking_uri, eta, depth)] = trial
    with mlflow.start_run():
        for draw in (
            pictures.plot_optimization_history,
            pictures.plot_param_importances,
            pictures.plot_slice,
            pictures.plot_contour,
            pictures.plot_parallel_coordinate,
            pictures.plot_timeline,
        ):
            drawn = draw(study)
            axes = drawn if hasattr(drawn, "figure") else drawn.flat[0]
            mlflow.log_figure(axes.figure, f"plots/{draw.__name__}.png")
            plt.close("all")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
