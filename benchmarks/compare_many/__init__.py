"""A store with ten thousand runs: the comparison's table against ``mlflow.search_runs`` with its defaults."""
