"""The log of MLflow's server in the stock image: one line of JSON for each event; ``log.json`` names this formatter."""

from __future__ import annotations

import json
import logging


class JsonLines(logging.Formatter):
    """Formats a record as JSON, with the parts of uvicorn's lines on requests as fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record's line."""
        line = {"time": round(record.created, 3), "level": record.levelname.lower(), "logger": record.name}
        if record.name == "uvicorn.access" and isinstance(record.args, tuple) and len(record.args) == 5:
            line |= dict(zip(("client", "method", "path", "http_version", "status"), record.args, strict=True))
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


logging.captureWarnings(capture=True)  # Python's warnings are lines of JSON, too
