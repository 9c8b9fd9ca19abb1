"""Tables of what is read are kept up to so many bytes, and no longer."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from agent.ablation.rows import geometry
from agent.ablation.rows.geometry import Tables

KIB = 1024


def table(number, kib=1):
    return lambda: np.full(kib * KIB // 4, number, np.int32)


def test_tables_take_no_more_than_they_may_and_the_oldest_goes_first():
    tables = Tables(4 * KIB)
    for number in range(4):
        tables.of(number, table(number))
    assert tables.of(0, table(-1))[0] == 0  # kept, and now the last that was used
    tables.of(4, table(4))
    assert tables.bytes == 4 * KIB
    assert tables.of(0, table(-1))[0] == 0
    assert tables.of(1, table(-1))[0] == -1  # made anew


def test_a_table_larger_than_all_that_may_be_kept_is_made_each_time():
    tables = Tables(4 * KIB)
    assert tables.of("large", table(1, kib=5))[0] == 1
    assert tables.bytes == 0
    assert tables.of("large", table(2, kib=5))[0] == 2


def test_many_threads_keep_the_count_of_bytes_right():
    tables = Tables(8 * KIB)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: tables.of(n % 13, table(n % 13))[0], range(400)))
    assert found == [n % 13 for n in range(400)]
    assert tables.bytes == 8 * KIB


@pytest.mark.long
def test_pictures_of_many_sizes_stay_within_the_bytes_that_are_named():
    geometry.tables.clear()
    for side in range(16, 400, 4):
        geometry.conv_neighbours((side, side), (side, side), (3, 3), (1, 1), (1, 1))
        geometry.phase_neighbours((side, side), (2 * side, 2 * side), 2, ((0, 0), (0, 1)))
        assert geometry.tables.bytes <= geometry.TABLES_BYTES
    again = geometry.conv_neighbours((8, 8), (8, 8), (3, 3), (1, 1), (1, 1))
    assert again is geometry.conv_neighbours((8, 8), (8, 8), (3, 3), (1, 1), (1, 1))
    assert not again.flags.writeable
    geometry.tables.clear()
