"""``edge-asd devices``: microphones that can be opened."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Sequence

import click

from edge_asd.capture.cards import read_cards
from edge_asd.capture.catalogue import InputEntry, find_input, list_inputs
from edge_asd.capture.probe import ChannelLevel, Probe, probe
from edge_asd.capture.uri import AlsaUri, parse_source
from edge_asd.cli.options import json_option
from edge_asd.errors import CaptureError, UsageError

_MOST_CHANNELS = 8
_NONE = (
    "no inputs found; plug in a microphone, start its sound server if it has one, and check that "
    "your user is in group audio"
)


@click.command("devices")
@click.option(
    "--probe",
    "probed",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[NAME]",
    help="Listen to each input, or to this one, for a second and show how loud it is.",
)
@json_option
def command(*, probed: str | None, as_json: bool) -> None:
    r"""List the inputs that a monitor can listen to.

    The first line of each is what to write as a monitor's source. For a sound card it names the
    card, not its number, which changes; a USB microphone may be named by serial number or by the
    socket it is plugged into as well.

    \b
    Example:
        edge-asd devices
        edge-asd devices --probe
        edge-asd devices --probe hw:CARD=Device
        edge-asd devices --json
    """
    name = _name(probed) if probed else None
    entries = list_inputs()
    if name is not None:
        entries = [find_input(name, entries, read_cards())]
    results = _probe_all(entries) if probed is not None else ((entry, None) for entry in entries)
    shown = _show_json(results) if as_json else _show(results)
    if not shown and not as_json:
        click.echo(_NONE)
    if name is not None and shown[0] is not None and shown[0].error:
        raise CaptureError(shown[0].error)


def _show(results: Iterable[tuple[InputEntry, Probe | None]]) -> list[Probe | None]:
    """Each as soon as it is known."""
    shown = []
    for entry, result in results:
        click.echo("\n    ".join(_lines(entry, result)))
        shown.append(result)
    return shown


def _show_json(results: Iterable[tuple[InputEntry, Probe | None]]) -> list[Probe | None]:
    known = list(results)
    click.echo(json.dumps([_record(entry, result) for entry, result in known]))
    return [result for _, result in known]


def _name(text: str) -> str:
    """As behind ``alsa:``, which may be there."""
    uri = parse_source(text) if text.startswith(("file:", "exec:", "sim:", "alsa:")) else None
    if uri is not None and not isinstance(uri, AlsaUri):
        raise UsageError(f"--probe {text}: only microphones can be probed; see: edge-asd devices")
    return uri.name if uri is not None else text


def _probe_all(entries: Sequence[InputEntry]) -> Iterator[tuple[InputEntry, Probe]]:
    """One after the other: two inputs may share a sound card that opens only once."""
    for at, entry in enumerate(entries):
        if sys.stderr.isatty():
            click.echo(
                f"\r\033[Klistening {at + 1}/{len(entries)}: {entry.source}", nl=False, err=True
            )
        uri = AlsaUri(text=entry.source, name=entry.source.partition(":")[2])
        # What ALSA's configuration made claims any number of channels.
        channels = min(entry.channels, _MOST_CHANNELS) if entry.card else 1
        result = probe(uri, channels=max(1, channels))
        if sys.stderr.isatty():
            click.echo("\r\033[K", nl=False, err=True)
        yield entry, result


def _record(entry: InputEntry, result: Probe | None) -> dict[str, object]:
    record = dataclasses.asdict(entry)
    if result is not None:
        record["probe"] = dataclasses.asdict(result)
    return record


def _lines(entry: InputEntry, result: Probe | None) -> Iterator[str]:
    yield entry.source + ("    (the default)" if entry.is_default else "")
    if entry.description != entry.name:
        yield entry.description
    yield _abilities(entry)
    if entry.vendor_product:
        yield _usb(entry)
    if entry.remark:
        yield f"now: {entry.remark}"
    if result is not None:
        yield from _heard(entry, result)


def _abilities(entry: InputEntry) -> str:
    if not entry.card:
        return f"{entry.host_api}; any rate, converted; its own is seen when it is opened (--probe)"
    channels = f"{entry.channels} channel{'s' if entry.channels != 1 else ''}"
    native = f"{entry.native_rate} Hz" if entry.native_rate else ""
    others = [str(rate) for rate in entry.rates if rate != entry.native_rate]
    rates = f"{native} (also {', '.join(others)})" if native and others else native
    return "; ".join(filter(None, (channels, rates, " ".join(entry.formats), entry.host_api)))


def _usb(entry: InputEntry) -> str:
    serial = f"serial {entry.serial}" if entry.serial else "no serial number"
    by_serial = f"alsa:usb:{entry.serial} or " if entry.serial else ""
    return (
        f"USB {entry.vendor_product}, {serial}; also {by_serial}alsa:usb:{entry.usb_path} "
        f"or alsa:usb:{entry.usb_port}"
    )


def _heard(entry: InputEntry, result: Probe) -> Iterator[str]:
    if result.error:
        yield f"cannot be listened to: {result.error}"
        return
    is_it = f"; is {result.identity}" if result.identity not in {entry.identity, entry.name} else ""
    yield f"opened at {result.rate} Hz, {result.format}, {result.opened_channels} ch{is_it}"
    if result.note:
        yield f"note: {result.note}"
    for at, channel in enumerate(result.channels):
        which = f"channel {at}: " if len(result.channels) > 1 else ""
        yield which + _level(channel)


def _level(channel: ChannelLevel) -> str:
    dc = f"DC {100.0 * channel.dc:+.2f} %"
    if channel.digital_silence:
        return f"DIGITAL SILENCE: every sample is the same ({dc}); muted, or nothing behind it?"
    clipped = f"clipped {100.0 * channel.clipped_ratio:.2f} %"
    return (
        f"level {_db(channel.level_dbfs)}, peak {_db(channel.peak_dbfs)}, "
        f"noise {_db(channel.noise_dbfs)}, {dc}, {clipped}"
    )


def _db(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} dBFS"
