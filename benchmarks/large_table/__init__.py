"""Measure boostlab's whole notebook on a million rows against bare XGBoost on the same Parquet file."""
