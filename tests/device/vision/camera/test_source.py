"""Clips, pictures and folders give every frame in order, the same each time; a source that cannot be opened is refused with the reason."""

from __future__ import annotations

import logging
import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import CameraSettings
from device.vision.camera.files import Clip, open_file
from device.vision.camera.source import Frame, default_source, open_source
from tests.refused import refused

SETTINGS = CameraSettings()
FRAMES, RATE = 30, 10.0


def grey(index: int) -> NDArray[np.uint8]:
    return np.full((120, 160, 3), 20 + 7 * index, np.uint8)


def clip(path: Path, fourcc: str = "MJPG") -> Path:
    """A clip whose frame numbers can be read from their grey level."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), RATE, (160, 120))
    for index in range(FRAMES):
        writer.write(grey(index))
    writer.release()
    return path


def frames(source: Path | str, start: float = 1000.0) -> list[Frame]:
    with open_source(str(source), SETTINGS, start=start) as opened:
        assert not opened.live
        return list(opened)


@pytest.mark.parametrize(("name", "fourcc"), [("a.avi", "MJPG"), ("a.mkv", "MJPG"), ("a.mp4", "mp4v")])
def test_every_frame_in_order_with_its_time(tmp_path: Path, name: str, fourcc: str) -> None:
    got = frames(clip(tmp_path / name, fourcc))
    assert [round((f.image.mean() - 20) / 7) for f in got] == list(range(FRAMES))
    assert [f.index for f in got] == list(range(FRAMES))
    assert [f.time for f in got] == pytest.approx([1000 + i / RATE for i in range(FRAMES)])


def test_a_recorder_that_pauses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The time of a frame is its own time stamp: two visits ten minutes apart are two."""
    recording = cv2.Animation()
    recording.frames = [grey(index) for index in range(6)]
    recording.durations = [100, 100, 600_000, 100, 100, 100]  # ms
    path = tmp_path / "pause.gif"
    assert cv2.imwriteanimation(str(path), recording)
    with caplog.at_level(logging.WARNING):
        got = frames(path)
    assert [round(f.time - 1000, 3) for f in got] == [0.0, 0.1, 0.2, 600.2, 600.3, 600.4] and "ends early" not in caplog.text


def test_time_stamps_that_jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause of hours is one; a stamp that goes back, or years ahead, is not the time of its frame."""
    with open_file(clip(tmp_path / "a.avi"), 0.0, RATE) as opened:
        assert isinstance(opened, Clip)
        picture = opened._first
        stamps = iter([100.0, 3_600_000.0, 50.0, 4e12, 4e12 + 100])
        monkeypatch.setattr(opened, "_read", lambda: (picture, stamp) if (stamp := next(stamps, None)) is not None else None)
        assert [round(frame.time, 3) for frame in opened] == [0.0, 0.1, 3600.0, 3600.1, 3600.2, 3600.3]


@pytest.mark.parametrize(("degrees", "corner"), [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_a_clip_is_played_the_way_up_that_its_container_states(tmp_path: Path, degrees: int, corner: tuple[int, int]) -> None:
    """A phone held upright writes a wide picture and the turn beside it: the matrix of the track header (ISO/IEC 14496-12, 8.3.2), here put in by hand."""
    path = tmp_path / "phone.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (160, 120))
    image = np.zeros((120, 160, 3), np.uint8)
    image[:40, :40] = 255
    for _ in range(5):
        writer.write(image)
    writer.release()
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # version and flags, times, track, duration, layer and volume stand before it in version 0
    cos, sin = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    assert struct.unpack_from(">9i", data, matrix) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, matrix, cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    got = frames(path)
    assert len(got) == 5 and got[0].image.shape == ((120, 160, 3) if degrees % 180 == 0 else (160, 120, 3))
    row, column = (10 if place == 0 else -10 for place in corner)
    assert got[-1].image[row, column].min() > 200 and (got[-1].image > 128).mean() < 0.15


def test_a_clip_gives_the_same_frames_each_time(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.avi")
    first, second = frames(path), frames(path)
    assert all(np.array_equal(a.image, b.image) and a.time == b.time for a, b in zip(first, second, strict=True))


def test_a_clip_may_be_closed_while_its_decoder_is_ahead(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (1280, 960))
    for index in range(FRAMES):
        writer.write(np.full((960, 1280, 3), index, np.uint8))
    writer.release()
    for _ in range(10):
        with open_source(str(path), SETTINGS) as opened:
            iterator = iter(opened)
            next(iterator)
        with pytest.raises(StopIteration):
            for _ in range(FRAMES + 1):
                next(iterator)


def test_clip_that_ends_mid_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = clip(tmp_path / "a.mkv")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with caplog.at_level(logging.WARNING):
        got = frames(path)
    assert FRAMES / 3 < len(got) < FRAMES
    assert [round((f.image.mean() - 20) / 7) for f in got[:-1]] == list(range(len(got) - 1))  # the last may be incomplete
    if "ends early" not in caplog.text:
        with open_source(str(path), SETTINGS) as source:
            assert source.announced <= len(got) + 2  # type: ignore[attr-defined]  # the container stated no more


def test_shared_clip_that_ends_mid_frame(shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "again.mkv"
    data = (shared / "clips" / "again.mkv").read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with caplog.at_level(logging.WARNING):
        got = frames(path)
    assert 30 <= len(got) <= 50
    assert "ends early" in caplog.text


@pytest.mark.parametrize(
    ("name", "count", "shape"),
    [("eat.mkv", 47, (480, 640, 3)), ("head-pose-face-detection-male.gif", 62, (270, 480, 3)), ("short_hamilton_clip.mp4", 275, (360, 640, 3))],
)
def test_shared_clips(shared: Path, name: str, count: int, shape: tuple[int, ...]) -> None:
    got = frames(shared / "clips" / name)
    assert len(got) == count
    assert {f.image.shape for f in got} == {shape}


@pytest.mark.parametrize("content", [b"", b"hello\n" * 500, bytes(5000)])
def test_a_file_without_a_clip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.mp4"
    path.write_bytes(content)
    with refused("camera.no_picture", "text.mp4"):
        open_source(str(path), SETTINGS)


def test_folder_in_order_of_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for index in (2, 0, 1):
        cv2.imwrite(str(tmp_path / f"{index}.png"), grey(index))
    (tmp_path / "1b.jpg").write_text("not a picture")
    (tmp_path / "notes.txt").write_text("not a picture, by its name either")
    with caplog.at_level(logging.WARNING):
        got = frames(tmp_path)
    assert [f.name for f in got] == ["0.png", "1.png", "2.png"]
    assert all(np.array_equal(f.image, grey(i)) for i, f in enumerate(got))
    assert [f.time for f in got] == sorted({f.time for f in got})
    assert "1b.jpg" in caplog.text


def test_single_picture(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "me.png"), grey(3))
    (only,) = frames(tmp_path / "me.png")
    assert (only.name, only.time, only.index, only.live) == ("me.png", 1000.0, 0, False)


def test_folder_without_a_readable_picture(tmp_path: Path) -> None:
    with refused("camera.no_picture", str(tmp_path)):
        open_source(str(tmp_path), SETTINGS)
    (tmp_path / "a.jpg").write_bytes(b"")
    with refused("camera.no_picture", "none of 1"):
        frames(tmp_path)


@pytest.mark.parametrize(
    ("source", "code"),
    [("nothing.mp4", "missing"), ("rstp://cam/1", "stream"), ("file:///clip.mp4", "stream"), ("", "no_picture"), ("a\0b", "missing"),
     ("x" * 5000, "unreadable"), ("'; DROP TABLE punches; --", "missing")],
    ids=["name", "scheme", "file address", "empty", "zero byte", "long", "quotes"],
)  # fmt: skip
def test_no_such_file(source: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with refused(f"camera.{code}") as caught:
        open_source(source, SETTINGS)
    assert len(str(caught.value)) < 500


def test_file_named_like_a_camera_number(tmp_path: Path) -> None:
    shutil.copy(clip(tmp_path / "a.avi"), tmp_path / "7.avi")
    assert len(frames(tmp_path / "7.avi")) == FRAMES


def test_camera_that_does_not_exist(capfd: pytest.CaptureFixture[str]) -> None:
    with refused("camera.missing", "/dev/video97", "--source demo"):
        open_source("97", SETTINGS)
    assert capfd.readouterr().err == ""  # OpenCV's own messages do not appear


def test_once_is_refused_for_a_camera() -> None:
    with refused("camera.endless", "--once") as caught:
        open_source("rtsp://me:secret@127.0.0.1/stream", SETTINGS, once=True)
    assert "secret" not in str(caught.value)


def test_default_is_a_camera_or_the_demo(tmp_path: Path) -> None:
    assert default_source(tmp_path) == "demo"
    (tmp_path / "video4").touch()
    assert default_source(tmp_path) == str(tmp_path / "video4")
    (tmp_path / "video0").touch()
    assert default_source(tmp_path) == "0"


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)])
def test_a_frame_accepts_only_a_colour_picture(bad: NDArray[np.uint8]) -> None:
    with refused("camera.frame"):
        Frame(bad, 0.0, 0, live=False)


TURNS = [(0, False, (0, 0)), (90, False, (0, -1)), (180, False, (-1, -1)), (270, False, (-1, 0)), (90, True, (0, 0))]


@pytest.mark.parametrize(("rotate", "mirror", "corner"), TURNS)
@pytest.mark.parametrize("kind", ["clip", "picture", "folder", "demo"])
def test_every_source_is_turned_clockwise_and_then_mirrored(tmp_path: Path, kind: str, rotate: int, mirror: bool, corner: tuple[int, int]) -> None:
    """A bright patch in the upper left corner goes where a turn of the paper would carry it; the demo is compared with itself."""
    image = np.zeros((96, 160, 3), np.uint8)
    image[:24, :24] = 255
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures/a.png"), image)
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (160, 96))
    writer.write(image)
    writer.release()
    source = {"clip": tmp_path / "a.avi", "picture": tmp_path / "pictures/a.png", "folder": tmp_path / "pictures", "demo": "demo"}[kind]
    with open_source(str(source), CameraSettings(rotate=rotate, mirror=mirror), once=True, start=0.0) as opened:
        got = next(iter(opened)).image
    if kind == "demo":
        with open_source("demo", SETTINGS, once=True, start=0.0) as plain:
            expected = np.rot90(next(iter(plain)).image, -rotate // 90)
        assert np.array_equal(got, expected[:, ::-1] if mirror else expected)
    else:
        assert got.shape[:2] == ((160, 96) if rotate % 180 else (96, 160))
        assert got[corner[0], corner[1]].min() > 200 and sum(int(got[y, x].min() > 200) for y in (0, -1) for x in (0, -1)) == 1


def test_another_angle_is_refused() -> None:
    with refused("config.choice", "rotate = 45", "0, 90, 180, 270"):
        CameraSettings(rotate=45)
