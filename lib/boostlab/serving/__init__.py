"""The web server inside an image: MLflow's scoring protocol without MLflow and without pandas.

``python -m boostlab.serving MODEL_FOLDER`` serves an MLflow Model that boostlab made. The server imports only
:mod:`boostlab.errors`, :mod:`boostlab.models.predictor` and :mod:`boostlab.models.contract` of boostlab, and numpy, xgboost,
msgspec and uvicorn.
"""
