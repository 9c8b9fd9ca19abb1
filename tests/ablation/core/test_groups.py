"""Groups of channels: how they are named, clustered and checked."""

import numpy as np
import pytest

from agent.ablation.core.errors import AblationError
from agent.ablation.core.groups import checked, clustered, contiguous, parse_groups

MAPS = np.random.default_rng(0).random((6, 4, 4))


def test_contiguous_groups_hold_every_channel_once_in_order():
    assert contiguous(7, 3) == ((0, 1, 2), (3, 4), (5, 6))


def test_channels_that_say_the_same_are_clustered_whatever_their_scale():
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 5, 5))
    maps = np.stack([one, other, 3 * one + 1, 0.1 * other, one + 0.01 * other])
    assert clustered(maps, 2) == ((0, 2, 4), (1, 3))


def test_a_channel_that_is_silent_stands_alone():
    one = np.random.default_rng(2).random((5, 5))
    assert clustered(np.stack([one, np.zeros((5, 5)), 2 * one]), 2) == ((0, 2), (1,))


@pytest.mark.parametrize("count", [0, 7])
def test_more_groups_than_channels_are_refused(count):
    for make in (lambda: contiguous(6, count), lambda: clustered(MAPS, count)):
        with pytest.raises(AblationError, match="there are 6 channels, so 1 to 6 groups"):
            make()


@pytest.mark.parametrize(
    ("words", "groups"),
    [
        ("contiguous:2", ((0, 1, 2), (3, 4, 5))),
        ("0-2;4,5", ((0, 1, 2), (4, 5))),
        ("3", ((3,),)),
    ],
)
def test_groups_can_be_said_in_words(words, groups):
    assert parse_groups(words, MAPS) == groups


def test_clusters_in_words_have_as_many_groups_as_asked_for():
    groups = parse_groups("cluster:3", MAPS)
    assert len(groups) == 3
    assert sorted(k for group in groups for k in group) == list(range(6))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("all", "no groups 'all'; groups are contiguous:N, cluster:N"),
        ("cluster:x", "no groups"),
        ("0-2;;3", "no groups"),
        ("0,9", r"group \(0, 9\): no channel 9; there are 0 to 5"),
        ("2,2", "each once"),
        ("5-3", "at least one channel"),
        ("contiguous:9", "1 to 6 groups"),
    ],
)
def test_what_is_no_group_is_refused_with_the_reason(words, message):
    with pytest.raises(AblationError, match=message):
        parse_groups(words, MAPS)


def test_a_group_without_a_channel_is_refused():
    with pytest.raises(AblationError, match="at least one channel"):
        checked([()], 4)
