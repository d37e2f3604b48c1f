"""Measure the cost of a tracked notebook: ``train.ipynb`` against a stock notebook and a plain script."""
