"""A microphone is opened the best way that it really accepts, or refused with what was tried."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.capture.devices import InputDevice
from edge_asd.capture.negotiate import (
    BUFFER_S,
    FORMATS,
    RATES,
    open_input,
    rates_to_try,
    shorten_periods,
)
from edge_asd.errors import CaptureError

TYPES = ("int32", "float32", "int16")


class PortAudioError(Exception):
    """As sounddevice's."""


class Driver:
    """Accepts what it is told to; the rest fails when it is opened or only when it is started."""

    PortAudioError = PortAudioError

    def __init__(self, accepts, *, code=-9997, starts=lambda _: True):
        self.accepts, self.code, self.starts = accepts, code, starts
        self.tried, self.open = [], 0

    def RawInputStream(self, *, samplerate, channels, dtype, **_):  # noqa: N802 - sounddevice's name
        way = (samplerate, channels, dtype)
        self.tried.append(way)
        if not self.accepts(way):
            raise PortAudioError("Error opening", self.code, ("ALSA", -22, "Invalid argument"))
        self.open += 1
        return SimpleNamespace(
            start=lambda: self._start(way), abort=self._nothing, close=self._close
        )

    def _start(self, way):
        if not self.starts(way):
            raise PortAudioError("Error starting", -9999)

    def _nothing(self, **_):
        pass

    def _close(self, **_):
        self.open -= 1


def microphone(channels=2, default_rate=44_100):
    return InputDevice(0, "mic (hw:1,0)", "ALSA", channels, default_rate, is_default=False)


@given(
    st.sets(st.sampled_from(RATES)),
    st.sets(st.integers(1, 8)),
    st.sets(st.sampled_from(TYPES)),
    st.integers(1, 4),
    st.booleans(),
)
def test_the_first_way_that_works_is_taken_and_every_other_is_given_back(
    rates, counts, types, needed, late
):
    def fits(way):
        return way[0] in rates and way[1] in counts and way[2] in types

    driver = Driver((lambda _: True) if late else fits, starts=fits)
    # Odd numbers of channels are tried only where that many are needed or it is all there is.
    offered = {n for n in counts if n in {needed, 2, 4, 6, 8} and n >= needed}
    if not (rates and offered and types):
        with pytest.raises(CaptureError, match="tried"):
            open_input(driver, microphone(channels=8), RATES, needed)
        assert driver.open == 0
        return
    opened = open_input(driver, microphone(channels=8), RATES, needed)
    assert opened.rate == next(rate for rate in RATES if rate in rates)
    assert opened.channels == (needed if needed in offered else min(offered))
    assert opened.format == FORMATS[next(dtype for dtype in TYPES if dtype in types)]
    assert driver.open == 1
    opened.close()
    assert driver.open == 0


def test_the_rate_asked_for_comes_first_then_the_device_s_own_then_the_usual_ones():
    assert rates_to_try(16_000, microphone(default_rate=32_000))[:3] == (16_000, 32_000, 48_000)
    assert set(RATES) <= set(rates_to_try(16_000, microphone()))


def test_what_portaudio_calls_the_own_rate_of_everything_is_not_taken_for_one():
    assert rates_to_try(0, microphone(default_rate=44_100))[0] == 48_000
    assert rates_to_try(0, microphone(default_rate=11_025))[0] == 11_025


def test_a_microphone_that_opens_in_no_way_is_refused_once_with_everything_that_was_tried():
    with pytest.raises(CaptureError) as caught:
        open_input(Driver(lambda _: False), microphone(), (48_000, 16_000), 1)
    said = str(caught.value)
    for part in ("'mic (hw:1,0)'", "48000, 16000 Hz", "1, 2 channels", "int32, float32, int16"):
        assert part in said
    assert "Invalid argument" in said
    assert "\n" not in said


def test_a_busy_microphone_is_not_asked_again_and_again():
    driver = Driver(lambda _: False, code=-9985)
    with pytest.raises(CaptureError, match=r"busy or gone.*fuser"):
        open_input(driver, microphone(), RATES, 1)
    assert len(driver.tried) == 1


def test_a_driver_that_takes_its_time_to_refuse_is_not_asked_for_ever():
    now = iter(range(0, 1000, 6))
    driver = Driver(lambda _: False)
    with pytest.raises(CaptureError, match="cannot open"):
        open_input(driver, microphone(), RATES, 1, clock=lambda: next(now))
    assert len(driver.tried) == 2


@pytest.mark.parametrize("library", [{}, {"_libname": "/nonexistent.so"}, {"_libname": None}])
def test_a_portaudio_without_alsa_keeps_its_periods(library):
    before = SimpleNamespace(**library)
    shorten_periods(before)  # neither raises nor touches what it cannot use
    assert vars(before) == library


def test_the_driver_hands_audio_over_in_short_periods(monkeypatch):
    asked = []
    library = SimpleNamespace(PaAlsa_SetNumPeriods=asked.append)
    monkeypatch.setattr(ctypes, "CDLL", {"libportaudio.so.2": library}.__getitem__)
    shorten_periods(SimpleNamespace(_libname="libportaudio.so.2"))
    (periods,) = asked
    assert 0.02 <= BUFFER_S / periods <= 0.04
