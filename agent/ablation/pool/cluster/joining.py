"""Becoming part of a cluster: is it there, is it of our version, does it let us in?

Asked before Ray is started in this process, because Ray would wait, or end the process, where this
gives a reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
from collections.abc import Mapping
from typing import Any

from agent.ablation.pool.cluster.messages import DriverArgs, Refused

REACH_S = 3.0
ASK_S = 10.0


class JoinError(Exception):
    """Carries the ``Refused`` to be said."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused


def join(args: DriverArgs) -> Any:
    """Make this process a driver of the cluster; returns the module ``ray``. ``JoinError``."""
    if os.environ.get("RAY_AUTH_TOKEN_PATH"):
        os.environ.pop("RAY_AUTH_TOKEN", None)  # Ray would take it before the file
    _reach(args.address)
    try:
        import ray
    except ImportError as error:
        detail = f"ray cannot be imported ({error}): pip install 'pitwatch[ray]'"
        raise JoinError(Refused("NoRay", detail, permanent=True)) from error
    metadata = _ask(args.address)
    if (other := other_version(metadata, ray.__version__, platform.python_version())) is not None:
        raise JoinError(Refused("VersionError", f"{args.address}: {other}", permanent=True))
    try:
        # Ray has its workers import from the folder that a driver is in: from no folder of ours.
        with contextlib.chdir("/"):
            ray.init(
                address=args.address,
                namespace=f"pitwatch-{args.agent_id}",
                log_to_driver=False,
                logging_level="WARNING",
                configure_logging=False,
            )
    except Exception as error:  # whatever Ray raises: said with its first line, and tried again
        raise JoinError(_refused(args.address, error)) from error
    return ray


def other_version(cluster: Mapping[str, str], ray_version: str, python: str) -> str | None:
    """What differs between the cluster's versions and ours, both named; None: nothing.

    Ray's must be the same, Python's in its first two numbers: objects travel pickled.
    """
    theirs, their_python = cluster.get("ray_version", "?"), cluster.get("python_version", "?")
    if theirs != ray_version:
        return f"the cluster runs Ray {theirs}, this agent has Ray {ray_version}"
    if their_python.split(".")[:2] != python.split(".")[:2]:
        return f"the cluster runs Python {their_python}, this agent Python {python}"
    return None


def environment(
    token_file: str | None, ca: str | None, certificate: str | None, key: str | None
) -> dict[str, str]:
    """What Ray reads from the environment of the driver's process: no statistics for its makers,
    token and TLS as configured. Without them nothing of the agent's own environment is changed."""
    made = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL": "minor"}
    if token_file is not None:
        made |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token_file}
    if ca and certificate and key:
        made |= {
            "RAY_USE_TLS": "1",
            "RAY_TLS_CA_CERT": ca,
            "RAY_TLS_SERVER_CERT": certificate,
            "RAY_TLS_SERVER_KEY": key,
        }
    return made


def _reach(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, ValueError, OverflowError) as error:
        detail = f"{address}: {getattr(error, 'strerror', None) or error}"
        raise JoinError(Refused("Unreachable", detail, permanent=False)) from error


def _ask(address: str) -> Mapping[str, str]:
    """What the cluster says of itself."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    try:
        told = GcsClient(address=address).internal_kv_get(
            b"CLUSTER_METADATA", namespace=b"cluster", timeout=ASK_S
        )
        return dict(json.loads(told)) if told else {}
    except Exception as error:
        raise JoinError(_refused(address, error)) from error


def _refused(address: str, error: Exception) -> Refused:
    name = type(error).__name__
    words = " ".join(str(error).split())[:300]
    if "Timed out" in words and os.environ.get("RAY_USE_TLS") != "1":
        words += " (it takes connections: does it want TLS? ablation.workers.ray.tls is not set)"
    permanent = name == "AuthenticationError" or "Version mismatch" in words
    if name == "AuthenticationError" and not os.environ.get("RAY_AUTH_TOKEN_PATH"):
        words += " (ablation.workers.ray.token_file is not set)"
    return Refused(name, f"{address}: {words}", permanent)
