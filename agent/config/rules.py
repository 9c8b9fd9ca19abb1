"""Rules that join several keys: each yields what is broken, with the path below its section.

Pure: files, devices and the environment are looked at by ``agent.preflight``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.config.url import BROKER_FORMS, parse_broker

if TYPE_CHECKING:
    from agent import config

OVERLAP_MAX = 0.5
"""Two lanes may share this much of the smaller one: fruit at an edge, not one fruit read twice."""


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken rule. ``path`` is relative to the section that the rule belongs to."""

    path: tuple[str | int, ...]
    message: str
    allowed: str = ""


def camera_rules(camera: config.Camera) -> Iterator[Broken]:
    if (camera.width_px is None) != (camera.height_px is None):
        missing = "height_px" if camera.height_px is None else "width_px"
        yield Broken((missing,), "is missing: width and height are requested together")
    yield from _not_above(
        "backoff_first_s", camera.backoff_first_s, "backoff_max_s", camera.backoff_max_s
    )
    if camera.sim is not None and not camera.source.startswith("sim:"):
        yield Broken(
            ("sim",), "has no effect: the source is no simulated machine", 'source: "sim:"'
        )
    if camera.lanes:
        for key in ("cutting_line_deg", "mm_per_px"):
            if getattr(camera, key) not in (None, 0.0):
                yield Broken((key,), "has no effect beside lanes", "set it on each lane")
    yield from _region_rules(camera)


def _region_rules(camera: config.Camera) -> Iterator[Broken]:
    for i, lane in enumerate(camera.lanes):
        if lane.region is None:
            if len(camera.lanes) > 1:
                yield Broken(
                    ("lanes", i, "region"),
                    "is missing: several lanes of one picture need a region each",
                    "x, y, width, height in pixels",
                )
            continue
        x, y, width, height = lane.region
        beyond_width = camera.width_px is not None and x + width > camera.width_px
        beyond_height = camera.height_px is not None and y + height > camera.height_px
        if beyond_width or beyond_height:
            yield Broken(
                ("lanes", i, "region"),
                "reaches beyond the picture that is requested",
                f"within {camera.width_px} x {camera.height_px} pixels",
            )
        for other in camera.lanes[:i]:
            if other.region is not None and _overlap(lane.region, other.region) > OVERLAP_MAX:
                yield Broken(
                    ("lanes", i, "region"),
                    f"covers more than half of lane {other.name}: one fruit would be read twice",
                )


def _overlap(a: Sequence[int], b: Sequence[int]) -> float:
    """Share of the smaller of two regions that the other covers."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    smaller = min(a[2] * a[3], b[2] * b[3])
    return max(width, 0) * max(height, 0) / smaller if smaller > 0 else 0.0


def preprocessing_rules(section: config.Preprocessing) -> Iterator[Broken]:
    channels = 1 if section.colour == "gray" else 3
    for key, values in (("mean", section.mean), ("std", section.std)):
        if len(values) != channels:
            yield Broken(
                (key,),
                f"has {len(values)} values, but colour {section.colour} has {channels}",
                f"{channels} numbers, one for each channel",
            )


def model_rules(model: config.Model) -> Iterator[Broken]:
    kind = model.format.value
    if model.factory is not None and kind not in ("factory", "auto"):
        yield Broken(("format",), f"is {kind} although a factory is named", "factory")
    if kind == "factory" and model.factory is None:
        yield Broken(("factory",), "is missing for format factory", "package.module:function")
    if kind in ("torchscript", "export") and model.path is None:
        yield Broken(("path",), f"is missing for format {kind}", "the file of the program")
    suffix = model.path.suffix.lower() if model.path is not None else ""
    program = (
        kind in ("torchscript", "export", "factory")
        or model.factory is not None
        or (kind == "auto" and suffix in (".pt2", ".ts"))
    )
    if program and model.trust != "program":
        yield Broken(
            ("trust",),
            "is data, but this model is a program that would run with the agent's rights",
            "program, together with the sha256 of the file, when you trust who made it",
        )
    if (program or model.trust == "program") and model.sha256 is None:
        yield Broken(("sha256",), "is missing: a program loads only with its sha256")
    if model.classes is not None:
        yield from _unique(("classes",), model.classes)
        if len(model.classes) < 2:
            yield Broken(("classes",), "has fewer than 2 names", "background and at least one more")


def workers_rules(workers: config.Workers) -> Iterator[Broken]:
    yield from _below(
        "heartbeat_s", workers.heartbeat_s, "heartbeat_timeout_s", workers.heartbeat_timeout_s
    )
    if workers.devices is None:
        return
    if workers.count is not None and workers.count != len(workers.devices):
        yield Broken(
            ("devices",),
            f"names {len(workers.devices)} devices for {workers.count} workers",
            "one device for each worker, or no count",
        )
    elif not workers.devices:
        yield Broken(("devices",), "is empty", "at least one device, or count: 0 for no workers")


def ablation_rules(ablation: config.Ablation) -> Iterator[Broken]:
    yield from _unique(("classes",), ablation.classes)
    if not ablation.classes:
        yield Broken(("classes",), "is empty", "at least one class; workers.count: 0 explains none")
    if list(ablation.fractions) != sorted(set(ablation.fractions)):
        yield Broken(("fractions",), "is not in rising order", "rising, each once")
    if not ablation.fractions or ablation.fractions[-1] != 1.0:
        yield Broken(("fractions",), "does not end with 1.0, from which sensitivities are computed")


def mqtt_rules(mqtt: config.Mqtt) -> Iterator[Broken]:
    yield from _not_above(
        "reconnect_first_s", mqtt.reconnect_first_s, "reconnect_max_s", mqtt.reconnect_max_s
    )
    if (mqtt.tls.certificate is None) != (mqtt.tls.key is None):
        missing = "key" if mqtt.tls.key is None else "certificate"
        yield Broken(("tls", missing), "is missing: a client certificate and its key go together")
    if mqtt.tls.key_password is not None and mqtt.tls.key is None:
        yield Broken(("tls", "key_password"), "has no effect without tls.key")
    url_user = url_password = None
    if mqtt.broker is not None:
        try:
            address = parse_broker(mqtt.broker)
        except ValueError as error:
            yield Broken(("broker",), str(error), BROKER_FORMS)
            return
        url_user, url_password = address.username, address.password
        if address.kind == "network" and address.port == 0:
            yield Broken(("broker",), "has port 0", "a port from 1 to 65535")
        if (mqtt.tls.ca or mqtt.tls.certificate) and not address.tls:
            yield Broken(("tls",), "has no effect: the broker is not mqtts://", BROKER_FORMS)
    for key, here, in_url in (
        ("username", mqtt.username, url_user),
        ("password", mqtt.password, url_password),
    ):
        if here is not None and in_url is not None:
            yield Broken((key,), "is given here and in the broker's URL", "one of the two")
    if mqtt.password is not None and mqtt.username is None and url_user is None:
        yield Broken(("username",), "is missing, although there is a password")


def _sparkplug_rules(whole: config.Config) -> Iterator[Broken]:
    mqtt = whole.mqtt
    if not mqtt.sparkplug.enabled:
        return
    if mqtt.broker == "none":
        yield Broken(("mqtt", "sparkplug", "enabled"), "has no effect: mqtt.broker is none")
    if mqtt.client_id == f"{whole.id}-spb":
        yield Broken(
            ("mqtt", "client_id"), "is that of the Sparkplug client: two would throw each other out"
        )


def http_rules(http: config.Http) -> Iterator[Broken]:
    if not http.host or any(c.isspace() or c in "/@" for c in http.host):
        yield Broken(("host",), "is not a host name or address", "127.0.0.1, 0.0.0.0, ::1 ...")
    elif http.enabled and http.page and not (is_loopback(http.host) or http.token or _ca(http)):
        yield Broken(
            ("token",),
            f"is missing: page and pictures would be open to whoever reaches {http.host}",
            "a secret of 16 signs or more, or tls.client_ca, or page: false for probes and metrics",
        )
    for i, network in enumerate(http.allow):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            yield Broken(("allow", i), "is not a network", "10.0.0.0/8, 192.168.1.5, fd00::/8 ...")
    if (http.tls.certificate is None) != (http.tls.key is None):
        missing = "key" if http.tls.key is None else "certificate"
        yield Broken(("tls", missing), "is missing: a certificate and its key go together")
    if _ca(http) and http.tls.certificate is None:
        yield Broken(("tls", "certificate"), "is missing: only over TLS do clients show theirs")
    if http.public_url is None:
        return
    parts = urlsplit(http.public_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        yield Broken(("public_url",), "is not a web address", "http://HOST or https://HOST")


def is_loopback(host: str) -> bool:
    """Whether a host is this computer only; of a name nothing but ``localhost`` is known."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _ca(http: config.Http) -> bool:
    return http.tls.client_ca is not None


def config_rules(whole: config.Config) -> Iterator[Broken]:
    yield from _name_rules(whole)
    yield from _sparkplug_rules(whole)
    needed_s = whole.sampling.period_s + whole.sampling.deadline_s
    if whole.ablation.workers.count != 0 and whole.alarms.limits.no_explanation_s <= needed_s:
        yield Broken(
            ("alarms", "limits", "no_explanation_s"),
            "is not longer than sampling.period_s + sampling.deadline_s: it would alarm by design",
            f"more than {needed_s:g} seconds",
        )
    if whole.model.classes is not None and "classes" in whole.ablation.model_fields_set:
        for i, name in enumerate(whole.ablation.classes):
            if name not in whole.model.classes:
                yield Broken(
                    ("ablation", "classes", i),
                    "is no class of the model",
                    ", ".join(whole.model.classes),
                )
    ports_meet = whole.http.port == whole.mqtt.embedded_port != 0
    if whole.mqtt.broker == "embedded" and whole.http.enabled and ports_meet:
        yield Broken(("mqtt", "embedded_port"), "is the port of the HTTP server too")


def _name_rules(whole: config.Config) -> Iterator[Broken]:
    if not whole.cameras:
        yield Broken(("cameras",), "is empty", "at least one camera")
    taken: dict[str, int] = {}  # name of a camera or lane -> index of the camera that has it
    for i, camera in enumerate(whole.cameras):
        path: tuple[str | int, ...] = ("cameras", i, "name")
        if camera.name in taken:
            yield Broken(path, "is taken by another camera or lane", "a name of its own")
        yield from _not_reserved(path, camera.name)
        taken.setdefault(camera.name, i)
        here: set[str] = set()
        for k, lane in enumerate(camera.lanes):
            path = ("cameras", i, "lanes", k, "name")
            if lane.name in here or taken.get(lane.name, i) != i:
                yield Broken(path, "is taken by another camera or lane", "a name of its own")
            yield from _not_reserved(path, lane.name)
            here.add(lane.name)
            taken.setdefault(lane.name, i)


def _not_reserved(path: tuple[str | int, ...], name: str) -> Iterator[Broken]:
    if name == "agent":
        yield Broken(path, "is reserved for the agent's own topics", "any other name")


def _unique(path: tuple[str, ...], names: Sequence[str]) -> Iterator[Broken]:
    for i, name in enumerate(names):
        if name in names[:i]:
            yield Broken((*path, i), "stands in the list twice")


def _below(low_key: str, low: float, high_key: str, high: float) -> Iterator[Broken]:
    if low >= high:
        yield Broken((low_key,), f"is not below {high_key} ({high:g})")


def _not_above(low_key: str, low: float, high_key: str, high: float) -> Iterator[Broken]:
    if low > high:
        yield Broken((low_key,), f"is above {high_key} ({high:g})")
