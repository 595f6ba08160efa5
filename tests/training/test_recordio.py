from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from tests.refused import refused
from training.recordio import Record, RecordFile, write_records


def test_reads_a_file_laid_out_by_hand(tmp_path: Path) -> None:
    def framed(payload: bytes) -> bytes:
        return struct.pack("<II", 0xCED7230A, len(payload)) + payload + b"\0" * (-len(payload) % 4)

    header = framed(struct.pack("<IfQQ", 2, 0.0, 0, 0) + np.array([3.0, 4.0], "<f4").tobytes())
    first = framed(struct.pack("<IfQQ", 0, 7.0, 1, 0) + b"seven")
    second = framed(struct.pack("<IfQQ", 2, 0.0, 2, 0) + np.array([9.0, 1.5], "<f4").tobytes() + b"nine")
    identity = framed(struct.pack("<IfQQ", 2, 0.0, 3, 0) + np.array([1.0, 3.0], "<f4").tobytes())
    offsets = np.cumsum([0, len(header), len(first), len(second)])
    (tmp_path / "x.rec").write_bytes(header + first + second + identity)
    (tmp_path / "x.idx").write_text("".join(f"{k}\t{o}\n" for k, o in enumerate(offsets)))
    with RecordFile(tmp_path / "x.rec") as file:
        assert file.keys == [1, 2]  # neither the header nor the identity's record
        assert (file.record(1).label, file.record(1).payload) == (7, b"seven")
        assert (file.record(2).labels, file.record(2).payload) == ((9.0, 1.5), b"nine")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    records = [(0, Record((3.0, 3.0), b"")), (1, Record((5.0,), b"abc")), (2, Record((6.0, 0.25), b"defg"))]
    write_records(tmp_path / "x.rec", records)
    with RecordFile(tmp_path / "x.rec") as file:
        assert [file.record(key) for key, _ in records] == [record for _, record in records]


def test_damage_is_named(tmp_path: Path) -> None:
    write_records(tmp_path / "x.rec", [(0, Record((2.0, 2.0), b"")), (1, Record((5.0,), b"abc"))])
    data = bytearray((tmp_path / "x.rec").read_bytes())
    data[-36] ^= 255  # the second magic number
    (tmp_path / "x.rec").write_bytes(data)
    with RecordFile(tmp_path / "x.rec") as file, refused("record", "record 1"):
        file.record(1)


def test_shared_set(shared: Path) -> None:
    with RecordFile(shared / "faces" / "train.rec") as file:
        assert len(file.keys) == 50300
        assert file.record(50300).payload[:4] == b"RIFF"
