from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.refused import refused
from training import sampler
from training.augment import augment, warp
from training.config import AugmentSettings, DataSettings, SourceSettings
from training.data import Crops, FolderReader, RecordReader, reader, split
from training.loader import Loader
from training.recordio import Record, write_records
from training.synthetic import draw
from training.teacher import load

NONE = AugmentSettings(flip=0, rotation_degrees=0, scale=0, shift_px=0, light=0, blur=0, low_resolution=0, jpeg=0)


def png(person: int, shot: int) -> bytes:
    return cv2.imencode(".png", draw(abs(person), shot)[:, :, ::-1])[1].tobytes()


def record_set(path: Path, labels: list[int], broken: tuple[int, ...] = ()) -> Path:
    images = [b"no image" if i in broken else png(label, i) for i, label in enumerate(labels)]
    records = [(0, Record((len(labels) + 1.0, len(labels) + 1.0), b""))]
    records += [(i + 1, Record((float(label),), image)) for i, (label, image) in enumerate(zip(labels, images, strict=True))]
    write_records(path, records)
    return path


def folder_set(path: Path) -> Path:
    for person in range(2):
        for shot in range(3):
            file = path / f"p{person}" / f"{shot}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(person, shot))
    return path


def test_sources_are_joined_and_their_labels_never_meet(tmp_path: Path) -> None:
    rec, folder = record_set(tmp_path / "a.rec", [5, 5, -1, 9]), folder_set(tmp_path / "b")
    np.savez(tmp_path / "t.npz", embedding=np.eye(4, dtype=np.int8) * 3, scale=np.ones(4, np.float32))
    photos = SourceSettings(str(folder), "folder")
    sources = (SourceSettings(str(rec), teacher=str(tmp_path / "t.npz")), photos, dataclasses.replace(photos, labelled=False))
    crops = Crops(DataSettings(sources))
    assert crops.labels.tolist() == [0, 0, -1, 1, 2, 2, 2, 3, 3, 3, *[-1] * 6]
    assert crops.classes == 4
    assert crops.teacher is not None and crops.teacher.shape == (16, 4)
    np.testing.assert_array_equal(crops.teacher[:4], np.eye(4))
    np.testing.assert_array_equal(crops.teacher[4:], 0)
    np.testing.assert_array_equal(crops.crop(3), draw(9, 3))
    np.testing.assert_array_equal(crops.crop(8), draw(1, 1))


def test_corrupted_records_are_counted_named_and_limited(tmp_path: Path) -> None:
    rec = record_set(tmp_path / "a.rec", [0, 0, 1, 1], broken=(1, 2))
    crops = Crops(DataSettings((SourceSettings(str(rec)),), max_corrupted=1))
    assert crops.crop(1) is None
    assert crops.crop(1) is None  # counted once
    assert crops.corruption.count == 1
    assert "record 2" in crops.corruption.names[0]
    with refused("data", "max_corrupted = 1", "record 3"):
        crops.crop(2)


def test_a_torn_file_costs_its_last_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rec = record_set(tmp_path / "a.rec", [0, 0, 1, 1])
    rec.write_bytes(rec.read_bytes()[:-700])  # a PNG of a crop has several thousand bytes
    crops = Crops(DataSettings((SourceSettings(str(rec)),)))
    assert crops.labels.tolist() == [0, 0, 1, -1]
    assert [crops.crop(number) is None for number in range(4)] == [False, False, False, True]
    assert f"{rec}: record 4 is truncated" in capsys.readouterr().err


def test_a_record_that_cannot_be_read_has_no_label(tmp_path: Path) -> None:
    rec = record_set(tmp_path / "a.rec", [3, 4, 5])
    data, offset = bytearray(rec.read_bytes()), int((tmp_path / "a.idx").read_text().splitlines()[2].split()[1])
    data[offset] ^= 255  # the magic number of record 2
    rec.write_bytes(data)
    assert RecordReader(rec).labels.tolist() == [3, -1, 5]


def test_in_training_the_next_crop_takes_the_place_of_a_corrupted_one(tmp_path: Path) -> None:
    rec = record_set(tmp_path / "a.rec", [0, 0, 1, 1, 2], broken=(1, 4))
    settings = DataSettings((SourceSettings(str(rec)),))
    (batch,) = Loader(Crops(settings), settings, NONE, 4).batches([np.array([1, 3, 0, 4])], epoch=0)
    assert batch.index.tolist() == [3, 3, 0, 3]  # after the last comes the first
    assert batch.labels.tolist() == [1, 1, 0, 1]
    assert (batch.crops[0] == batch.crops[1]).all() and batch.crops.shape == (4, 112, 112, 3)
    with refused("data", "all 2 crops"):
        list(Loader(Crops(settings), settings, NONE, 4).batches([np.array([1, 4])], epoch=0))


def test_loader_leaves_corrupted_crops_out_and_repeats_itself(tmp_path: Path) -> None:
    rec = record_set(tmp_path / "a.rec", [0, 0, 1, 1], broken=(1,))
    settings = DataSettings((SourceSettings(str(rec)),))
    (kept,) = Loader(Crops(settings), settings, None, 4).batches([np.array([3, 1, 0])], epoch=2)
    assert kept.index.tolist() == [3, 0]
    lists = [np.array([3, 0]), np.array([2])]
    first, again = (list(Loader(Crops(settings), settings, AugmentSettings(), 4).batches(lists, epoch=2)) for _ in range(2))
    assert first[0].index.tolist() == [3, 0]
    assert first[0].labels.tolist() == [1, 0]
    assert all((a.crops == b.crops).all() for a, b in zip(first, again, strict=True))
    other = list(Loader(Crops(settings), settings, AugmentSettings(), 4).batches(lists, epoch=3))
    assert (first[1].crops != other[1].crops).any()


def test_loader_may_start_in_the_middle(tmp_path: Path) -> None:
    settings = DataSettings((SourceSettings("3 x 2", "drawn"),))
    loader = Loader(Crops(settings), settings, None, 0)
    lists = [np.array([i]) for i in range(6)]
    assert [int(b.index) for b in loader.batches(lists, 0, start=4)] == [4, 5]


def test_no_augmentation_changes_nothing() -> None:
    crop = draw(1, 1)
    np.testing.assert_array_equal(augment(crop, NONE, np.random.default_rng(0)), crop)


def test_flip_is_a_mirror_image() -> None:
    crop = draw(1, 1)
    flipped = warp(crop, AugmentSettings(flip=1, rotation_degrees=0, scale=0, shift_px=0), np.random.default_rng(0))
    np.testing.assert_array_equal(flipped, crop[:, ::-1])


def test_augmentation_is_light() -> None:
    crop, rng = draw(1, 1).astype(float), np.random.default_rng(0)
    changes = [np.abs(augment(crop.astype(np.uint8), AugmentSettings(), rng) - crop).mean() for _ in range(50)]
    assert 1 < np.median(changes) < 50


def test_split_holds_out_whole_identities() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3, -1, -1])
    parts = split(labels, 2, seed=0)
    assert not set(labels[parts.train]) & set(labels[parts.validation])
    assert len(parts.validation) == 4
    assert sorted([*parts.train, *parts.validation]) == list(range(10))


def test_split_needs_enough_identities() -> None:
    with refused("data", "data.validation_identities"):
        split(np.array([0, 0, 1, 1]), 2, seed=0)


def test_plain_sampler_shows_each_crop_once() -> None:
    batches = sampler.plain(np.arange(100), 10, seed=1, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(100))
    assert (np.concatenate(batches) != np.concatenate(sampler.plain(np.arange(100), 10, 1, 1))).any()


def test_people_sampler_gives_p_people_with_k_crops() -> None:
    labels = np.repeat(np.arange(20), 7)
    labels[:7] = -1
    batches = sampler.people(np.arange(140), labels, 12, 3, seed=1, epoch=0)
    assert len(batches) >= 8
    for batch in batches:
        values, counts = np.unique(labels[batch], return_counts=True)
        assert counts.tolist() == [3] * 4
        assert values.min() >= 0


def test_shards_of_a_batch_are_the_batch() -> None:
    batches = [np.arange(8), np.arange(8, 16)]
    parts = [sampler.shard(batches, rank, 2) for rank in range(2)]
    np.testing.assert_array_equal(np.concatenate([parts[0][1], parts[1][1]]), batches[1])


def test_a_folder_without_people_is_refused(tmp_path: Path) -> None:
    with refused("data", "prepare"):
        FolderReader(tmp_path)


@pytest.mark.parametrize(("rows", "expected"), [("source = b", [2, 4]), ("source != b", [1, 3]), ("age=20-29", [1, 2])])
def test_rows_of_a_record_set_are_chosen_by_its_table(tmp_path: Path, rows: str, expected: list[int]) -> None:
    rec = record_set(tmp_path / "a.rec", [7, 8, 9, 7])
    table = "key\tsource\tage\n1\ta\t20-29\n2\tb\t20-29\n3\tc\t30-39\n4\tb\t30-39\n"
    rec.with_suffix(".tsv").write_text(table)
    chosen = RecordReader(rec, rows)
    assert [int(name.split()[-1]) for name in chosen.names] == expected
    assert chosen.labels.tolist() == [[7, 8, 9, 7][key - 1] for key in expected]
    np.testing.assert_array_equal(chosen.crop(1), draw([7, 8, 9, 7][expected[1] - 1], expected[1] - 1))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SourceSettings("a.rec", rows="source"), "expected COLUMN = VALUE"),
        (SourceSettings("a.rec", rows="race = b"), "columns key and race"),
        (SourceSettings("a.rec", rows="source = z"), "source = z"),
        (SourceSettings("3 x 2", "drawn", rows="source = b"), "no table of rows"),
    ],
)
def test_rows_that_cannot_be_chosen_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: SourceSettings, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    record_set(tmp_path / "a.rec", [7]).with_suffix(".tsv").write_text("key\tsource\n1\tb\n")
    with refused("data", message):
        reader(source)


def test_a_source_may_fill_black_edges(tmp_path: Path) -> None:
    crop = draw(1, 0).clip(60, 255)
    crop[:, 90:] = 0
    file = tmp_path / "p0" / "0.png"
    file.parent.mkdir()
    cv2.imwrite(str(file), crop[:, :, ::-1])
    plain, filled = (reader(SourceSettings(str(tmp_path), "folder", fill_black=fill)) for fill in (False, True))
    np.testing.assert_array_equal(plain.crop(0), crop)
    assert filled.crop(0)[:, 92:].min() > 20
    assert filled.names != plain.names


def test_neighbours_meet_in_a_batch() -> None:
    """Ten groups of four alike to the teacher: each group is whole in a batch, each crop shown once."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(10), 4, axis=0) + 0.05 * rng.normal(size=(40, 10))
    teacher = np.float32(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    batches = sampler.neighbours(np.arange(40), teacher, 8, 4, seed=1, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(40))
    assert all(np.unique(batch // 4, return_counts=True)[1].tolist() == [4, 4] for batch in batches)
    other = sampler.neighbours(np.arange(40), teacher, 8, 4, seed=1, epoch=1)
    assert any((a != b).any() for a, b in zip(batches, other, strict=True))


def test_nearest_are_those_of_a_full_sort() -> None:
    rows = np.float32(np.random.default_rng(0).normal(size=(700, 8)))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_array_equal(sampler.nearest(rows, 5), np.argsort(-(rows @ rows.T), axis=1)[:, :5])


def test_teacher_without_embeddings_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", embedding=np.zeros((3, 4), np.float32))
    with refused("teacher", "not finite"):
        load(tmp_path / "t.npz")
