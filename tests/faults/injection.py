"""Injection: count what a process does to files, a database and a server, and let the n-th of these fail in a given way."""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_FAULTS = ("kill before", "kill after", "full disk", "disk error", "no permission")
WRITE_FAULTS = (*FILE_FAULTS, "torn")
SQL_FAULTS = ("kill before", "kill after", "error", "lost answer", "slow")
HTTP_FAULTS = ("kill before", "kill after", "reset", "lost answer", "status 403", "status 429", "status 500", "slow")
FAULTS = {
    "write": WRITE_FAULTS,
    "open": FILE_FAULTS,
    "rename": FILE_FAULTS,
    "remove": FILE_FAULTS,
    "folder": FILE_FAULTS,
    "sync": FILE_FAULTS,
    "sql": SQL_FAULTS,
    "http": HTTP_FAULTS,
}
ERRNOS = {"full disk": errno.ENOSPC, "disk error": errno.EIO, "no permission": errno.EACCES}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SLOW_S = 0.3


@dataclass(frozen=True)
class Point:
    """One operation of the scenario, and what happens there."""

    role: str  #: of the process: owner, kernel, courier or registrar
    number: int  #: of the operation in its role, from 1
    kind: str  #: of the operation: a key of :data:`FAULTS`
    fault: str = ""  #: empty: nothing
    lasts: bool = False  #: whether all later operations of the kind fail too, until the scenario is over

    def __str__(self) -> str:
        return f"{self.role} {self.number} {self.kind}: {self.fault}{' that lasts' if self.lasts else ''}"


class Injector:
    """Counts the operations of this process below a folder, and lets one fail."""

    def __init__(self, root: Path, point: Point | None) -> None:
        self.root, self.point = str(root), point
        self.role, self.number = "owner", 0
        self._write, self._open = os.write, os.open
        self._is_busy = False
        self._trace = os.open(root / "trace", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def become(self, role: str) -> None:
        """Start the count of another role."""
        self.role, self.number = role, 0

    def install(self) -> None:
        """Wrap the functions through which a process changes files, talks to a database, and talks to a server."""
        for kind, names in {
            "write": ("write", "pwrite"),
            "rename": ("rename", "replace"),
            "remove": ("unlink", "remove", "rmdir"),
            "folder": ("mkdir",),
            "sync": ("fsync",),
        }.items():
            for name in names:
                setattr(os, name, self._wrap(kind, getattr(os, name), self._is_below))
        os.open = self._wrap("open", os.open, lambda path, flags, *_, **__: flags & WRITING and self._is_below(path))
        opened = self._wrap("open", io.open, lambda path, mode="r", *_, **__: set(mode) & set("wax+") and self._is_below(path))
        io.open = builtins.open = opened
        self._install_sql()
        self._install_http()

    def _wrap(self, kind: str, function: Callable[..., Any], is_meant: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            if self._is_busy or not is_meant(*args, **options):
                return function(*args, **options)
            fault = self._count(kind)
            if fault in ERRNOS:
                raise OSError(ERRNOS[fault], os.strerror(ERRNOS[fault]), *[str(args[0])] * isinstance(args[0], str | Path))
            if fault == "torn":
                function(args[0], args[1][: len(args[1]) // 2], *args[2:])
                _die()
            return self._around(fault, lambda: function(*args, **options))

        return wrapped

    def _install_sql(self) -> None:
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        from sqlalchemy.engine.default import DefaultDialect

        def before(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            connection.info["fault"] = fault = self._count("sql")
            self._before(fault)
            if fault == "error":
                raise _database_error(statement)

        def after(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            self._after(connection.info.pop("fault", ""), lambda: _database_error(statement))

        event.listen(Engine, "before_cursor_execute", before)
        event.listen(Engine, "after_cursor_execute", after)
        plain: Any = DefaultDialect.do_commit

        def do_commit(dialect: Any, connection: Any) -> None:
            fault = self._count("sql")
            self._before(fault)
            if fault == "error":
                connection.rollback()
                raise _database_error("COMMIT")
            plain(dialect, connection)
            self._after(fault, lambda: _database_error("COMMIT"))

        setattr(DefaultDialect, "do_commit", do_commit)  # noqa: B010

    def _install_http(self) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        plain = HTTPAdapter.send

        def send(adapter: Any, request: Any, **options: Any) -> Any:
            fault = self._count("http")
            self._before(fault)
            if fault == "reset":
                raise requests.ConnectionError("Connection reset by peer")
            if fault.startswith("status"):
                answer = requests.Response()
                answer.status_code, answer.request, answer.url = int(fault[-3:]), request, request.url
                answer.raw = io.BytesIO(b"")
                return answer
            answer = plain(adapter, request, **options)
            self._after(fault, lambda: requests.ConnectionError("Connection reset by peer"))
            return answer

        setattr(HTTPAdapter, "send", send)  # noqa: B010

    def _count(self, kind: str) -> str:
        """Count an operation, and return its fault."""
        self.number += 1
        self._write(self._trace, f"{self.role} {self.number} {kind}\n".encode())
        point = self.point
        if point is None or point.role != self.role:
            return ""
        is_hit = point.number == self.number or (point.lasts and self.number > point.number and kind == point.kind)
        return point.fault if is_hit else ""

    def _around(self, fault: str, act: Callable[[], Any]) -> Any:
        self._before(fault)
        done = act()
        self._after(fault, lambda: OSError(errno.EIO, "lost"))
        return done

    def _before(self, fault: str) -> None:
        if fault == "kill before":
            _die()
        if fault == "slow":
            time.sleep(SLOW_S)

    def _after(self, fault: str, error: Callable[[], Exception]) -> None:
        if fault == "kill after":
            _die()
        if fault == "lost answer":
            raise error()

    def _is_below(self, path: Any, *_: Any, **options: Any) -> bool:
        """Tell whether a path, an open file or a name in an open folder lies below the scenario's folder."""
        if isinstance(path, int):
            path = self._resolve(path)
        elif (folder := options.get("dir_fd")) is not None:
            path = f"{self._resolve(folder)}/{os.fspath(path)}"
        return os.fspath(path).startswith(self.root) if isinstance(path, str | Path) else False

    @staticmethod
    def _resolve(handle: int) -> str:
        try:
            return str(Path(f"/proc/self/fd/{handle}").readlink())
        except OSError:
            return ""


def _database_error(statement: str) -> Exception:
    from sqlalchemy.exc import OperationalError

    return OperationalError(statement, {}, Exception("disk I/O error"))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
