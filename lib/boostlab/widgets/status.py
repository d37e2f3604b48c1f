"""A sentence on what a widget does or refuses, which screen readers announce."""

from __future__ import annotations

from html import escape


def render_status(text: str, *, is_error: bool = False) -> str:
    """Return text as HTML that shows it unchanged, keeps its lines, and is announced by screen readers."""
    colour = "var(--jp-error-color0, #b3261e)" if is_error else "var(--jp-content-font-color1, #222)"
    style = f"color: {colour}; white-space: pre-wrap; line-height: 1.4; max-width: 60em; overflow-wrap: anywhere"
    return f'<div class="mathjax_ignore tex2jax_ignore" role="status" aria-live="polite" style="{style}">{escape(text)}</div>'
