"""The reader: what it takes, and every fault with its line and without its value."""

from __future__ import annotations

import math

import pytest

from agent.config.yaml import DEPTH_LIMIT, NODE_LIMIT, TEXT_LIMIT_BYTES, YamlError, read_yaml


def faults(text: str | bytes) -> list[tuple[int, str]]:
    with pytest.raises(YamlError) as caught:
        read_yaml(text.encode() if isinstance(text, str) else text)
    assert caught.value.faults
    return [(fault.line, fault.message) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-7", -7), ("007", 7), ("0x1F", 31), ("0o17", 15),
        ("1.5", 1.5), ("1e-3", 1e-3), (".5", 0.5), ("-.inf", -math.inf),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("on", "on"), ("no", "no"), ("yes", "yes"), ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"), ("1_000", "1_000"), ("1.2.3", "1.2.3"), ("'1'", "1"),
        ('"a: b"', "a: b"), ("mqtt://h:1", "mqtt://h:1"),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    read = read_yaml(f"key: {text}\n".encode()).data["key"]
    assert read == value
    assert type(read) is type(value)


def test_not_a_number_is_read_as_one() -> None:
    assert math.isnan(read_yaml(b"key: .nan").data["key"])


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\n\n"])
def test_an_empty_text_is_an_empty_mapping(text: str) -> None:
    assert read_yaml(text.encode()).data == {}


def test_every_value_knows_its_line() -> None:
    document = read_yaml(b"a: 1\nb:\n  - c: 2\n    d: 3\n  - e: [4,\n    5]\n")
    assert document.line(("b", 0, "d")) == 4
    assert document.line(("b", 1, "e", 1)) == 6
    assert document.line(("b", 0, "nothing")) == 3
    assert document.line(("nothing",)) == 1


def test_anchors_aliases_and_merge_keys_work() -> None:
    text = b"base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [*b, {z: 9, x: 8}]}\nthree: *b"
    data = read_yaml(text).data
    assert data["one"] == {"x": 1, "y": 3}
    assert data["two"] == {"x": 1, "y": 2, "z": 9}
    assert data["three"] == {"x": 1, "y": 2}


def test_every_duplicate_key_is_named_with_both_lines() -> None:
    assert faults("a: 1\nb: {c: 1, c: 2}\na: 2\n") == [
        (2, "is given twice, first in line 2"),
        (3, "is given twice, first in line 1"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a:\n\t- b", 2, "tab"),
        ("a: 'x\nb: 1", 1, "quote"),
        ("a: b: c", 1, "needs quotes"),
        ("a: [{source: drop?watch=1}]", 1, "needs quotes inside of"),
        ("a:\n  source: sim:\n", 2, 'needs quotes ("sim:")'),
        ("a: 1\n  b: 2\n", 2, "indented too far"),
        ("a:\n  - b: 1\n   c: 2\n", 3, "indentation does not fit"),
        ("a: [1, 2", 1, "expected"),
        ("- a\n- b", 1, "not a mapping"),
        ("just text", 1, "not a mapping"),
        ("1: x", 1, "key that is not text"),
        ("[a]: x", 1, "key that is not text"),
        ("a: 1\n---\nb: 2", 2, "second document"),
        ("a: &x [*x]", 1, "contains itself"),
        ("a: *nothing", 1, "begins with *"),
        ("a: &x 1\nb: &x 2", 2, "begins with &"),
        ("a: !!python/object/apply:os.system [ls]", 1, "tag"),
        ("a: !secret x", 1, "tag"),
        ("a: !!binary aGk=", 1, "tag"),
        ("a: !!int many", 1, "no int"),
        ("a: " + "9" * 5000, 1, "no int"),
        ("<<: 3", 1, "<<"),
        ("a: @x", 1, "'@'"),
        ("a: \x07", 0, "control character"),
        (b"a: 1\nb: \xff", 2, "UTF-8"),
        (b"\x89PNG\r\n\x1a\n", 1, "UTF-8"),
        ("a: 1".encode("utf-16"), 1, "UTF-8"),
    ],
)
def test_a_fault_is_named_with_its_line(text: str | bytes, line: int, words: str) -> None:
    ((where, message),) = faults(text)[:1]
    assert where == line
    assert words in message


def test_a_text_that_is_a_tag_alone_has_one_fault() -> None:
    assert [line for line, _ in faults("!secret x")] == [1]


@pytest.mark.parametrize("text", ["a: !!bool maybe", "a: !!float one"])
def test_a_scalar_that_is_not_what_its_tag_says_cannot_be_read(text: str) -> None:
    ((_, message),) = faults(text)
    assert "that can be read" in message


@pytest.mark.parametrize(
    "text",
    [
        "password: *hunter2",
        "password: !hunter2",
        "password: hunter2: x",
        "password: 'hunter2",
        "password: &hunter2 a\nb: &hunter2 c",
        "password: {hunter2",
        "hunter2",
        "password: %hunter2\x00",
    ],
)
def test_no_fault_repeats_what_may_be_a_password(text: str) -> None:
    assert "hunter2" not in str(faults(text))


def test_a_file_that_would_eat_the_memory_is_refused() -> None:
    laughs = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    for name, before in zip("bcdefg", "abcdef", strict=True):
        laughs += f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    assert f"{NODE_LIMIT:,}" in faults(laughs)[-1][1]
    assert "nested deeper" in faults("a: " + "[" * (DEPTH_LIMIT + 1))[0][1]
    assert "nested deeper" in faults("a: " + "[" * 100_000)[0][1]
    assert "larger" in faults(b"#" * (TEXT_LIMIT_BYTES + 1))[0][1]
