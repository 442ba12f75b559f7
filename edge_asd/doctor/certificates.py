"""From when until when a certificate is valid, read from the file itself.

The standard library tells the dates of certificates it trusts, but not those of one's own; what it
takes to find them is a walk along a few DER elements.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge_asd.doctor.findings import Finding, failed, ok, warning

SOON_S = 30 * 86400.0
"""A certificate that ends within this is told of."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0
_CONFIG = 78


@dataclass(frozen=True, slots=True)
class Validity:
    """Wall times, seconds since 1970 UTC."""

    begins_s: float
    ends_s: float


def validities(path: Path) -> list[Validity]:
    """Of every certificate in a PEM file, in its order.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds none, or one that cannot be understood.
    """
    found = _PEM.findall(path.read_text(encoding="ascii"))
    if not found:
        raise ValueError("no certificate in it")
    return [validity_of(ssl.PEM_cert_to_DER_cert(text)) for text in found]


def validity_of(der: bytes) -> Validity:
    """Of one certificate.

    Raises:
        ValueError: It cannot be understood.

    Source: RFC 5280, section 4.1.
    """
    ((_, certificate),) = _elements(der, 1)
    ((_, to_be_signed),) = _elements(certificate, 1)
    fields = [(tag, body) for tag, body in _elements(to_be_signed, 6) if tag != _VERSION]
    tag, validity = fields[3]  # after the serial number, the signature's kind and the issuer
    if tag != _SEQUENCE:
        raise ValueError("not a certificate")
    begins, ends = (_time(*element) for element in _elements(validity, 2))
    return Validity(begins, ends)


def examine_dates(name: str, path: Path, now_s: float) -> Finding:
    """Say whether the certificates of a file are valid now, and for long enough.

    Args:
        name: Key of the configuration.
        path: PEM file; the first that is not valid any more decides.
        now_s: Wall time.
    """
    try:
        known = validities(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return failed(name, f"{path}: {reason}", "give a readable PEM file", _CONFIG)
    ends_s = min(validity.ends_s for validity in known)
    begins_s = max(validity.begins_s for validity in known)
    if now_s >= ends_s:
        remedy = "have a new one issued, put it there and reload"
        return failed(name, f"{path}: expired on {_day(ends_s)}", remedy, _CONFIG)
    if now_s < begins_s:
        remedy = "set the clock (timedatectl), or wait"
        return failed(name, f"{path}: not valid before {_day(begins_s)}", remedy, _CONFIG)
    if ends_s - now_s < SOON_S:
        return warning(name, f"{path}: expires on {_day(ends_s)}", "have a new one issued")
    return ok(name, f"{path}: valid until {_day(ends_s)}")


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=timezone.utc).strftime("%Y-%m-%d")


def _elements(data: bytes, count: int) -> list[tuple[int, bytes]]:
    """The first so many DER elements."""
    found = []
    for element in _walk(data):
        found.append(element)
        if len(found) == count:
            return found
    raise ValueError("not a certificate")


def _walk(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("a certificate that is cut off")
        yield tag, data[at : at + length]
        at += length


def _time(tag: int, body: bytes) -> float:
    text = body.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year, of which 50 and more are in the last century
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a certificate")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
