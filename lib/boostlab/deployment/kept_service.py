"""A service that stays: an image that runs under a name, and whose port stays when another image replaces it.

The container NAME runs the server. If the image can share a port, the container NAME-port holds the published port
(:mod:`boostlab.serving.shared_port`), and two servers answer there while one replaces the other: no request is lost.
Otherwise the server publishes the port itself, and nothing answers between the stop of the old server and the start of the new.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import docker

from boostlab.deployment.context import PORT, SHARED_PORT_LABEL, STOP_TIMEOUT_S
from boostlab.deployment.docker_containers import (
    Container,
    DockerClient,
    create_container,
    explain_failure,
    find_address,
    find_server,
    remove_container,
)
from boostlab.deployment.docker_images import find_image
from boostlab.deployment.service import Service

HOLDER_SUFFIX = "-port"
OLD_SUFFIX = "-before"  # a container has this suffix until its replacement answers
SOCKET_FOLDER = "/run/boostlab"
SOCKET = f"{SOCKET_FOLDER}/port.sock"
DRAIN_S = 3  # clients that send a request at least this often are asked to connect to the new server
KEPT: dict[str, Any] = {"restart_policy": {"Name": "unless-stopped"}}


def keep_image(client: DockerClient, image: str, *, name: str, port: int = 0) -> Service:
    """Leave an image running under a name. It replaces the service of that name, which stays if anything fails.

    Parameters
    ----------
    port : int
        Port on the loopback address; 0: that of the service that is replaced, else any free one.

    Raises
    ------
    DeploymentError
        If the port is taken, or the server does not answer.
    """
    shares = SHARED_PORT_LABEL in find_image(client, image).labels
    holder_name = f"{name}{HOLDER_SUFFIX}"
    with explain_failure(image, port):
        _restore(client, [holder_name, name])  # a killed process may have left them renamed
        holder = next(iter(_find_containers(client, holder_name)), None)
        reuses = shares and holder and holder.status == "running" and (not port or find_address(holder).endswith(f":{port}"))
        with _set_aside(client, [name] if reuses else [name, holder_name], port), ExitStack() as stack:
            if shares and not reuses:
                holder = stack.enter_context(
                    create_container(client, image, **_hold_port(port or _choose_port()), name=holder_name, **KEPT)
                )
            started = time.monotonic()
            options = _share_port(holder) if shares else {"ports": _publish(port or _choose_port())}
            server = stack.enter_context(create_container(client, image, name=name, **options, **KEPT))
            own_address = find_server(server)
            return Service(find_address(holder) if shares else own_address, time.monotonic() - started, name)


def _choose_port() -> int:
    """Return a free port. If the engine chose one, it would choose another one whenever it starts the container again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _publish(port: int) -> dict[str, tuple[str, int | None]]:
    return {f"{PORT}/tcp": ("127.0.0.1", port or None)}


def _hold_port(port: int) -> dict[str, Any]:
    """Return the options of a container that holds a port; its socket lies in a volume in memory."""
    memory = docker.types.DriverConfig("local", {"type": "tmpfs", "device": "tmpfs", "o": "mode=0777"})
    return {
        "ports": _publish(port),
        "mounts": [docker.types.Mount(SOCKET_FOLDER, None, driver_config=memory)],
        "entrypoint": ["/app/python", "-S", "-m", "boostlab.serving.shared_port", SOCKET, "0.0.0.0", str(PORT)],  # noqa: S104
        "healthcheck": {"test": ["NONE"]},
    }


def _share_port(holder: Container) -> dict[str, Any]:
    """Return the options of a server that answers at a holder's port, and on a port of its own for the check of its health."""
    environment = {"BOOSTLAB_SHARED_PORT": SOCKET, "BOOSTLAB_DRAIN_S": DRAIN_S}
    return {"ports": _publish(0), "volumes_from": [holder.id], "environment": environment}


@contextmanager
def _set_aside(client: DockerClient, names: Sequence[str], port: int) -> Iterator[None]:
    """Rename containers during the block; remove them if the block succeeds, else restore them."""
    try:
        old = _find_containers(client, *names)
        frees_port = port and any(find_address(one).endswith(f":{port}") for one in old)
        for one in old:
            one.rename(f"{one.name}{OLD_SUFFIX}")
            if frees_port:
                one.stop(timeout=STOP_TIMEOUT_S)
        yield
    except BaseException:
        _restore(client, names)
        raise
    for one in _find_containers(client, *(f"{name}{OLD_SUFFIX}" for name in names)):
        one.stop(timeout=STOP_TIMEOUT_S)  # not killed: it answers the requests that it accepted
        remove_container(client, one.id)


def _restore(client: DockerClient, names: Sequence[str]) -> None:
    """Give the renamed containers, if there are any, their names back and start them."""
    for name in names:
        for old in _find_containers(client, f"{name}{OLD_SUFFIX}"):
            remove_container(client, name)
            old.rename(name)
            old.start()


def _find_containers(client: DockerClient, *names: str) -> list[Container]:
    """Return the containers of these names, in their order."""
    found = (client.containers.list(all=True, filters={"name": f"^/{name}$"}, ignore_removed=True) for name in names)
    return [container for containers in found for container in containers]
