"""The running agent answers commands of its own machine over its socket in ``state_dir``."""

from __future__ import annotations

from pathlib import Path

from agent.supervision.control.client import ask
from agent.supervision.control.protocol import SOCKET
from tests.support.running import START_S, forked_agent


def test_a_running_agent_says_who_it_is_until_it_ends(tmp_path: Path) -> None:
    config = tmp_path / "pitwatch.yaml"
    config.write_text(
        f"id: line-4\nstate_dir: {tmp_path / 'state'}\nmqtt: {{broker: none}}\n"
        "cameras: [{name: cam1, source: 'sim:'}]\nablation: {workers: {count: 0}}\n"
    )
    (tmp_path / "state").mkdir()
    with forked_agent(tmp_path, "--config", str(config)) as agent:
        agent.wait(lambda: agent.events("agent_started"), START_S, "started")
        agent.wait(lambda: (tmp_path / "state" / SOCKET).exists(), START_S, "its socket")
        hello = ask(tmp_path / "state", "hello")
        assert (hello["pid"], hello["id"]) == (agent.process.pid, "line-4")
        assert agent.stop()[0] == 0
    assert not (tmp_path / "state" / SOCKET).exists()
