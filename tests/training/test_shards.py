"""Crops from shards: each shard is fetched once per epoch, in an order that the seed decides; a run goes on in the middle; what is torn costs its crops."""

from __future__ import annotations

import functools
import http.server
import io
import signal
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch

from tests.refused import refused
from tests.training.test_data import png, record_set
from tests.training.test_train import Tiny, small, weights
from training import backbones, checkpoint, sampler, shards
from training.__main__ import main
from training.config import DataSettings, SourceSettings
from training.data import Crops
from training.loader import Loader
from training.train import train

PEOPLE, SHOTS, EACH = 9, 6, 8  # crops in all: 54, in 7 shards


class Asked(Tiny):
    """Its process gets SIGTERM during the seventh step."""

    steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        if self.training and self.steps == 7:
            signal.raise_signal(signal.SIGTERM)
        return super().forward(x)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_set(tmp_path_factory.mktemp("set") / "a.rec", [person for person in range(PEOPLE) for _ in range(SHOTS)])


def written(record: Path, target: str) -> str:
    assert main(["shards", "write", "smoke", target, "--crops", str(EACH), "--set", f"data.sources = [{{ path = '{record}' }}]"]) == 0
    return f"{target}-{{000000..000006}}.tar"


@pytest.fixture(scope="module")
def made(record: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(record, str(tmp_path_factory.mktemp("shards") / "faces"))


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the shards, without their indices, in the order in which they are fetched."""
    found: list[str] = []
    plain = shards.fetch

    def noted(url: str) -> bytes:
        if url.endswith(".tar"):
            found.append(url)
        return plain(url)

    monkeypatch.setattr(shards, "fetch", noted)
    return found


def crops_of(path: str, together: int = 2) -> Crops:
    return Crops(DataSettings((SourceSettings(path, "shards"),), open_shards=together, workers=1))


def test_shards_have_the_crops_of_the_source(record: Path, made: str) -> None:
    before, after = Crops(DataSettings((SourceSettings(str(record)),))), crops_of(made)
    assert len(after) == len(before) == PEOPLE * SHOTS and after.classes == PEOPLE
    assert np.bincount(after.shards).tolist() == [EACH] * 6 + [6]

    def keyed(crops: Crops) -> list[tuple[int, bytes]]:
        return sorted((int(label), crops.crop(i).tobytes()) for i, label in enumerate(crops.labels))

    assert keyed(before) == keyed(after)
    assert len(set(after.labels[after.shards == 0].tolist())) > 3  # people are spread over the shards
    files = sorted(Path(made).parent.glob("faces-*"))
    assert len(files) == 14 and all(file.stat().st_mode & 0o777 == 0o600 for file in files)


def test_others_tars_and_records_get_an_index(tmp_path: Path, record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tarfile.open(tmp_path / "x-0.tar", "w") as tar:
        for name, data in (("b.json", b'{"label": 4}'), ("b.png", png(4, 0)), ("a/c.png", png(2, 1)), ("a/c.cls", b"2\n"), ("d.png", png(0, 0))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (tmp_path / "x-1.rec").write_bytes(record.read_bytes())
    with refused("shard", "x-0.tsv", "shards index"):
        crops_of(f"{tmp_path}/x-*.tar")
    assert main(["shards", "index", f"{tmp_path}/x-*.tar"]) == main(["shards", "index", f"{tmp_path}/x-1.rec"]) == 0
    assert "3 crops of 3 identities" in capsys.readouterr().out
    tar, rec = shards.ShardReader(f"{tmp_path}/x-0.tar", 1), crops_of(f"{tmp_path}/x-1.rec")
    assert tar.labels.tolist() == [4, 2, -1]
    assert [tar.encoded(i) for i in range(3)] == [png(4, 0), png(2, 1), png(0, 0)]
    whole = Crops(DataSettings((SourceSettings(str(record)),)))
    assert rec.labels.tolist() == whole.labels.tolist()
    assert all(np.array_equal(rec.crop(i), whole.crop(i)) for i in range(len(whole)))


def test_each_process_reads_shards_of_its_own_in_an_order_of_the_seed(made: str) -> None:
    crops = crops_of(made)
    numbers = np.arange(len(crops))

    def lists(epoch: int, seed: int = 1) -> list[list[np.ndarray]]:
        batches = sampler.streamed(numbers, crops.shards, 8, 2, 2, seed, epoch)
        return [sampler.shard(batches, rank, 2) for rank in (0, 1)]

    first = lists(0)
    for part in first:
        read = crops.shards[np.concatenate(part)]
        seen = [np.flatnonzero(read == one) for one in np.unique(read)]
        assert all(len(at) <= EACH for at in seen)
        assert all(at[-1] - at[0] < 2 * EACH for at in seen)  # a shard is read within two shards' crops
        assert all(len(batch) == 4 for batch in part)
    mine, others = (set(np.concatenate(part).tolist()) for part in first)
    assert not mine & others and len(mine | others) == sum(len(batch) for part in first for batch in part)
    assert not {int(one) for one in crops.shards[list(mine)]} & {int(one) for one in crops.shards[list(others)]}
    assert [list(batch) for batch in first[0]] == [list(batch) for batch in lists(0)[0]]
    assert [list(batch) for batch in first[0]] != [list(batch) for batch in lists(1)[0]]
    assert [list(batch) for batch in first[0]] != [list(batch) for batch in lists(0, seed=2)[0]]
    with refused("sampler", "7 shards for 8 processes"):
        sampler.streamed(numbers, crops.shards, 8, 2, 8, 1, 0)


def test_a_shard_is_fetched_once_and_in_the_middle_only_the_rest(made: str, fetched: list[str]) -> None:
    lists = sampler.streamed(np.arange(54), crops_of(made).shards, 4, 2, 1, 3, 0)
    for start in (0, 9):
        fetched.clear()
        crops = crops_of(made)
        batches = list(Loader(crops, DataSettings(workers=1, ahead=1), None, 0).batches(lists, 0, start))
        needed = crops.shards[np.concatenate(lists[start:])]
        order = [int(one) for one in needed[np.sort(np.unique(needed, return_index=True)[1])]]
        assert [torch.equal(batch.index, torch.from_numpy(numbers)) for batch, numbers in zip(batches, lists[start:], strict=True)] == [True] * len(batches)
        assert sorted(fetched) == sorted(f"{made[: made.index('{')]}{one:06d}.tar" for one in order)
        assert start == 0 or len(fetched) < 7


def test_a_run_goes_on_in_the_middle_bit_for_bit(made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = tmp_path / "people"
    for person in range(3):
        (people / str(person)).mkdir(parents=True)
        for shot in range(3):
            (people / str(person) / f"{shot}.png").write_bytes(png(50 + person, shot))
    recipe = functools.partial(
        small, f"data.sources = [{{ kind = 'shards', path = '{made}' }}]", f"data.validation = '{people}'", "schedule.steps = 12", "data.open_shards = 2"
    )
    for name, kind in (("whole", Tiny), ("cut", Asked)):
        monkeypatch.setitem(backbones.BACKBONES, "tiny", kind)
        (tmp_path / name).mkdir()
        train(recipe(), tmp_path / name)
    state = checkpoint.load(tmp_path / "cut" / "last.pt")
    assert (state["step"], state["epoch"], state["batch"]) == (7, 1, 1)  # within an epoch of six batches
    monkeypatch.setitem(backbones.BACKBONES, "tiny", Tiny)
    train(recipe(), tmp_path / "cut", resume=True)
    expected, got = (weights(tmp_path / name / "last.pt") for name in ("whole", "cut"))
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    with refused("data", "data.validation"):
        train(recipe("data.validation = ''"), tmp_path)
    with refused("sampler", "'people'"):
        train(recipe("sampler.kind = 'people'"), tmp_path)


def test_a_torn_shard_costs_its_crops(record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(record, str(tmp_path / "faces"))
    whole = crops_of(path)
    torn = tmp_path / "faces-000002.tar"
    data = torn.read_bytes()
    torn.write_bytes(data[: len(data) // 2])
    capsys.readouterr()

    crops = crops_of(path)  # torn before the start
    lost = len(whole) - len(crops)
    assert 0 < lost < EACH
    assert f"faces-000002.tar is torn: {lost} of its 8 crops are not used" in capsys.readouterr().err
    assert all(crops.crop(i) is not None for i in range(len(crops)))

    (tmp_path / "faces-000004.tar").unlink()  # and one that is lost during a run, with the end of another: two damages, whatever their crops
    read = [whole.crop(i) is not None for i in range(len(whole))]
    assert read.count(False) == lost + EACH
    assert len(whole.corruption.names) == 2 and "faces-000004.tar does not exist" in " ".join(whole.corruption.names)
    assert capsys.readouterr().err.count("warning") == 2


def test_shards_in_memory_and_a_storage_that_fails(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(record, "memory://bucket/faces")
    crops = crops_of("memory://bucket/faces-*.tar")
    assert len(crops) == 54 and crops.name(0) == "memory:///bucket/faces-000000.tar: crop 0"
    monkeypatch.setattr(shards, "PAUSES_SECONDS", (0.0, 0.0))
    storage = type(fsspec.filesystem("memory"))
    plain, tries = storage.cat_file, iter([OSError("reset"), TimeoutError(), None])

    def shaky(self: object, name: str) -> bytes:
        failure = next(tries, OSError("down"))
        if failure:
            raise failure
        return plain(self, name)

    monkeypatch.setattr(storage, "cat_file", shaky)
    assert crops.crop(0) is not None  # at the third try
    with refused("shard", "faces-00000", "--resume"):
        [crops.crop(i) for i in range(len(crops))]
    monkeypatch.undo()
    assert len(crops_of(path)) == 54


@pytest.fixture
def server(made: str) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(Path(made).parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_shards_come_over_http(server: str, made: str) -> None:
    pytest.importorskip("aiohttp")
    local, remote = crops_of(made), crops_of(f"{server}/faces-{{000000..000006}}.tar")
    assert all(np.array_equal(local.crop(i), remote.crop(i)) for i in range(0, len(local), 5))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere/*.tar", ("nowhere", "shards write")),
        ("nowhere/a.tar", ("a.tsv", "shards index")),
        ("quill://bucket/a.tar", ("quill", "fsspec")),
    ],
)
def test_what_is_not_there_is_told(path: str, words: tuple[str, ...]) -> None:
    with refused("shard", *words):
        crops_of(path)


def test_shards_go_with_shards_alone(made: str) -> None:
    with refused("data", "shards write"):
        Crops(DataSettings((SourceSettings(made, "shards"), SourceSettings("4 x 4", "drawn"))))
