"""Every assertion about an edge node is checked by a test or named as not covered, and not both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import agent.publishing.sparkplug
from agent.config import Config
from tests.publishing.sparkplug import tck
from tests.publishing.sparkplug import test_client as _client
from tests.publishing.sparkplug import test_codec as _codec
from tests.publishing.sparkplug import test_node as _node

README = (Path(agent.publishing.sparkplug.__file__).parent / "README.md").read_text()
NOT_COVERED = set(re.findall(r"`(tck-id-[\w-]+)`", README))


def test_each_assertion_is_covered_by_a_test_or_listed_with_the_reason_why_not() -> None:
    assert all((_client, _codec, _node))
    assert tck.COVERED | NOT_COVERED == tck.EDGE_NODE_IDS
    assert not tck.COVERED & NOT_COVERED
    assert len(tck.COVERED) > 150


@tck.covers("topic-structure-namespace-unique-device-id")
def test_two_devices_of_one_name_are_an_error_of_configuration() -> None:
    cameras = [{"name": "cam1", "source": "sim:"}] * 2
    with pytest.raises(ValueError, match="taken by another camera"):
        Config.model_validate({"cameras": cameras})
