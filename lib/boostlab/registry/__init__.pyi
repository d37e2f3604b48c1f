from .gate import find_gate as find_gate, load_gate as load_gate
from .settings import Registry as Registry
from .view import view_model as view_model
