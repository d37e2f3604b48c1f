"""The web server inside an image: MLflow's scoring protocol without MLflow and without pandas.

``python -m boostlab.serving MODEL_FOLDER`` serves an MLflow Model that boostlab made. The server imports only
:mod:`boostlab.errors`, :mod:`boostlab.models.answers` and other modules that travel with a model, and numpy, xgboost,
msgspec and uvicorn.
"""
