"""A cluster with TLS and a token, and one whose /dev/shm is a container's."""

from __future__ import annotations

import subprocess
from pathlib import Path

from agent.ablation.pool.pool import AblationPool
from agent.records import Explanation
from tests.ablation.pool.support import in_cluster, make_pool, run_job, selection, wait_ready
from tests.support import wait_until
from tests.support.ray_cluster import RayCluster, ray_cluster

START_S = 300.0
SMALL_SHM = ("unshare", "--mount", "sh", "-c",
             'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"', "sh")  # fmt: skip
MAIN = "agent.ablation.pool.worker:main"


def guarded(folder: Path) -> tuple[list[str], list[str]]:
    """Try each, and return the lines and what was missed."""
    folder.mkdir(parents=True)
    lines, missed = [], []
    for said, good in (*_tls(folder), _small_shm()):
        lines.append(f"- {said}")
        if not good:
            missed.append(said)
    return lines, missed


def _tls(folder: Path) -> list[tuple[str, bool]]:
    ca, certificate, key = _certificates(folder)
    token, wrong = folder / "token", folder / "wrong"
    for path, content in ((token, "a" * 64), (wrong, "b" * 64)):
        path.write_text(content)
        path.chmod(0o600)
    environ = {
        "RAY_USE_TLS": "1",
        "RAY_TLS_CA_CERT": str(ca),
        "RAY_TLS_SERVER_CERT": str(certificate),
        "RAY_TLS_SERVER_KEY": str(key),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
    }
    tls = {"ca": str(ca), "certificate": str(certificate), "key": str(key)}
    with ray_cluster(cpus=2, environ=environ) as cluster:
        return [
            _explains("TLS and a token", cluster, tls=tls, token_file=str(token)),
            _refused("TLS, the agent without", cluster, token_file=str(token)),
            _refused("TLS, the agent with another token", cluster, tls=tls, token_file=str(wrong)),
            _refused("TLS, the agent without a token", cluster, tls=tls),
        ]


def _small_shm() -> tuple[str, bool]:
    with ray_cluster(cpus=2, prefix=SMALL_SHM) as cluster:
        return _explains("/dev/shm of 64 MB", cluster)


def _explains(what: str, cluster: RayCluster, **ray: object) -> tuple[str, bool]:
    pool, _ = make_pool(MAIN, **{**in_cluster(cluster.address, **ray), "count": 1})
    pool.start()
    try:
        wait_ready(pool, 1)
        found = run_job(pool, selection(deadline_s=600.0))
    except BaseException as error:  # noqa: BLE001 - told as a missed bar, with the reason
        return f"{what}: {error}: {_reason(pool)}", False
    finally:
        pool.stop(20.0)
    good = isinstance(found, Explanation)
    return f"{what}: {'explained' if good else found}", good


def _refused(what: str, cluster: RayCluster, **ray: object) -> tuple[str, bool]:
    """No worker is ready, and the reason is said, while the cluster goes on."""
    pool, _ = make_pool(MAIN, **{**in_cluster(cluster.address, **ray), "count": 1})
    pool.start()
    try:
        wait_until(lambda: bool(_reason(pool)), START_S, "a reason")
        return f"{what}: refused, {_reason(pool)}", pool.free_slots() == 0
    except BaseException as error:  # noqa: BLE001 - told as a missed bar, with the reason
        return f"{what}: {error}", False
    finally:
        pool.stop(20.0)


def _reason(pool: AblationPool) -> str:
    return pool.status().reason


def _own_addresses() -> list[str]:
    found = subprocess.run(("hostname", "-I"), check=True, capture_output=True, text=True)
    return [one for one in found.stdout.split() if ":" not in one]


def _certificates(folder: Path) -> tuple[Path, Path, Path]:
    """An authority and a certificate of this machine, as files. Ray asks for the addresses by which
    it knows its members, of which loopback is none where there is another."""
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    certificate, key = folder / "node.pem", folder / "node.key"
    extensions = folder / "extensions"
    addresses = ["127.0.0.1", *_own_addresses()]
    names = ",".join(["DNS:localhost", *(f"IP:{one}" for one in addresses)])
    extensions.write_text(f"subjectAltName={names}\n")
    new = ("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    for words in (
        (*new, "-x509", "-subj", "/CN=authority", "-keyout", ca_key, "-out", ca),
        (*new, "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", folder / "request"),
        ("openssl", "x509", "-req", "-in", folder / "request", "-CA", ca, "-CAkey", ca_key,
         "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate),
    ):  # fmt: skip
        subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=60)
    return ca, certificate, key
