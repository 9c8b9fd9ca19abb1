from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.config import Model
from agent.models.files import sha256_of
from agent.models.loading import default_weights
from agent.training.errors import TrainingError
from agent.training.folder import Pair, find_pairs, held_out_words, split_pairs
from agent.training.line.lots import held_out_lots, lots_of
from agent.training.recipe import Recipe
from agent.training.train import TrainOptions, _started_elsewhere, train
from tests.training.test_folder import write_pair


def card(folder: Path, lots: dict[str, object]) -> None:
    rows = {name: {"lot": lot, "camera": "cam1"} for name, lot in lots.items()}
    (folder / "dataset.json").write_text(json.dumps({"version": 1, "pictures": rows}))


def pairs_of(lots: int, each: int = 5) -> tuple[Pair, ...]:
    return tuple(
        Pair(f"l{lot}p{i}", Path("p.png"), Path("m.png"), f"lot-{lot}")
        for lot in range(lots)
        for i in range(each)
    )


def test_no_picture_of_a_lot_that_is_trained_on_is_held_out() -> None:
    for lots in range(2, 40):
        pairs = pairs_of(lots)
        kept, held = split_pairs(pairs)
        assert kept
        assert held
        assert not {p.lot for p in kept} & {p.lot for p in held}
        assert len(kept) + len(held) == len(pairs)
    assert 0.1 < len(split_pairs(pairs_of(200))[1]) / 1000 < 0.3


def test_lots_stay_on_their_side_when_others_are_added() -> None:
    some = held_out_lots((f"lot-{n}" for n in range(40)), 0.2)
    more = held_out_lots((f"lot-{n}" for n in range(80)), 0.2)
    assert some < more
    assert not {f"lot-{n}" for n in range(40)} - some & more


def test_the_card_of_a_folder_tells_the_lots(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_pair(tmp_path, name)
    card(tmp_path, {"a.png": "L1", "b.png": "L2", "c.png": "L2"})
    pairs = find_pairs(tmp_path)
    assert [p.lot for p in pairs] == ["L1", "L2", "L2"]
    _, held = split_pairs(pairs)
    (lot,) = {p.lot for p in held}
    assert held_out_words(pairs) == f"Held out: {len(held)} pictures, all those of the lots {lot}."


def test_without_lots_pictures_are_held_out_by_name_and_the_words_say_so(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_pair(tmp_path, name)
    assert "lots are not known" in held_out_words(find_pairs(tmp_path))
    card(tmp_path, {"a.png": "", "b.png": "", "c.png": ""})
    assert "lots are not known" in held_out_words(find_pairs(tmp_path))


def test_the_card_says_that_weights_of_elsewhere_may_know_what_is_held_out(tmp_path: Path) -> None:
    shipped = sha256_of(default_weights().read_bytes())
    start = Model(path=default_weights())
    for sha256, known in ((shipped, False), ("ab" * 32, True)):
        chosen = TrainOptions(tmp_path / "x.safetensors", Recipe(start_sha256=sha256), start=start)
        assert _started_elsewhere(chosen) is known
        words = held_out_words(pairs_of(4), known)
        assert words.endswith(" may have been trained on them.") is known


def test_every_picture_without_a_lot_beside_others_with_one_is_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_pair(tmp_path, name)
    card(tmp_path, {"a.png": "L1", "b.png": ""})
    with pytest.raises(TrainingError) as caught:
        find_pairs(tmp_path)
    assert "b.png: dataset.json gives it no lot" in str(caught.value)
    assert "c.png: dataset.json gives it no lot" in str(caught.value)
    assert "a.png" not in str(caught.value)
    assert "has the lots of 1 of 3 pictures: write the others' there" in str(caught.value)


def test_pictures_of_one_lot_alone_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    folder = tmp_path / "line"
    folder.mkdir()
    for name in ("a", "b"):
        write_pair(folder, name)
    card(folder, {"a.png": "L1", "b.png": "L1"})
    out = tmp_path / "x.safetensors"
    with pytest.raises(TrainingError, match="all pictures are of lot L1: none can be held out"):
        train(TrainOptions(out=out, folder=folder))
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "dataset.json: "),
        ('{"version": 2, "pictures": {}}', "version 2, expected 1"),
        ('{"version": 1, "pictures": []}', "pictures: is no object"),
        ('{"version": 1, "pictures": {"a.png": 3}}', "a.png: lot: is no text"),
        (
            '{"version": 1, "pictures": {"a.png": {"lot": "L1", "predicted_sha256": "ab"}}}',
            "an export: its masks are the model's own; pitwatch import its labels first",
        ),
        ('{"version": 1, "pictures": {"a.png": {"lot": 7}}}', "a.png: lot: is no text"),
    ],
)
def test_a_card_that_cannot_be_used_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(TrainingError) as caught:
        lots_of(tmp_path)
    assert words in str(caught.value)
    assert str(tmp_path / "dataset.json") in str(caught.value)
