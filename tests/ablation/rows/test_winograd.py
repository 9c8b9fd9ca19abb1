"""Tiles against plain convolutions: any pixels, any border, any batch; and when they are chosen."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.ablation.rows import gathering, geometry, products, winograd
from agent.ablation.rows.winograd import FORMS, Task, Tiled


def maps_and_rows(batch, channels, size, dtype=torch.float64):
    maps = torch.randn(
        batch, channels, *size, dtype=dtype, generator=torch.Generator().manual_seed(0)
    )
    rows = maps.permute(0, 2, 3, 1).reshape(-1, channels)
    return maps, torch.cat((rows, rows.new_zeros((1, channels))))


def tiled(form, pixels, size, pad, maps, rows, weight):
    batch, channels = maps.shape[:2]
    out_size = (size[0] + 2 * pad - form.r + 1, size[1] + 2 * pad - form.r + 1)
    task = Task(
        pixels, out_size, form.r, (-pad, -pad), geometry.everything(size), channels, len(weight)
    )
    cover = winograd.Cover(form, winograd._corners(task, form.m))
    laid_out = weight.permute(0, 2, 3, 1).flatten(1).contiguous()
    kernel = winograd.transformed(form, laid_out)
    return cover, Tiled(task, cover, batch, kernel)(rows).view(batch, pixels.size, -1)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"F({form.m},{form.r})")
@settings(max_examples=25)
@given(
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    pad=st.integers(0, 1),
    share=st.floats(0.02, 1),
    batch=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_tiles_give_what_a_convolution_gives(form, size, pad, share, batch, seed):
    maps, rows = maps_and_rows(batch, 4, size)
    weight = torch.randn(5, 4, form.r, form.r, dtype=torch.float64)
    expected = F.conv2d(maps, weight, padding=pad).flatten(2)
    rng = np.random.default_rng(seed)
    count = expected.shape[2]
    pixels = rng.permutation(count)[: max(1, int(share * count))]
    cover, found = tiled(form, pixels, size, pad, maps, rows, weight)
    assert torch.allclose(found, expected[:, :, pixels].transpose(1, 2), atol=1e-12)
    assert len(cover.corners) <= pixels.size


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"F({form.m},{form.r})")
def test_in_float32_tiles_err_no_more_than_a_plain_sum_of_products(form):
    maps, rows = maps_and_rows(1, 128, (24, 24), torch.float32)
    weight = torch.randn(64, 128, form.r, form.r, generator=torch.Generator().manual_seed(1))
    exact = F.conv2d(maps.double(), weight.double(), padding=1).flatten(2).transpose(1, 2)
    plain = one_after_the_other(F.unfold(maps, form.r, padding=1)[0].t(), weight.flatten(1).t())
    _, found = tiled(form, np.arange(exact.shape[1]), (24, 24), 1, maps, rows, weight)
    own, theirs = (found - exact).square().mean().sqrt(), (plain - exact).square().mean().sqrt()
    assert own <= 1.5 * theirs


def one_after_the_other(rows, columns):
    """rows @ columns, summed in order: a library's own order depends on the processor."""
    total = torch.zeros((rows.shape[0], columns.shape[1]))
    for row, column in zip(rows.t(), columns, strict=True):
        total += torch.outer(row, column)
    return total


def test_chunks_of_tiles_are_put_together_in_order(monkeypatch):
    monkeypatch.setattr(winograd, "GATHER_FLOATS", 16 * 4 * 7)  # seven tiles at a time
    maps, rows = maps_and_rows(3, 4, (9, 7))
    weight = torch.randn(4, 4, 3, 3, dtype=torch.float64)
    expected = F.conv2d(maps, weight, padding=1).flatten(2).transpose(1, 2)
    _, found = tiled(FORMS[2], np.arange(63), (9, 7), 1, maps, rows, weight)
    assert torch.allclose(found, expected, atol=1e-12)


def test_what_is_kept_nowhere_is_read_as_zero():
    """Pixels that only unneeded outputs of a tile read have no rows: any finite value would do."""
    size = (6, 6)
    need = np.zeros(size, bool)
    need[2, 2] = True
    read = geometry.before_conv(need, size, (3, 3), (1, 1), (1, 1))
    source = geometry.kept(read)
    maps, _ = maps_and_rows(1, 3, size)
    rows = maps[0].flatten(1).t()[torch.from_numpy(source.pixels)]
    rows = torch.cat((rows, rows.new_zeros((1, 3))))
    weight = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    pixels = np.flatnonzero(need)
    task = Task(pixels, size, 3, (-1, -1), source, 3, 2)
    cover = winograd.Cover(FORMS[2], winograd._corners(task, 2))
    kernel = winograd.transformed(FORMS[2], weight.permute(0, 2, 3, 1).flatten(1).contiguous())
    found = Tiled(task, cover, 1, kernel)(rows)
    expected = F.conv2d(maps, weight, padding=1)[0, :, 2, 2]
    assert torch.allclose(found[0], expected, atol=1e-12)


def wide_task(channels, pixels=144):
    side = 12
    source = geometry.everything((side, side))
    return Task(np.arange(pixels), (side, side), 3, (-1, -1), source, channels, channels)


def test_tiles_are_chosen_where_they_save_work_and_not_elsewhere():
    many = wide_task(256)
    assert winograd.chosen(many, winograd.gathered_ns(144, 9, 256, 256)).form is FORMS[2]
    few = wide_task(8)
    assert winograd.chosen(few, winograd.gathered_ns(144, 9, 8, 8)) is None
    one = wide_task(256, pixels=1)
    assert winograd.chosen(one, winograd.gathered_ns(1, 9, 256, 256)) is None


def test_tiles_are_for_float32_on_a_cpu_whose_blas_is_the_faster(monkeypatch):
    monkeypatch.setattr(winograd, "are_exact", lambda: True)
    monkeypatch.setattr(winograd, "onednn_is_faster", lambda: False)
    assert winograd.usable_for(torch.zeros(1))
    assert not winograd.usable_for(torch.zeros(1, dtype=torch.float64))
    assert not winograd.usable_for(torch.zeros(1, device="meta"))
    monkeypatch.setattr(winograd, "onednn_is_faster", lambda: True)
    assert not winograd.usable_for(torch.zeros(1))


def test_tiles_are_left_out_where_the_library_is_more_exact(monkeypatch):
    monkeypatch.setattr(winograd, "onednn_is_faster", lambda: False)
    for tiles, library, usable in ((1.0, 1.0, True), (1.0, 2.0, True), (2.0, 1.0, False)):
        found = (tiles, library)
        monkeypatch.setattr(winograd, "errors", lambda *_, found=found: found)
        winograd.are_exact.cache_clear()
        assert winograd.usable_for(torch.zeros(1)) is usable
    winograd.are_exact.cache_clear()


def test_both_errors_of_the_trial_are_those_of_rounding():
    found = winograd.errors(*winograd.random_case(16, 12), FORMS[2])
    assert all(0 < error < 1e-6 for error in found)
    wide = winograd.errors(*(t.double() for t in winograd.random_case(16, 12)), FORMS[2])
    assert all(error < 1e-14 for error in wide)


@pytest.mark.parametrize("onednn", [True, False])
def test_both_products_give_the_same(monkeypatch, onednn):
    monkeypatch.setattr(products, "onednn_is_faster", lambda: onednn)
    x, weight = torch.randn(37, 24), torch.randn(5, 24)
    expected = (x.double() @ weight.double().t()).float()
    assert torch.allclose(products.product(x, weight), expected, atol=1e-5)
    out = torch.empty(37, 5)
    assert products.product(x, weight, out) is out
    assert torch.allclose(out, expected, atol=1e-5)
    assert products.product(x, weight, out, add=True) is out
    assert torch.allclose(out, 2 * expected, atol=2e-5)


@pytest.mark.parametrize(("taps", "width"), [(9, 16), (9, 64), (4, 128), (9, 512), (1, 1024)])
def test_long_sums_are_made_of_short_ones(taps, width):
    chunks = products.Chunks(50, taps, width)
    lengths = [block.stop - block.start for block in chunks.blocks]
    assert sum(lengths) == taps
    assert max(lengths) * width <= max(products.SUMMED, width)
    x = torch.randn(50, taps * width, dtype=torch.float64)
    weight = torch.randn(7, taps * width, dtype=torch.float64)

    def fill(part, block, scratch):
        some = chunks.blocks[block]
        scratch[: part.stop - part.start] = x[part, some.start * width : some.stop * width]

    assert torch.allclose(chunks.product(weight, fill), x @ weight.t(), atol=1e-10)


@pytest.mark.parametrize("width", [7, 96, 289, 512, 509])
def test_wide_rows_are_read_by_parts_and_give_the_same(width):
    rows = torch.randn(40, width, dtype=torch.float64)
    index = torch.randint(0, 40, (23, 4), dtype=torch.int32)
    weight = torch.randn(5, 4 * width, dtype=torch.float64)
    found = gathering.gathered(index, width, weight)(rows)
    assert torch.allclose(found, rows[index.long()].flatten(1) @ weight.t(), atol=1e-10)


def test_the_faster_product_is_known_after_one_trial():
    products.onednn_is_faster.cache_clear()
    first = products.onednn_is_faster()
    assert isinstance(first, bool)
    assert products.onednn_is_faster() is first
    assert products.onednn_is_faster.cache_info().misses == 1
