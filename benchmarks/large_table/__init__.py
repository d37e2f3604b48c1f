"""A million rows: boostlab's whole notebook against bare XGBoost on the same Parquet file."""
