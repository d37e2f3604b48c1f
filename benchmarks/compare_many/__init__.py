"""Measure the comparison's table on ten thousand runs against ``mlflow.search_runs`` with its defaults."""
