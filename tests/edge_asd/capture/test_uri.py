"""A source's text is understood completely or refused with the remedy, without opening anything."""

from __future__ import annotations

import pytest

from edge_asd.capture import AlsaUri, ExecUri, FileUri, SimUri, parse_source
from edge_asd.errors import ConfigError


def test_file_defaults_read_as_fast_as_possible_and_end():
    uri = parse_source("file:/data/pump.wav")
    assert uri == FileUri("file:/data/pump.wav", "/data/pump.wav")
    assert (uri.speed, uri.finite, uri.live) == (None, True, False)


@pytest.mark.parametrize(("text", "speed"), [("1", 1.0), ("4", 4.0), ("0.5", 0.5), ("max", None)])
def test_file_speed_is_a_positive_number_or_max(text, speed):
    assert parse_source(f"file:a.wav?speed={text}").speed == speed


@pytest.mark.parametrize("text", ["loop", "loop=1", "loop&speed=max"])
def test_looping_files_never_end(text):
    assert parse_source(f"file:a.wav?{text}").finite is False


def test_loop_may_be_written_off():
    assert parse_source("file:a.wav?loop=0").finite is True


def test_question_marks_and_percent_signs_in_file_names_are_reachable():
    assert parse_source("file:what%3F 100%25.wav?gaps=clip") == FileUri(
        "file:what%3F 100%25.wav?gaps=clip", "what? 100%.wav", gap_per_clip=True
    )


def test_sim_times_and_units_arrive_where_they_belong():
    text = (
        "sim:pump?unit=3&seed=4&fault=cavitation&severity=0.5&onset=6&ramp=7&clear=80&off=20-26"
        "&seconds=90&snr=10&level=-20&speed=max&rate=48000"
    )
    uri = parse_source(text)
    assert uri == SimUri(
        text=text,
        kind="pump",
        unit=3,
        seed=4,
        fault="cavitation",
        severity=0.5,
        onset_s=6.0,
        ramp_s=7.0,
        clear_s=80.0,
        off_s=(20.0, 26.0),
        seconds=90.0,
        snr_db=10.0,
        level_dbfs=-20.0,
        speed=None,
        rate=48000,
    )
    assert (uri.finite, uri.live) == (True, False)


def test_a_simulated_machine_runs_at_its_own_pace_for_ever_by_default():
    uri = parse_source("sim:fan")
    assert (uri.speed, uri.finite, uri.live) == (1.0, False, True)


def test_exec_splits_the_command_without_a_shell():
    uri = parse_source("exec:arecord -D 'my card' -t raw?rate=48000&channels=2&format=s24le")
    assert uri == ExecUri(
        "exec:arecord -D 'my card' -t raw?rate=48000&channels=2&format=s24le",
        ("arecord", "-D", "my card", "-t", "raw"),
        48000,
        2,
        "s24le",
    )
    assert (uri.finite, uri.live) == (False, True)


@pytest.mark.parametrize(
    ("text", "last", "rate"),
    [
        ("exec:ffmpeg -i http://cam/a?token=1", "http://cam/a?token=1", 16000),
        ("exec:ffmpeg -i http://cam/a?token=1?rate=8000", "http://cam/a?token=1", 8000),
        ("exec:ffmpeg -i http://cam/a?format=mp3", "http://cam/a?format=mp3", 16000),
        ("exec:ffmpeg -i http://cam/a?rate=8000?", "http://cam/a?rate=8000", 16000),
    ],
)
def test_exec_options_are_what_follows_the_last_question_mark_if_it_reads_as_options(
    text, last, rate
):
    uri = parse_source(text)
    assert (uri.command[-1], uri.rate) == (last, rate)


def test_alsa_name_may_be_empty_or_hold_commas_and_equal_signs():
    assert parse_source("alsa:") == AlsaUri("alsa:", "")
    uri = parse_source("alsa:hw:CARD=USB,DEV=0?rate=48000&channels=4")
    assert (uri.name, uri.rate, uri.channels) == ("hw:CARD=USB,DEV=0", 48000, 4)
    assert (uri.finite, uri.live) == (False, True)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("pump.wav", "write file:pump.wav"),
        ("", "known: alsa:, file:, exec:, sim:"),
        ("fiel:pump.wav", "did you mean file:?"),
        ("mic:usb", "known: alsa:, file:, exec:, sim:"),
        ("file:", "no path; write file:"),
        ("file:?loop", "no path; write file:"),
        ("file:a.wav?sped=2", "did you mean 'speed'?"),
        ("file:what?.wav", "a '?' in the file name is written %3F"),
        ("file:a.wav?speed=0", "max or a number above 0 is right"),
        ("file:a.wav?speed=inf", "max or a number above 0 is right"),
        ("file:a.wav?loop=maybe", "1 or 0 is right"),
        ("file:a.wav?gaps=all", "clip is right"),
        ("file:a.wav?loop&loop", "given twice"),
        ("sim:", "no machine; known: "),
        ("sim:toaster", "pump"),
        ("sim:pump?fault=rust", "it has: "),
        ("sim:pump?onset=5", "onset needs fault=NAME"),
        ("sim:pump?off=30-20", "two rising times"),
        ("sim:pump?rate=44100", "multiple of 1000"),
        ("sim:pump?severity=2&fault=cavitation", "a number from 0 to 1 is right"),
        ("sim:pump?fault=cavitation&onset=60&clear=10", "before onset"),
        ("exec:", "no command"),
        ("exec:?rate=8000", "no command"),
        ("exec:echo 'a", "check the quotes"),
        ("exec:arecord?rate=48k", "a whole number from"),
        ("alsa:USB?rate=abc", "a whole number from"),
        ("alsa:USB?channels=0", "a whole number from 1"),
        ("alsa:USB?format=s16le", "known: rate=48000 & channels=1"),
    ],
)
def test_a_wrong_text_is_refused_in_one_line_with_the_remedy(text, remedy):
    with pytest.raises(ConfigError) as caught:
        parse_source(text)
    assert remedy in str(caught.value)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)
