"""Machine cameras that lose packets, power and cable, with a witness of every packet beside them."""

from __future__ import annotations

import bisect
import contextlib
import json
import socket
import statistics
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.capture.genicam.networks import CABLE, ELSEWHERE, THERE, FarSide, in_own_network
from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import RunningAgent, running_agent

RATE_PER_S = 280 / 60
AGE_S = 1 / RATE_PER_S + 0.05
LIVE_S = 5.0
LOST_IN_1000 = 10
KILLS, PULLS, PULLS_AT_LEAST = 100, 20, 3
AWAY = ("backoff", "connecting")
SO_RCVBUFFORCE = 33
"""Of ``asm-generic/socket.h``; Python has no name for it."""
ETH_P_ALL, IP_UDP, CONTROL_PORT = 0x0003, 17, 3956
LEADER, TRAILER, PAYLOAD = 1, 2, 3
"""Packet formats of GigE Vision's stream (GVSP)."""
OPTIONS = "packet_size=8000&roi=0,0,256,256"
CONFIG = "ablation: {{workers: {{count: 0}}}}\nmqtt: {{broker: '{broker}'}}\ncameras:\n{cameras}\n"


@dataclass(slots=True)
class Sent:
    """What a camera sent, by frame id: its packets as they came, and its stamp in seconds."""

    packets: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    last_packet: dict[int, int] = field(default_factory=dict)
    stamps: list[float] = field(default_factory=list)

    @property
    def whole(self) -> int:
        """Pictures of which every packet came: those up to the number of the trailer."""
        return sum(self.packets[one] == last + 1 for one, last in self.last_packet.items())

    @property
    def count(self) -> int:
        """Pictures by the camera's own count, those of which no packet came as well; behind the
        last of its 16 bits comes the first again."""
        if not self.packets:
            return 0
        order = list(self.packets)  # as they came
        return (order[-1] - order[0]) % 65535 + 1


class Witness:
    """Records every packet of every camera on the cable, by a socket of its own."""

    def __init__(self) -> None:
        self.of: dict[str, Sent] = defaultdict(Sent)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 * 2**20)
        self._socket.bind((CABLE, ETH_P_ALL))
        self._socket.settimeout(0.2)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._record, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        self._socket.close()

    def _record(self) -> None:
        while not self._ends.is_set():
            with contextlib.suppress(TimeoutError):
                self.packet(self._socket.recv(128))

    def packet(self, data: bytes) -> None:
        """Take the beginning of one packet of IP."""
        header = (data[0] & 15) * 4
        if data[9] != IP_UDP or struct.unpack_from(">H", data, header)[0] == CONTROL_PORT:
            return
        frame_id, kind_and_number = struct.unpack_from(">HI", data, header + 10)
        kind, number = kind_and_number >> 24 & 15, kind_and_number & 0xFFFFFF
        if kind not in (LEADER, TRAILER, PAYLOAD):
            return
        sent = self.of[socket.inet_ntoa(data[12:16])]
        sent.packets[frame_id] += 1
        if kind == TRAILER:
            sent.last_packet[frame_id] = number
        elif kind == LEADER:
            high, low = struct.unpack_from(">II", data, header + 20)
            sent.stamps.append((high << 32 | low) / 1e9)


def genicam(folder: Path, seconds: float, share: float) -> tuple[list[str], list[str]]:
    """Run both parts, and return the tables' lines and the bars that were missed."""
    lines: list[str] = []
    missed: list[str] = []

    def body() -> None:
        for part in (lambda: _triggers(folder / "triggers", seconds), lambda: _away(folder, share)):
            rows, failures = part()
            print(*rows, sep="\n", flush=True)  # known also where the other part fails
            lines.extend(rows)
            missed.extend(failures)

    in_own_network(body)
    return lines, missed


def _triggers(folder: Path, seconds: float) -> tuple[list[str], list[str]]:
    folder.mkdir(parents=True)
    places = {"cam1": THERE, "cam2": ELSEWHERE}
    with FarSide() as far, mosquitto(folder) as broker, Observer(broker.port) as seen:
        for number, address in enumerate(places.values()):
            far.power_on(address, f"GV0{number}", LOST_IN_1000)
        witness = Witness()
        with running_agent(folder, "--config", str(_config(folder, broker.url, places))) as agent:
            agent.wait_ready()
            threading.Event().wait(seconds)
            log = agent.events("camera_state")
            far.pull()  # whatever was counted by then is final
            agent.wait(lambda: all(one in AWAY for one in _states(agent)), 60, "noticed")
            counted = {name: _counted(agent, name) for name in places}
            agent.stop()
            witness.close()
            books = agent.final_books()
        ages = {name: _ages(seen, name, witness.of[places[name]].stamps) for name in places}
    rows, failures = [], []
    for name, address in places.items():
        sent, (unreadable, lost) = witness.of[address], counted[name]
        captured = books[name]["captured"]
        accounted = captured + unreadable + lost
        age = sorted(ages[name])
        longest, p99 = (age[-1], age[int(0.99 * (len(age) - 1))]) if age else (0.0, 0.0)
        rows.append(
            f"| {name} | {sent.count} | {sent.whole} | {captured} | {unreadable} | {lost} |"
            f" {sent.count - accounted} | {1000 * p99:.0f} / {1000 * longest:.0f} |"
        )
        checks = {
            "every picture accounted for": abs(sent.count - accounted) <= 1,
            "no half picture read": 0 < captured <= sent.whole,
            "every whole picture read": captured >= sent.whole - 1,
            "280 a minute": captured + unreadable + lost >= 0.98 * RATE_PER_S * seconds,
            f"age at most {AGE_S:.3f} s": bool(age) and longest <= AGE_S,
            "one session": sum(event["state"] == "live" for event in log) == len(places),
        }
        failures += [f"{name}: {what}" for what, met in checks.items() if not met]
    table = [
        f"Two fake cameras, {seconds:.0f} s, 280 software triggers a minute each, 1 % of packets lost",
        "",
        "| camera | pictures by its own count | of these whole on the cable | read | unreadable |"
        " lost | in flight at the end | age at the mask p99 / longest, ms |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    return table, failures


def _counted(agent: RunningAgent, name: str) -> tuple[int, int]:
    """Pictures unreadable and lost."""
    unreadable = agent.total("pitwatch_pictures_unreadable_total", camera=name)
    return int(unreadable), int(agent.total("pitwatch_pictures_lost_total", camera=name))


def _ages(seen: Observer, name: str, stamps: list[float]) -> list[float]:
    """Seconds from the camera's stamp of each fruit to its mask."""
    ages, ordered = [], sorted(stamps)
    for message in seen.all(f"/fruit/{name}"):
        fruit = json.loads(message.payload)
        captured_s = fruit["timestamp_ms"] / 1000
        at = bisect.bisect_right(ordered, captured_s + 0.002)
        if at:
            ages.append(captured_s - ordered[at - 1] + fruit["latency_s"])
    return ages


def _away(folder: Path, share: float) -> tuple[list[str], list[str]]:
    where = folder / "away"
    where.mkdir(parents=True)
    kills = max(1, round(KILLS * share))
    pulls = max(PULLS_AT_LEAST, round(PULLS * share))
    with FarSide() as far, mosquitto(where) as broker:
        far.power_on()
        config = _config(where, broker.url, {"cam1": THERE})
        with running_agent(where, "--config", str(config)) as agent:
            agent.wait_ready()
            agent.wait(lambda: _states(agent)[0] == "live", 60, "live")

            def restart() -> None:
                far.power_off()

            back = {
                "killed, started again": [_back(agent, restart, far.power_on) for _ in range(2)],
            }
            before = _held(agent)
            back["killed, started again"] += [
                _back(agent, restart, far.power_on) for _ in range(kills - 2)
            ]
            back["cable pulled"] = [_back(agent, far.pull, far.plug) for _ in range(pulls)]
            after = _held(agent)
            causes = sorted({one["cause"] for one in agent.events("camera_state")})
            agent.stop()
    rows = [
        f"| {what} | {len(all_s)} | {statistics.median(all_s):.2f} | {max(all_s):.2f} |"
        for what, all_s in back.items()
    ]
    table = [
        "Seconds from the return of the camera to LIVE; causes seen: " + ", ".join(causes),
        "",
        "| what | times | median | longest |",
        "|---|---|---|---|",
        *rows,
        "",
        "Held by the agent before and after (descriptors, threads, children, segments): "
        + ", ".join(f"{before[name]} / {after[name]}" for name in before),
        "",
    ]
    failures = [what for what, all_s in back.items() if max(all_s) > LIVE_S]
    failures += [f"{name} left over" for name in before if after[name] > before[name]]
    return table, failures


def _back(agent: RunningAgent, away: Callable[[], None], back: Callable[[], None]) -> float:
    """Take the camera away until the agent says so, give it back; seconds from then to LIVE.

    By its status and not by its log, which does not repeat what it has said often.
    """
    away()
    agent.wait(lambda: _states(agent)[0] in AWAY, 60, "noticed")
    back()
    returned = time.monotonic()
    agent.wait(lambda: _states(agent)[0] == "live", 60, "live again")
    return time.monotonic() - returned


def _states(agent: RunningAgent) -> list[str]:
    return [str(camera["state"]) for camera in agent.status()["cameras"]]


def _held(agent: RunningAgent) -> dict[str, int]:
    process = psutil.Process(agent.process.pid)
    open_files = [link.resolve(strict=False) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
    return {
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "children": len(process.children(recursive=True)),
        "segments": sum("memfd:" in str(one) for one in open_files),
    }


def _config(folder: Path, broker: str, places: dict[str, str]) -> Path:
    rows = [
        f"  - {{name: {name}, source: 'genicam://ip/{address}?trigger=software&{OPTIONS}',"
        f" fps: {RATE_PER_S:.4f}, backoff_max_s: 2}}"
        for name, address in places.items()
    ]
    config = folder / "genicam.yaml"
    config.write_text(CONFIG.format(broker=broker, cameras="\n".join(rows)))
    return config
