"""A person sees where the sound differs, when it began and by how much, with any bundle."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.alerts import clip_of, noise, normal_of, tone
from support.tiny import tiny_fields

from edge_asd.bundle.manifest import Manifest
from edge_asd.evidence.colours import STEPS, difference_colours, level_colours
from edge_asd.evidence.compare import compare, hear
from edge_asd.evidence.page import HEIGHT, WIDTH, indexed, spaced
from edge_asd.evidence.picture import MAX_BYTES, Caption, draw_picture, layout
from edge_asd.evidence.plot import Box, frequency_row
from edge_asd.evidence.tap import Marks
from edge_asd.evidence.view import FrontEnd, front_end_of
from edge_asd.features import LogMelStatistics, StftMagnitude

RATE = 16_000
MANIFEST = Manifest.model_validate(tiny_fields() | {"schema": 1, "files": {}})
MEL, STFT = front_end_of(MANIFEST), FrontEnd(StftMagnitude(), RATE)
MARKS = Marks(2.0, 4.0, 7.0)
CAPTION = Caption("pump-1 sounds different", ("warning since today", "3 kHz: louder"))
BOTH = pytest.mark.parametrize("front_end", [MEL, STFT], ids=["mel", "stft"])


def drawn(samples, front_end=MEL, *, normal=True, marks=MARKS, caption=CAPTION, **changes):
    """(pixels (700, 1200, 3), layout, size of the file)."""
    clip = clip_of(samples, marks=marks, **changes)
    heard = hear(clip, front_end, MANIFEST, 0.0)
    windows = [noise(1.024, seed) for seed in range(20)]
    comparison = compare(heard, normal_of(front_end, windows), front_end) if normal else None
    png = draw_picture(heard, marks, comparison, front_end, caption)
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.size) == ("PNG", (WIDTH, HEIGHT))
    example = None if comparison is None else comparison.normal.example.duration_s
    places = layout(marks, heard.spectrogram.duration_s, example)
    return np.asarray(image.convert("RGB")).astype(int), places, len(png)


def with_tone(hz=3000.0):
    samples = noise(8.0, seed=99)
    samples[4 * RATE :] += tone(hz, 4.0)
    return samples


def cut(pixels, box, first=0.0, last=1.0):
    """The middle rows of a box between two shares of its width."""
    left = box.left + round(first * box.width)
    return pixels[box.top : box.bottom, left : box.left + round(last * box.width)]


@BOTH
def test_a_new_tone_is_bright_from_where_the_alert_begins_and_at_its_frequency(front_end):
    pixels, places, _ = drawn(with_tone(), front_end)
    row = frequency_row(front_end, places.alert, 3000.0) - places.alert.top
    before = cut(pixels, places.alert, 0.05, 0.45).mean(axis=(1, 2))
    after = cut(pixels, places.alert, 0.6, 0.8).mean(axis=(1, 2))
    assert int((after - before).argmax()) == pytest.approx(row, abs=3)
    assert abs(before[row] - np.median(before)) < 25


@BOTH
def test_a_new_tone_is_orange_in_the_difference_and_nothing_else_is(front_end):
    pixels, places, _ = drawn(with_tone(), front_end)
    box = places.difference
    orange = cut(pixels, box, 0.55, 0.7)[..., 0] - cut(pixels, box, 0.55, 0.7)[..., 2]
    row = frequency_row(front_end, box, 3000.0) - box.top
    assert int(orange.mean(axis=1).argmax()) == pytest.approx(row, abs=3)
    rows = np.flatnonzero(orange.mean(axis=1) > 60)
    assert len(rows)
    assert np.abs(rows - row).max() < 12


def test_what_is_missing_is_blue():
    samples = noise(8.0, seed=99)
    spectrum = np.fft.rfft(samples[4 * RATE :])
    hz = np.fft.rfftfreq(4 * RATE, 1 / RATE)
    spectrum[(hz > 2000) & (hz < 4000)] /= 10
    samples[4 * RATE :] = np.fft.irfft(spectrum)
    pixels, places, _ = drawn(samples)
    box = places.difference
    top, bottom = (frequency_row(MEL, box, f) for f in (3600.0, 2200.0))
    blue = pixels[top:bottom, box.left + round(0.6 * box.width) : box.right]
    assert (blue[..., 2] - blue[..., 0]).mean() > 50
    above = pixels[box.top : top - 30, box.left + round(0.6 * box.width) : box.right]
    assert abs(above[..., 2] - above[..., 0]).mean() < 30


def test_the_beginning_and_the_raising_are_marked_at_their_times():
    pixels, places, _ = drawn(noise(8.0, seed=99))
    begins, raised = places.time.pixel(0.0), places.time.pixel(3.0)
    box = places.alert
    assert begins == pytest.approx(box.left + box.width * 4.0 / 8.0, abs=2)
    white = (pixels[box.top : box.bottom, box.left : box.right].min(axis=2) >= 250).mean(axis=0)
    columns = box.left + np.flatnonzero(white > 0.4)
    assert {round(c / 4) for c in columns} <= {
        round(x / 4) + d for x in (begins, raised) for d in (-1, 0, 1)
    }
    assert white[begins - box.left] > 0.95  # solid
    assert 0.4 < white[raised - box.left] < 0.6  # dashed


def test_a_bar_shows_the_windows_that_the_alert_rests_on():
    pixels, places, _ = drawn(noise(8.0, seed=99), marks=Marks(1.0, 4.0, 7.0))
    bar = np.flatnonzero((pixels[places.alert.top - 3] == 95).all(axis=1))
    assert bar.min() == pytest.approx(places.time.pixel(-3.0), abs=1)
    assert bar.max() == pytest.approx(places.time.pixel(3.0), abs=6)  # below the mark


def test_both_spectrograms_have_the_same_colours_and_a_second_the_same_width():
    pixels, places, _ = drawn(noise(8.0, seed=99))
    assert places.normal_time.high == pytest.approx(1.024, abs=0.05)
    wide = layout(Marks(10.0, 20.0, 34.0), 44.0, 10.0)
    per_second = wide.normal.width / 10.0, wide.alert.width / 44.0
    assert per_second[0] == pytest.approx(per_second[1], rel=0.01)
    usual, now = (cut(pixels, box, 0.02, 0.45) for box in (places.normal, places.alert))
    assert usual.mean(axis=(0, 1)) == pytest.approx(now.mean(axis=(0, 1)), abs=6)


def test_a_very_long_clip_leaves_normal_sound_wide_enough_to_see():
    places = layout(Marks(100.0, 110.0, 124.0), 134.0, 1.0)
    assert places.normal.width == 150
    assert places.normal.right < places.alert.left
    assert places.normal.bottom == places.alert.bottom


def test_lost_audio_is_grey():
    samples = noise(8.0, seed=99)
    pixels, places, _ = drawn(samples, gaps=((RATE, 2 * RATE),))
    for box in (places.alert, places.difference):
        grey = cut(pixels, box, 1.2 / 8, 1.8 / 8)
        assert np.median(grey.reshape(-1, 3), axis=0).tolist() == [150, 150, 150]
        there = cut(pixels, box, 0.3 / 8, 0.8 / 8)
        assert (there != 150).any(axis=2).mean() > 0.9


def test_without_normal_sound_the_clip_has_the_sheet_for_itself():
    note = Caption("pump-1 sounds different", ("warning",), "nothing to compare with: no reservoir")
    pixels, places, _ = drawn(with_tone(), normal=False, caption=note)
    assert places.normal is None
    assert places.alert.height > 500
    row = frequency_row(MEL, places.alert, 3000.0) - places.alert.top
    after = cut(pixels, places.alert, 0.6, 0.8).mean(axis=(1, 2))
    assert int(after.argmax()) == pytest.approx(row, abs=4)
    foot = pixels[HEIGHT - 20 : HEIGHT - 4, :400]
    assert (foot < 100).any()  # the note


def test_the_colour_bars_are_the_maps_themselves_lighter_upwards():
    pixels, places, _ = drawn(noise(8.0))
    bar = pixels[places.alert.top + 2 : places.alert.bottom - 2, places.alert.right + 20]
    known = {tuple(colour) for colour in level_colours().tolist()}
    assert {tuple(colour) for colour in bar.tolist()} <= known
    assert bar[0].sum() > 600
    assert bar[-1].sum() < 200
    box = places.difference
    bar = pixels[box.top + 2 : box.bottom - 2, box.right + 20]
    assert {tuple(c) for c in bar.tolist()} <= {tuple(c) for c in difference_colours().tolist()}
    assert bar[0][0] > bar[0][2]  # louder is orange and up
    assert bar[-1][0] < bar[-1][2]


@pytest.mark.parametrize(
    ("front_end", "rate"),
    [
        (MEL, RATE),
        (STFT, RATE),
        (FrontEnd(LogMelStatistics(n_mels=512, f_max=24_000), 48_000), 48_000),
    ],
    ids=["mel", "stft", "mel-48k"],
)
def test_noise_that_no_file_can_squeeze_still_makes_a_small_one(front_end, rate):
    samples = noise(44.0, rate=rate)
    clip = clip_of(samples, rate, Marks(10.0, 20.0, 34.0))
    manifest = Manifest.model_validate(
        tiny_fields(sample_rate=rate, scorers=[{"kind": "level", "id": "level"}])
        | {"schema": 1, "files": {}}
    )
    heard = hear(clip, front_end, manifest, 0.0)
    windows = [noise(10.0, seed, rate) for seed in range(2)]
    comparison = compare(heard, normal_of(front_end, windows), front_end)
    assert len(draw_picture(heard, clip.marks, comparison, front_end, CAPTION)) <= MAX_BYTES
    assert len(draw_picture(heard, clip.marks, None, front_end, CAPTION)) <= MAX_BYTES


def test_names_the_font_does_not_have_do_not_prevent_a_picture():
    pixels, _, _ = drawn(noise(8.0), caption=Caption("泵-1 klingt ≥ anders", ("Größe: 3 µm",)))
    assert pixels.shape == (HEIGHT, WIDTH, 3)


def test_a_clip_of_a_tenth_of_a_second_can_be_drawn():
    pixels, _, _ = drawn(noise(0.1), marks=Marks(-3.0, -1.0, 0.05))
    assert pixels.shape == (HEIGHT, WIDTH, 3)


def test_digital_silence_can_be_drawn():
    pixels, _, _ = drawn(np.zeros(8 * RATE, np.float32))
    assert pixels.shape == (HEIGHT, WIDTH, 3)


def test_the_same_alert_makes_the_same_file():
    clip = clip_of(noise(8.0), marks=MARKS)
    heard = hear(clip, MEL, MANIFEST, 0.0)
    first, second = (draw_picture(heard, MARKS, None, MEL, CAPTION) for _ in range(2))
    assert first == second


def test_few_colours_stay_as_they_are_and_many_are_replaced_by_near_ones():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, size=(50, 60, 3)).astype(np.uint8)
    few = pixels // 64 * 64
    assert (np.asarray(indexed(few).convert("RGB")) == few).all()
    ramp = level_colours()[None, np.arange(60) % STEPS]
    found = np.asarray(indexed(np.concatenate([pixels, ramp])).convert("RGB"))
    assert (found[50:] == ramp).all()
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 256
    greys = np.arange(300 * 3).reshape(1, 300, 3).astype(np.uint8)  # more than there is room for
    near = np.asarray(indexed(greys).convert("RGB")).astype(int)
    assert np.abs(near - greys).max() <= 130


@given(st.lists(st.floats(0, 300), max_size=5))
def test_labels_keep_their_order_cover_no_other_and_stay_inside(wanted):
    box = Box(0, 40, 100, 240)
    placed = spaced(sorted(wanted), box)
    assert len(placed) == len(wanted)
    assert all(40 + 9 <= y <= 240 - 9 for y in placed)
    assert (np.diff(placed) >= 19 - 1e-9).all()
    if len(wanted) == 1:
        assert placed == [min(max(wanted[0], 50), 230)]
