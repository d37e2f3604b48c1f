"""What a tracked notebook costs: boostlab's ``train.ipynb`` against a stock notebook and a plain script."""
