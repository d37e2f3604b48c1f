from .form import show_form as show_form
from .registry_panel import show_panel as show_panel
from .run_picker import RunPicker as RunPicker
