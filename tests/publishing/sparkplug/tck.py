"""The assertions of the Sparkplug 3.0 specification that concern an edge node without templates.

``covers`` says on a test which of them it checks; ``test_sparkplug_assertions`` compares the sum
with this list and with what the folder's README says is not covered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_GROUPS = """
intro: group-id-string group-id-chars edge-node-id-string edge-node-id-chars device-id-string
 device-id-chars edge-node-id-uniqueness
principles: rbe-recommended birth-certificates-order persistence-clean-session-311
 persistence-clean-session-50
topic-structure: . namespace-a namespace-valid-group-id namespace-unique-edge-node-descriptor
 namespace-valid-edge-node-id namespace-valid-device-id namespace-unique-device-id
 namespace-duplicate-device-id-across-edge-node namespace-device-id-associated-message-types
 namespace-device-id-non-associated-message-types
topics-nbirth: topic mqtt seq-num timestamp metric-reqs metrics bdseq-included bdseq-matching
 bdseq-increment rebirth-metric
topics-ndata: topic mqtt seq-num timestamp payload
topics-ndeath: topic payload seq
topics-dbirth: topic mqtt seq timestamp metric-reqs metrics
topics-ddata: topic mqtt seq-num timestamp payload
topics-ddeath: topic mqtt seq-num
case-sensitivity: sparkplug-ids metric-names
message-flow-edge-node: ncmd-subscribe birth-publish-connect birth-publish-will-message
 birth-publish-will-message-topic birth-publish-will-message-payload
 birth-publish-will-message-payload-bdSeq birth-publish-will-message-qos
 birth-publish-will-message-will-retained birth-publish-phid-wait birth-publish-phid-wait-id
 birth-publish-phid-wait-online birth-publish-phid-wait-timestamp birth-publish-nbirth-topic
 birth-publish-nbirth-payload birth-publish-nbirth-payload-bdSeq birth-publish-nbirth-qos
 birth-publish-nbirth-retained birth-publish-nbirth-payload-seq birth-publish-phid-offline
message-flow-device: dcmd-subscribe birth-publish-nbirth-wait birth-publish-dbirth-topic
 birth-publish-dbirth-match-edge-node-topic birth-publish-dbirth-payload birth-publish-dbirth-qos
 birth-publish-dbirth-retained birth-publish-dbirth-payload-seq
operational-behavior: edge-node-intentional-disconnect-ndeath
 edge-node-intentional-disconnect-packet edge-node-termination-host-offline
 edge-node-termination-host-offline-reconnect edge-node-termination-host-offline-timestamp
 device-ddeath primary-application-state-with-multiple-servers-state-subs
 primary-application-state-with-multiple-servers-single-server
 primary-application-state-with-multiple-servers-walk edge-node-birth-sequence-wait
operational-behavior-data-publish: nbirth nbirth-values nbirth-change nbirth-order dbirth
 dbirth-values dbirth-change dbirth-order
operational-behavior-data-commands: rebirth-name rebirth-name-aliases rebirth-datatype rebirth-value
 rebirth-action-1 rebirth-action-2 rebirth-action-3
payloads: timestamp-in-UTC sequence-num-always-included sequence-num-zero-nbirth
 sequence-num-incrementing name-requirement alias-uniqueness alias-birth-requirement
 alias-data-cmd-requirement name-birth-data-requirement metric-timestamp-in-UTC
 metric-datatype-value-type metric-datatype-value metric-datatype-req metric-datatype-not-req
 propertyset-keys-array-size propertyset-values-array-size metric-propertyvalue-type-type
 metric-propertyvalue-type-value metric-propertyvalue-type-req propertyset-quality-value-type
 propertyset-quality-value-value dataset-column-size dataset-column-num-headers dataset-types-def
 dataset-types-num dataset-types-type dataset-types-value dataset-parameter-type-req
payloads-nbirth: timestamp edge-node-descriptor seq bdseq bdseq-repeat rebirth-req qos retain
payloads-dbirth: timestamp seq seq-inc order qos retain
payloads-ndata: timestamp seq seq-inc order qos retain
payloads-ddata: timestamp seq seq-inc order qos retain
payloads-ndeath: seq will-message will-message-qos will-message-retain bdseq will-message-publisher
 will-message-publisher-disconnect-mqtt311 will-message-publisher-disconnect-mqtt50
payloads-ddeath: timestamp seq seq-inc seq-number
"""


def _ids() -> frozenset[str]:
    found = set()
    for block in _GROUPS.replace("\n ", " ").strip().splitlines():
        group, names = block.split(": ")
        found |= {f"tck-id-{group}" + ("" if n == "." else f"-{n}") for n in names.split()}
    return frozenset(found)


EDGE_NODE_IDS = _ids()
COVERED: set[str] = set()

F = TypeVar("F", bound=Callable[..., object])


def covers(*ids: str) -> Callable[[F], F]:
    """Say which assertions a test checks, without their common ``tck-id-``."""

    def mark(test: F) -> F:
        for one in ids:
            full = f"tck-id-{one}"
            assert full in EDGE_NODE_IDS, f"{full} is no assertion about an edge node"
            COVERED.add(full)
        return test

    return mark
