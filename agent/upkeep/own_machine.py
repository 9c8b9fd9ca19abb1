"""HTTP to an agent on this machine. Imports nothing heavy: probes use it."""

from __future__ import annotations

import http.client
import ipaddress
import ssl


def reachable(host: str) -> str:
    """Where to connect to for an address to listen on; of all addresses, this machine's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "::1" if address.version == 6 else "127.0.0.1"


def connection_to(
    host: str, port: int, timeout_s: float, *, encrypted: bool
) -> http.client.HTTPConnection:
    """One that does not check the certificate, which is for the name that others use; one that has
    run out must not end an agent that reads fruit."""
    if not encrypted:
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
