"""The normal audio a profile was learned from: contiguous pieces, bounded, true to 24 bit."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from support.sound import blocks_of

from edge_asd.errors import DataError, StorageError
from edge_asd.profile.reservoir import PIECE_S, PieceSource, PieceWriter, thin
from edge_asd.records import Block

RATE = 800  # low, so that minutes are small
PIECE = round(PIECE_S * RATE)


def noise(seconds, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=round(seconds * RATE)) / 10).astype(np.float32)


def write(folder, *stretches, budget_bytes=None, cuts=RATE):
    writer = PieceWriter(folder, RATE, budget_bytes=budget_bytes)
    for start, samples in stretches:
        for block in blocks_of(samples, range(cuts, len(samples), cuts), start):
            writer.push(block)
    writer.close()
    return writer


def read(folder):
    """{stream index: samples} of every contiguous stretch."""
    stretches, end = {}, None
    for block in PieceSource(folder).blocks():
        if block.start != end:
            first = block.start
            stretches[first] = []
        stretches[first].append(block.samples[:, 0])
        end = block.start + len(block.samples)
    return {start: np.concatenate(parts) for start, parts in stretches.items()}


@pytest.mark.parametrize("cuts", [100, RATE, 7 * RATE + 13, 200 * RATE])
def test_what_was_heard_comes_back_to_24_bit(tmp_path, cuts):
    samples = noise(150)
    writer = write(tmp_path / "r", (0, samples), cuts=cuts)
    assert writer.written_s == 150.0
    ((start, found),) = read(tmp_path / "r").items()
    assert start == 0
    assert len(found) == len(samples)
    assert np.abs(found - samples).max() <= 2.0**-23


def test_pieces_last_a_minute_and_are_named_by_their_place_in_the_stream(tmp_path):
    write(tmp_path / "r", (1000, noise(150)))
    names = sorted(int(path.stem) for path in (tmp_path / "r").iterdir())
    assert names == [1000, 1000 + PIECE, 1000 + 2 * PIECE]
    lengths = [soundfile.info(path).frames for path in sorted((tmp_path / "r").iterdir())]
    assert lengths == [PIECE, PIECE, PIECE // 2]


def test_gaps_are_kept(tmp_path):
    first, second = noise(70, 1), noise(65, 2)
    write(tmp_path / "r", (0, first), (len(first) + 5 * RATE, second))
    found = read(tmp_path / "r")
    assert list(found) == [0, len(first) + 5 * RATE]
    assert [len(samples) for samples in found.values()] == [len(first), len(second)]
    np.testing.assert_allclose(found[len(first) + 5 * RATE], second, atol=2.0**-23)


def test_only_the_monitors_channel_is_kept(tmp_path):
    writer = PieceWriter(tmp_path / "r", RATE, channel=1)
    stereo = np.stack([noise(2, 1), noise(2, 2)], axis=1)
    writer.push(Block(stereo, 0, 0.0))
    writer.close()
    np.testing.assert_allclose(read(tmp_path / "r")[0], stereo[:, 1], atol=2.0**-23)


def test_samples_beyond_full_scale_are_clipped_not_wrapped(tmp_path):
    write(tmp_path / "r", (0, np.asarray([2.0, -2.0, 0.5] * 100, np.float32)))
    found = read(tmp_path / "r")[0]
    assert found[0] > 0.999
    assert found[1] < -0.999
    assert found[2] == pytest.approx(0.5)


def test_what_an_interrupted_recording_left_is_removed(tmp_path):
    write(tmp_path / "r", (0, noise(130, 1)))
    write(tmp_path / "r", (7, noise(10, 2)))
    assert list(read(tmp_path / "r")) == [7]


@pytest.mark.parametrize("minutes", [9, 40])
def test_thinning_stays_below_the_budget_and_keeps_the_spread(tmp_path, minutes):
    one = write(tmp_path / "one", (0, noise(60)))
    size = sum(path.stat().st_size for path in one.folder.iterdir())
    budget = int(5.5 * size)
    write(tmp_path / "r", (0, noise(60 * minutes)), budget_bytes=budget)
    pieces = sorted((tmp_path / "r").iterdir())
    assert sum(path.stat().st_size for path in pieces) <= budget
    assert len(pieces) >= 3
    minutes_kept = [int(path.stem) // PIECE for path in pieces]
    assert minutes_kept[0] == 0
    assert minutes_kept[-1] == minutes - 1
    assert max(np.diff(minutes_kept)) <= 0.5 * minutes


def test_thinning_drops_no_more_than_it_must_and_keeps_both_ends(tmp_path):
    write(tmp_path / "r", (0, noise(8 * 60)))
    pieces = sorted((tmp_path / "r").iterdir())
    sizes = [path.stat().st_size for path in pieces]
    thin(tmp_path / "r", sum(sizes))
    assert sorted((tmp_path / "r").iterdir()) == pieces
    thin(tmp_path / "r", sum(sizes) - 1)
    kept = sorted((tmp_path / "r").iterdir())
    assert len(kept) == 7
    assert (kept[0], kept[-1]) == (pieces[0], pieces[-1])
    thin(tmp_path / "r", 1)
    assert sorted((tmp_path / "r").iterdir()) == pieces[:1]


def test_a_source_gives_the_rate_and_times_of_its_blocks(tmp_path):
    write(tmp_path / "r", (3 * RATE, noise(2.5)))
    source = PieceSource(tmp_path / "r")
    blocks = list(source.blocks())
    source.close()
    assert source.sample_rate == RATE
    assert [(block.start, len(block.samples)) for block in blocks] == [
        (3 * RATE, RATE),
        (4 * RATE, RATE),
        (5 * RATE, RATE // 2),
    ]
    assert blocks[1].captured_at == pytest.approx(4.0)
    assert [b.start for b in source.blocks()] == [b.start for b in blocks]  # and once more


def test_an_empty_folder_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="holds no recorded audio; enrol again"):
        PieceSource(tmp_path)


def test_a_damaged_piece_is_a_data_error_that_names_it(tmp_path):
    write(tmp_path / "r", (0, noise(130)))
    paths = sorted((tmp_path / "r").iterdir())
    paths[1].write_bytes(b"junk")
    with pytest.raises(DataError, match=paths[1].name):
        list(PieceSource(tmp_path / "r").blocks())
    paths[0].write_bytes(b"junk")
    with pytest.raises(DataError, match=paths[0].name):
        PieceSource(tmp_path / "r")


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="free space or correct the permissions"):
        PieceWriter(tmp_path / "file" / "r", RATE)


FILL = """
import sys
from pathlib import Path
import numpy as np
from edge_asd.errors import StorageError
from edge_asd.records import Block
from edge_asd.profile.reservoir import PieceWriter
if sys.argv[2] == "limit":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    writer = PieceWriter(Path(sys.argv[1]), 16_000)
    rng = np.random.default_rng(0)
    for second in range(130):
        samples = rng.normal(size=(16_000, 1)).astype(np.float32) / 10
        writer.push(Block(samples, second * 16_000, 0.0))
    writer.close()
except StorageError as error:
    print(error)
"""


def fill(folder, how):
    done = subprocess.run(
        [sys.executable, "-c", FILL, folder, how], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_a_file_that_cannot_grow_is_a_storage_error(tmp_path):
    assert "audio cannot be written" in fill(tmp_path / "r", "limit")


def test_a_full_disk_is_a_storage_error(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        assert "audio cannot be written" in fill(disk / "r", "disk")
    finally:
        subprocess.run(["umount", disk], check=True)
