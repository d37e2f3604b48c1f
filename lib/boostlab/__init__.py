"""boostlab: notebooks that train, compare, promote and ship XGBoost models with MLflow."""
