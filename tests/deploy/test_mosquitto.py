"""The files of ``deploy/mosquitto`` on a real mosquitto: who may do what, and who may not."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.config import Tls
from agent.records import Quality
from tests.publishing import examples
from tests.publishing.examples import BASE
from tests.publishing.rig import running
from tests.publishing.sparkplug.rig import NCMD, REBIRTH, Listener, sparkplug
from tests.support import wait_until
from tests.support.mosquitto import Observer
from tests.support.site import DEPLOYED, SiteBroker, password, run, site_broker

pytestmark = pytest.mark.needs_mosquitto

NOT_AUTHORISED = 135


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteBroker]:
    with site_broker(tmp_path_factory.mktemp("site")) as broker:
        yield broker


def login(site: SiteBroker, user: str = "pitwatch") -> dict[str, Any]:
    return {"username": user, "password": password(user), "tls": Tls(ca=site.ca), "protocol": "5"}


def observer(site: SiteBroker, user: str, filter_: str = "#") -> Observer:
    return Observer(site.port, filter_, username=user, password=password(user))


def publish_everything(rig: Any) -> None:
    rig.publisher.status("running", "", examples.STAMP)
    rig.publisher.fruit(examples.fruit(), "cam1")
    rig.publisher.metric("cam1", "fps", 4.67, Quality.GOOD, examples.STAMP)
    rig.publisher.explanation(examples.explanation())
    rig.publisher.alarm(examples.alarm(), examples.overlay())


FAMILIES = {
    "status", "meta", "fruit", "metric", "explanation", "cam", "event", "alarm", "evidence"
}  # fmt: skip


def families(observer: Observer) -> set[str]:
    return {seen.topic.removeprefix(f"{BASE}/").split("/")[0] for seen in observer.all()}


def test_an_agent_with_its_password_publishes_every_topic_over_tls(site: SiteBroker) -> None:
    with (
        observer(site, "scada") as scada,
        observer(site, "panel") as panel,
        running(site.url, **login(site)) as rig,
    ):
        publish_everything(rig)
        rig.settled()
        wait_until(lambda: families(scada) == FAMILIES, 10, "a message of every family")
        wait_until(lambda: len(panel.all()) >= len(scada.all()), 5, "the panel sees as much")
        lost = {key[1:] for key in rig.books.counts if key[0] == "messages_dropped"}
        # On a busy machine the first status may still wait when the next one takes its place.
        assert lost <= {("status", "superseded")}
        refused = [key for key in rig.books.counts if "not_authorized" in key]
        assert refused == []


def test_the_edge_node_is_born_and_commanded_by_the_host_alone(site: SiteBroker) -> None:
    with observer(site, "ignition") as host, sparkplug(site.url, **login(site)) as rig:
        listener = Listener(host)
        listener.wait(lambda h: h.online and h.devices.get("cam1"), "the births")
        before = len(listener.host.of("NBIRTH"))
        assert publish(site, "scada", NCMD, REBIRTH) == NOT_AUTHORISED
        assert publish(site, "ignition", NCMD, REBIRTH) == 0
        listener.wait_for("NBIRTH", before + 1)
        assert rig.books.total("sparkplug_births", "command") == 1
        assert rig.books.total("publish_results", "sparkplug", "not_returned") == 0


def publish(site: SiteBroker, user: str, topic: str, payload: bytes = b"{}") -> int:
    """Publish at QoS 1 as a user; return the reason code of the PUBACK."""
    reasons: list[int] = []
    answered = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(user, password(user))

    def on_publish(_client: Any, _data: Any, _mid: int, reason: Any, _properties: Any) -> None:
        reasons.append(reason.value)
        answered.set()

    client.on_publish = on_publish
    client.on_connect = lambda *_arguments: client.publish(topic, payload, qos=1)
    client.connect("127.0.0.1", site.port)
    client.loop_start()
    assert answered.wait(10)
    client.disconnect()
    client.loop_stop()
    return 0 if reasons[0] in (0, 16) else reasons[0]


ALLOWED = (
    ("scada", "cmd/ack"), ("scada", "cmd/shelve"), ("scada", "cmd/unshelve"),
    ("scada", "cmd/comment"), ("scada", "cmd/explain"), ("scada", "cmd/variety"),
    ("vision", "cmd/sampling"), ("vision", "cmd/disable"), ("vision", "cmd/ack"),
    ("plc", "machine"), ("pitwatch", "cmd/result"),
)  # fmt: skip
DENIED = (
    ("scada", "cmd/sampling"), ("scada", "cmd/disable"), ("panel", "cmd/sampling"),
    ("scada", "cmd/result"), ("scada", "status"), ("scada", "machine"),
    ("panel", "cmd/ack"), ("panel", "alarm/x"), ("plc", "cmd/ack"), ("plc", "status"),
    ("pitwatch", "cmd/ack"), ("pitwatch", "machine"), ("ignition", "cmd/ack"),
)  # fmt: skip


@pytest.mark.parametrize(("user", "topic"), ALLOWED)
def test_a_user_may_publish_what_its_role_is_for(site: SiteBroker, user: str, topic: str) -> None:
    assert publish(site, user, f"{BASE}/{topic}") == 0


@pytest.mark.parametrize(("user", "topic"), DENIED)
def test_a_user_may_publish_nothing_else(site: SiteBroker, user: str, topic: str) -> None:
    assert publish(site, user, f"{BASE}/{topic}") == NOT_AUTHORISED


def test_an_agent_may_not_speak_for_another_machine(
    site: SiteBroker, caplog: pytest.LogCaptureFixture
) -> None:
    other = examples.settings().site.model_copy(update={"machine": "other"})
    with running(site.url, site=other, **login(site)) as rig:
        publish_everything(rig)
        for family in ("status", "meta", "fruit", "metric", "explanation", "cam", "alarm", "event"):
            rig.wait_count(1, "publish_results", family, "not_authorized")
    topics = {
        record.fields["topic"]  # type: ignore[attr-defined]
        for record in caplog.records
        if record.getMessage() == "publish_refused"
    }
    assert f"{other.root}/v1/plant/site/area/line/other/fruit/cam1" in topics


def test_births_that_the_list_denies_are_noticed_with_their_topic(
    site: SiteBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with sparkplug(site.url, agent_id="stranger", echo_s=0.3, **login(site)) as rig:
        rig.wait_count(1, "publish_results", "sparkplug", "not_returned")
    refused = [
        record.fields["topic"]  # type: ignore[attr-defined]
        for record in caplog.records
        if record.getMessage() == "publish_refused"
    ]
    # The death is sent at the end, at QoS 1: a broker of MQTT 5 says that it denies it.
    assert refused == [f"spBv1.0/plant-site/{kind}/stranger" for kind in ("NBIRTH", "NDEATH")]


def test_the_example_of_the_access_list_is_what_make_acl_prints() -> None:
    users = (
        "agent pitwatch", "operator scada", "engineer vision", "viewer panel", "machine plc",
        "host ignition --host-id ignition",
    )  # fmt: skip
    said = [run(DEPLOYED / "make-acl", *words.split()) for words in users]
    text = (DEPLOYED / "acl").read_text()
    assert text.split("\n\n", 1)[1] == "\n".join(said)


def refusal(script: str, *words: str) -> tuple[int, str]:
    done = subprocess.run([DEPLOYED / script, *words], capture_output=True, text=True, timeout=30)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "usage"),
        (("agent",), "usage"),
        (("king", "a"), "usage"),
        (("agent", "a b"), "user a b"),
        (("agent", "a", "--id", "x/y"), "--id x/y"),
        (("agent", "a", "--line", "+"), "--line +"),
        (("operator", "a", "--site", "a#"), "--site a#"),
        (("viewer", "a", "--sitte", "x"), "unknown option --sitte"),
        (("viewer", "a", "--site"), "--site needs a value"),
        (("host", "a"), "--host-id"),
    ],
)
def test_make_acl_names_what_it_cannot_take(words: tuple[str, ...], said: str) -> None:
    code, error = refusal("make-acl", *words)
    assert code == 2
    assert said in error


def test_an_operator_of_all_lines_has_wildcards() -> None:
    said = run(
        DEPLOYED / "make-acl", *["operator", "a", "--area", "+", "--line", "+", "--machine", "+"]
    )
    assert "topic write pitwatch/v1/plant/site/+/+/+/cmd/ack" in said


def test_the_answer_to_a_request_reaches_the_one_who_asked_alone(site: SiteBroker) -> None:
    answers = "pitwatch/reply/scada/1"
    with observer(site, "scada", "pitwatch/reply/#") as asker, observer(site, "panel") as other:
        assert publish(site, "pitwatch", answers) == 0
        asker.wait(answers)
        assert other.all(answers) == []
    assert publish(site, "scada", answers) == NOT_AUTHORISED


# --- certificates ---------------------------------------------------------------------------------


def test_certificates_hold_their_names_uses_and_dates(tmp_path: Path) -> None:
    made = tmp_path / "tls"
    run(DEPLOYED / "make-certificates", made, "--broker", "broker.plant.example,10.20.0.5,::1",
        "--client", "pitter-1", "--client", "scada", "--days", "30")  # fmt: skip
    ca = ["-CAfile", made / "ca.pem"]
    run("openssl", "verify", *ca, "-purpose", "sslserver", "-verify_hostname",
        "broker.plant.example", made / "broker.pem")  # fmt: skip
    for address in ("10.20.0.5", "::1"):
        run("openssl", "verify", *ca, "-verify_ip", address, made / "broker.pem")
    for client in ("pitter-1", "scada"):
        certificate = made / "clients" / f"{client}.pem"
        run("openssl", "verify", *ca, "-purpose", "sslclient", certificate)
        assert f"CN = {client}" in run("openssl", "x509", "-in", certificate, "-noout", "-subject")
    run("openssl", "x509", "-in", made / "broker.pem", "-noout", "-checkend", 29 * 86_400)
    keys = [made / "ca.key", made / "broker.key", *(made / "clients").glob("*.key")]
    assert [key.stat().st_mode & 0o777 for key in keys] == [0o600] * 4
    assert not list(made.glob(".making*")), "nothing half made stays behind"


def test_what_is_there_is_kept_until_it_is_renewed_and_the_authority_always(tmp_path: Path) -> None:
    words = (DEPLOYED / "make-certificates", tmp_path, "--broker", "localhost")
    run(*words)
    authority, broker = ((tmp_path / n).read_bytes() for n in ("ca.pem", "broker.pem"))
    assert "kept" in run(*words)
    assert (tmp_path / "broker.pem").read_bytes() == broker
    run(*words, "--renew")
    assert (tmp_path / "broker.pem").read_bytes() != broker
    assert (tmp_path / "ca.pem").read_bytes() == authority


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "usage"),
        (("{}", "{}x"), 2, "one folder"),
        (("{}", "--sign"), 2, "unknown option --sign"),
        (("{}", "--days", "0"), 2, "--days 0"),
        (("{}", "--days", "x"), 2, "--days x"),
        (("{}", "--client", "../x"), 2, "--client ../x"),
        (("{}", "--broker", "a b"), 2, "--broker a b"),
        (("/proc/nowhere", "--broker", "a"), 1, "proc"),
    ],
)
def test_make_certificates_names_what_it_cannot_take(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done, error = refusal("make-certificates", *(word.format(tmp_path) for word in words))
    assert done == code
    assert said in error


def test_without_the_authoritys_key_nothing_is_signed(tmp_path: Path) -> None:
    run(DEPLOYED / "make-certificates", tmp_path)
    (tmp_path / "ca.key").unlink()
    code, error = refusal("make-certificates", str(tmp_path), "--client", "a")
    assert code == 1
    assert "ca.key is not there" in error
