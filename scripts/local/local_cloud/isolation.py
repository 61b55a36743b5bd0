"""Keeps the local cloud on this machine.

The server may connect to loopback addresses only, whatever it is asked to call. A function gets the local endpoint, made-up credentials,
and none of the variables that would send a single service elsewhere.
"""

from __future__ import annotations

import ipaddress
import os
import sys

from ministack.services import lambda_svc

# Variables by which a template could turn the SDK of its function away from AWS_ENDPOINT_URL.
DIVERTING_PREFIX = "AWS_ENDPOINT_URL_"
DIVERTING = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_PROFILE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"}


def is_loopback(address: object) -> bool:
    """Whether a socket address stays on this machine; Unix sockets are paths."""
    if isinstance(address, (str, bytes)):
        return True
    host = address[0].decode() if isinstance(address[0], bytes) else address[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def refuse_other_machines(event: str, arguments: tuple) -> None:
    """An audit hook: fails every attempt of this process to talk to another machine, or to look its name up."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
    elif event == "socket.getaddrinfo" and arguments[0]:
        address = arguments[:2]
    else:
        return
    if not is_loopback(address):
        raise PermissionError(f"the local cloud connects to 127.0.0.1 only, not to {address}")


def without_diversions(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a function, with nothing in it that leads away from the local cloud."""
    kept = {key: value for key, value in environment.items() if key not in DIVERTING and not key.startswith(DIVERTING_PREFIX)}
    kept["AWS_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]
    return kept


def apply() -> None:
    """Installs both."""
    sys.addaudithook(refuse_other_machines)
    original = lambda_svc._provided_worker_env

    def provided_worker_env(config: dict, code_dir: str, port: int) -> dict[str, str]:
        return without_diversions(original(config, code_dir, port))

    lambda_svc._provided_worker_env = provided_worker_env
