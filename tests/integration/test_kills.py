"""SIGKILL for each part of a running agent: it recovers by itself, and the books balance."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.ablation.pool.support import gone
from tests.support import wait_until
from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import PROMPT_WORKERS, RunningAgent, forked_agent

STATUS = "/status"


def balanced(agent: RunningAgent) -> bool:
    """Whether no frame is unaccounted for; a frame may be on its way at any one moment."""
    return 0 <= agent.books("cam1").in_flight <= 2


def assert_jobs_and_messages_balance(agent: RunningAgent) -> None:
    """At the end nothing is under way: all that began was done or was dropped for a reason."""
    jobs, messages = agent.job_books(), agent.message_books()
    assert jobs["selected"] > 0
    assert jobs["selected"] == jobs["completed"] + jobs["dropped"], jobs
    assert messages["delivered"] > 0
    assert messages["enqueued"] == messages["delivered"] + messages["dropped"], messages


def fruit_go_on(agent: RunningAgent) -> None:
    before = agent.total("pitwatch_fruit_total")
    agent.wait(lambda: agent.total("pitwatch_fruit_total") >= before + 5, 60, "fruit go on")


@pytest.mark.long
@pytest.mark.needs_mosquitto
@pytest.mark.timeout(240)
def test_worker_capture_and_broker_are_killed_and_the_agent_recovers(tmp_path: Path) -> None:
    config = tmp_path / "pitwatch.yaml"
    with mosquitto(tmp_path) as broker:
        config.write_text(
            f"mqtt: {{broker: '{broker.url}', reconnect_max_s: 2}}\n"
            "cameras: [{name: cam1, source: 'sim:?seed=5', backoff_first_s: 0.2}]\n"
            + PROMPT_WORKERS
        )
        with forked_agent(tmp_path, "--config", str(config)) as agent:
            pid = agent.process.pid
            agent.wait_ready()
            agent.wait(lambda: agent.status()["workers"]["ready"] == 1, 90, "the worker is ready")

            (worker,) = agent.children("worker")
            worker.kill()
            agent.wait(lambda: agent.status()["workers"]["restarts"] == 1, 15, "replaced")
            fruit_go_on(agent)

            (capture,) = agent.children("capture")
            capture.kill()
            agent.wait(lambda: agent.children("capture") not in ([], [capture]), 15, "replaced")
            fruit_go_on(agent)
            assert agent.total("pitwatch_camera_transitions_total", reason="child_died") == 1

            broker.kill()
            agent.wait(lambda: not agent.status()["link"]["connected"], 15, "broker missed")
            fruit_go_on(agent)
            broker.start()
            agent.wait(lambda: agent.status()["link"]["connected"], 15, "connected again")
            with Observer(broker.port) as seen:
                seen.wait(STATUS)
                seen.wait("/meta")
                seen.wait("/fruit/cam1", 3)

            agent.wait(lambda: agent.status()["workers"]["ready"] == 1, 90, "the worker is back")
            agent.wait(lambda: balanced(agent), 60, "the books balance")
            completed = agent.total("pitwatch_jobs_completed_total")
            agent.wait(
                lambda: agent.total("pitwatch_jobs_completed_total") > completed, 60, "explained"
            )
            view = agent.status()
            assert 0 <= view["explanations"]["in_flight"] <= 2
            assert 0 <= view["messages"]["in_flight"] < 50
            assert agent.total("pitwatch_jobs_in_flight") <= 1, "one worker"
            assert agent.process.pid == pid
            code, seconds = agent.stop()
        assert code == 0
        assert seconds < 15, "5 s where nothing else loads the machine"
    books = agent.final_books()["cam1"]
    assert books["in_flight"] == 0
    assert books["captured"] == books["segmented"] + books["dropped"]
    assert books["dropped"] <= 3, "only what the killed capture process had in its hands"
    assert_jobs_and_messages_balance(agent)


@pytest.mark.long
def test_the_end_does_not_wait_for_children_that_hang(tmp_path: Path) -> None:
    config = tmp_path / "pitwatch.yaml"
    config.write_text(
        "mqtt: {broker: embedded, embedded_port: 0}\ncameras: [{name: cam1, source: 'sim:'}]\n"
        + PROMPT_WORKERS
    )
    with forked_agent(tmp_path, "--config", str(config)) as agent:
        agent.wait_ready()
        agent.wait(lambda: agent.status()["workers"]["ready"] == 1, 90, "the worker is ready")
        children = agent.children()
        assert len(children) == 4, "HTTP, broker, capture, worker"
        for child in children:
            child.suspend()
        code, seconds = agent.stop()
        assert code == 0
        assert seconds < 15, "5 s where nothing else loads the machine"
        assert not [child for child in children if child.is_running()]


def test_the_http_server_is_killed_and_an_agent_that_stands_still_is_not_alive(
    tmp_path: Path,
) -> None:
    config = tmp_path / "pitwatch.yaml"
    config.write_text(
        "mqtt: {broker: none}\n"
        "cameras: [{name: cam1, source: 'sim:?seed=7'}]\n"
        "ablation: {workers: {count: 0}}\n"
    )
    with forked_agent(tmp_path, "--config", str(config)) as agent:
        agent.wait_ready()
        (http,) = agent.children("http")
        http.kill()
        agent.wait(lambda: agent.children("http") not in ([], [http]), 15, "replaced")
        fruit_go_on(agent)
        assert agent.total("pitwatch_http_restarts_total", reason="exited") == 1

        agent.process.send_signal(signal.SIGSTOP)
        code, body = agent.get("/livez")
        assert (code, b"has not answered" in body) == (503, True)
        agent.process.send_signal(signal.SIGCONT)
        agent.wait(lambda: agent.get("/livez")[0] == 200, 15, "alive again")
        fruit_go_on(agent)

        (http,) = agent.children("http")
        agent.process.kill()
        agent.process.wait()
        wait_until(lambda: not http.is_running(), 10, "the server ended with the agent")
        assert agent.get("/livez")[0] == 0, "the port is free"


@pytest.mark.long
def test_a_stopped_worker_is_replaced_while_fruit_go_on(tmp_path: Path) -> None:
    config = tmp_path / "pitwatch.yaml"
    config.write_text(
        "mqtt: {broker: none}\n"
        "cameras: [{name: cam1, source: 'sim:?seed=7'}]\n"
        "ablation: {workers: {heartbeat_timeout_s: 3, priority: normal}}\n"
    )
    with forked_agent(tmp_path, "--config", str(config)) as agent:
        agent.wait_ready()
        agent.wait(lambda: agent.status()["workers"]["ready"] == 1, 90, "the worker is ready")
        (worker,) = agent.children("worker")
        worker.suspend()
        agent.wait(lambda: agent.status()["workers"]["restarts"] == 1, 30, "replaced")
        # Killed, it ends when the kernel has taken its memory apart.
        wait_until(lambda: gone(worker.pid), 10, "the stopped one is dead")
        fruit_go_on(agent)
        assert agent.books("cam1").dropped == 0
