"""``http``: the server of page, API, probes and metrics."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from agent.config.rules import Broken, together
from agent.config.sections.base import Seconds, Section
from agent.config.url import is_loopback, is_web_address


class HttpTls(Section):
    certificate: Path | None = None
    key: Path | None = None
    key_password: SecretStr | None = None
    client_ca: Path | None = None
    """Whoever shows a certificate of this authority may see page, API and pictures."""


class HttpActions(Section):
    token: Annotated[SecretStr, Field(min_length=16, max_length=200)] | None = None
    """Whoever shows it, and may look, may act from the page within ``commands.allow``; without it
    nobody may."""


class HttpLimits(Section):
    """What all clients, and what one address, may have at a time."""

    connections: Annotated[int, Field(ge=8, le=4096)] = 128
    """Beyond so many, the one that has waited longest makes room."""
    requests_per_s: Annotated[float, Field(ge=1, le=10_000)] = 100.0
    """Of one address, once it has used its burst; exempt are probes and metrics, and whoever shows
    a right token, certificate or signed link."""
    burst: Annotated[int, Field(ge=1, le=100_000)] = 400
    """Ten open pages ask about forty times a second, and together when a machine room wakes up."""


class Http(Section):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    public_url: str | None = None
    allow: tuple[str, ...] = (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
    """Networks that may ask for probes and metrics where the host is not loopback."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto count."""
    page: bool = True
    """False: probes and metrics only."""
    token: Annotated[SecretStr, Field(min_length=16, max_length=200)] | None = None
    """Asked for by page, API and pictures; needed, or tls.client_ca, where host is not loopback."""
    actions: HttpActions = HttpActions()
    tls: HttpTls = HttpTls()
    picture_link_s: Seconds = 600.0
    """How long the links to pictures in messages hold, where a token is needed without them."""
    loop_limit_s: Seconds = 5.0
    """/livez fails when a loop of the parent has not moved for this long."""
    limits: HttpLimits = HttpLimits()

    def rule_host(self) -> Iterator[Broken]:
        if not self.host or any(c.isspace() or c in "/@" for c in self.host):
            yield Broken(("host",), "is not a host name or address", "127.0.0.1, 0.0.0.0, ::1 ...")
        elif (
            self.enabled
            and self.page
            and not (is_loopback(self.host) or self.token or self.tls.client_ca)
        ):
            yield Broken(
                ("token",),
                f"is missing: page and pictures would be open to whoever reaches {self.host}",
                "a secret of 16 signs or more, or tls.client_ca, or page: false for probes and "
                "metrics",
            )

    def rule_actions(self) -> Iterator[Broken]:
        if self.actions.token is None:
            return
        if not self.page:
            yield Broken(("actions", "token"), "opens nothing: page is false")
        elif self.token is not None and _same(self.token, self.actions.token):
            yield Broken(
                ("actions", "token"),
                "is http.token: whoever may look could act",
                "a secret of its own",
            )

    def rule_allow(self) -> Iterator[Broken]:
        for i, network in enumerate(self.allow):
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                yield Broken(
                    ("allow", i), "is not a network", "10.0.0.0/8, 192.168.1.5, fd00::/8 ..."
                )

    def rule_trusted_proxies(self) -> Iterator[Broken]:
        for i, text in enumerate(self.trusted_proxies):
            try:
                network = ipaddress.ip_network(text, strict=False)
            except ValueError:
                yield Broken(
                    ("trusted_proxies", i), "is not a network", "127.0.0.1, 10.1.2.3, fd00::/64 ..."
                )
            else:
                if network.prefixlen == 0:
                    yield Broken(
                        ("trusted_proxies", i),
                        "is every address there is: anyone could say who he is",
                        "the addresses of the proxies",
                    )

    def rule_certificate(self) -> Iterator[Broken]:
        yield from together(
            {("tls", "certificate"): self.tls.certificate, ("tls", "key"): self.tls.key},
            "a certificate and its key go together",
        )

    def rule_client_ca(self) -> Iterator[Broken]:
        if self.tls.client_ca is not None and self.tls.certificate is None:
            yield Broken(("tls", "certificate"), "is missing: only over TLS do clients show theirs")

    def rule_public_url(self) -> Iterator[Broken]:
        if self.public_url is not None and not is_web_address(self.public_url):
            yield Broken(("public_url",), "is not a web address", "http://HOST or https://HOST")


def _same(one: SecretStr, other: SecretStr) -> bool:
    return one.get_secret_value() == other.get_secret_value()
