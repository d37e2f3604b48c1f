from .loading import load_version as load_version
from .packaging import fetch_predictor as fetch_predictor
from .predictor import Predictor as Predictor
from .registration import register_run as register_run
