"""Batches in parallel: in order, none waiting for who reads them, none left running."""

import threading

import pytest
import torch

from agent.ablation.rows.parallel_batches import even_batch, in_parallel

CPU = torch.device("cpu")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_each_part_comes_with_its_result_in_order(threads, count):
    found = list(in_parallel(lambda n: n * n, range(count), CPU))
    assert found == [(n, n * n) for n in range(count)]
    assert torch.get_num_threads() == threads


def test_the_next_parts_run_while_a_result_is_read(threads):
    begun = [threading.Event() for _ in range(4)]

    def run(number):
        begun[number].set()
        return torch.is_grad_enabled(), torch.get_num_threads()

    found = in_parallel(run, range(4), CPU)
    assert next(found)[1] == (False, 1)
    assert begun[2].wait(10)  # with nobody asking for it
    assert torch.get_num_threads() == 1  # the reader's operators wake no team
    assert len(list(found)) == 3
    assert torch.get_num_threads() == threads


def test_who_stops_asking_stops_what_has_not_begun(threads):
    ran = []
    found = in_parallel(lambda n: ran.append(n) or n, range(100), CPU)
    next(found)
    found.close()
    assert len(ran) <= threads + 1
    assert torch.get_num_threads() == threads


def test_an_error_is_the_askers_and_leaves_nothing_behind(threads):
    def run(number):
        if number == 1:
            raise ValueError("a bad batch")
        return number

    before = threading.active_count()
    found = in_parallel(run, range(50), CPU)
    assert next(found) == (0, 0)
    with pytest.raises(ValueError, match="a bad batch"):
        list(found)
    assert torch.get_num_threads() == threads
    assert threading.active_count() == before


@pytest.mark.parametrize("number", [1, 2, 3, 8])
@pytest.mark.parametrize("items", [1, 5, 15, 16, 17, 33, 64, 257, 500])
def test_batches_are_even_and_keep_all_threads_at_work(items, number):
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        batch = even_batch(items, 16, CPU)
    finally:
        torch.set_num_threads(before)
    assert 1 <= batch <= 16
    batches, fewest = -(-items // batch), -(-items // 16)
    assert fewest <= batches < fewest + number
    if batches > number:
        assert -(-batches // number) == -(-fewest // number)  # no turn more for all


def test_on_a_device_that_runs_one_batch_at_a_time_there_are_no_more_than_they_must_be():
    assert even_batch(65, 16, torch.device("meta")) == 13
