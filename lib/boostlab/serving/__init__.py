"""The web server inside an image: MLflow's scoring protocol without MLflow and without pandas.

``python -m boostlab.serving MODEL_FOLDER`` serves an MLflow Model that boostlab made. Of boostlab it needs no more than
:mod:`boostlab.errors` and :mod:`boostlab.models.predictor`; of other packages numpy, xgboost, orjson and uvicorn.
"""
