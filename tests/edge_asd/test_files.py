"""A file is replaced whole or not at all."""

import os
import subprocess
import sys
import time

import pytest
from brokers import PATIENCE_S

from edge_asd.errors import StorageError
from edge_asd.files import replace_file


def test_a_file_is_written_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "file.json"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_an_old_file_survives_when_the_new_one_cannot_be_written(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / ".file.tmp").mkdir()  # the place it is written to is taken
    with pytest.raises(StorageError, match=r"file: cannot be written: .*; free space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_full_disk_is_a_storage_error_and_leaves_no_litter(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    script = """
import resource, sys
from pathlib import Path
from edge_asd.errors import StorageError
from edge_asd.files import replace_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    replace_file(Path(sys.argv[1]), bytes(5000))
except StorageError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )
    assert "cannot be written: File too large" in done.stdout
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_target_that_is_a_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(StorageError):
        replace_file(tmp_path / "file", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_readers_never_see_half_a_file_though_the_writer_is_killed(tmp_path):
    path = tmp_path / "file"
    script = """
import sys
from pathlib import Path
from edge_asd.files import replace_file
n = 0
while True:
    n = (n + 1) % 10
    replace_file(Path(sys.argv[1]), str(n).encode() * 300_000)
"""
    for _ in range(2):
        writer = subprocess.Popen([sys.executable, "-c", script, path])
        deadline = time.monotonic() + PATIENCE_S
        seen = set()
        while len(seen) < 3 and time.monotonic() < deadline:
            data = path.read_bytes() if path.exists() else b"0" * 300_000
            assert len(data) == 300_000
            assert len(set(data)) == 1
            seen.add(data[0])
        os.kill(writer.pid, 9)
        writer.wait()
        assert len(seen) == 3
        assert len(set(path.read_bytes())) == 1
