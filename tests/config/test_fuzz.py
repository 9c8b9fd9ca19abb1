"""Whatever stands in the file: a configuration or a list of errors, never a traceback."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.config.load import ConfigErrors
from agent.config.words import all_paths
from agent.preflight import load_config

FOLDER = Path(__file__).parents[2] / "config"
KEYS = sorted({path.rpartition(".")[2] for path in all_paths()})
SECRET = "hunter2hunter2"

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["sim:", "embedded", "${ENV:X}", "${FILE:/x}", "auto", "mqtt://u:p@h", "cpu"]),
)
keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=6))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=20,
)  # fmt: skip
relaxed = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def load(file: Path, raw: bytes) -> str:
    """The text of the errors, or nothing."""
    file.write_bytes(raw)
    try:
        load_config(file, environment={"X": SECRET})
    except ConfigErrors as error:
        return str(error)
    return ""


@pytest.mark.long
@relaxed
@given(data=st.dictionaries(keys, values, max_size=6))
@example(data={"mqtt": {"password": "${ENV:X}", "tls": {"key": "${ENV:X}"}, "broker": "${ENV:X}"}})
def test_arbitrary_values_give_errors_and_no_traceback(
    tmp_path: Path, data: dict[str, Any]
) -> None:
    text = load(tmp_path / "f.yaml", yaml.safe_dump(data, allow_unicode=True).encode())
    assert SECRET not in text


@relaxed
@given(raw=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_arbitrary_bytes_give_errors_and_no_traceback(tmp_path: Path, raw: bytes) -> None:
    load(tmp_path / "f.yaml", raw)


YAML_SYNTAX = [*"&*!|>{}[],:?-#%@`'\"\n\t <~0a", "<<: ", "---\n", "${ENV:X}", "a: ", "- "]


@relaxed
@given(parts=st.lists(st.sampled_from(YAML_SYNTAX), max_size=25))
def test_arbitrary_yaml_syntax_gives_errors_and_no_traceback(
    tmp_path: Path, parts: list[str]
) -> None:
    load(tmp_path / "f.yaml", "".join(parts).encode())


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_gives_errors_and_no_traceback(tmp_path: Path, seed: int) -> None:
    """A real file with bytes changed, taken out, or doubled."""
    rng = random.Random(seed)
    raw = bytearray((FOLDER / "lanes.yaml").read_bytes())
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(raw))
        match rng.randrange(3):
            case 0:
                raw[at] = rng.randrange(256)
            case 1:
                del raw[at : at + rng.randint(1, 40)]
            case _:
                raw[at:at] = raw[at : at + rng.randint(1, 40)]
    load(tmp_path / "f.yaml", bytes(raw))
