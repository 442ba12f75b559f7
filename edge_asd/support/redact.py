"""Taking secrets out of texts, whoever wrote them there.

What is known to be a secret goes wherever it stands. What only looks like one goes as well: a value
behind a key such as ``password``, the login of an address, the body of a private key. Whether
something was set or empty stays visible, because that is often the fault that is looked for.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

REDACTED = "<redacted>"
EMPTY = "<empty>"
SHORTEST = 4
"""A known secret shorter than this is not looked for: half of every text would go with it."""

_WORD = r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|api[_-]?key|bearer|private[_-]?key)s?"
_KEY = re.compile(rf"(?:^|[_.-]){_WORD}$", re.IGNORECASE)
_FILE = re.compile(r"(?:^|[_.-])(?:file|path|dir|directory)$", re.IGNORECASE)
_PEM = re.compile(r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(-----END|\Z)", re.DOTALL)
_LOGIN = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
_HEADER = re.compile(r"(?i)(\bbearer\s+|\bauthorization['\"]?:\s*\w+\s+)[\w.~+/=-]{4,}")
_NAMED = rf"(?:[\w-]{{0,40}}[_-])?{_WORD}['\"]?"
_BLOCK = re.compile(rf"(?im)^((\s*)(?:- )?['\"]?{_NAMED}\s*:\s*)[|>][-+\d]*\s*\n(?:\2[ \t]+.*\n?)+")
_LINE = re.compile(rf"(?im)^([ \t]*(?:#[ \t]*)?(?:- )?['\"]?{_NAMED}[ \t]*:[ \t]+)(\S.*)$")
_ASSIGNED = re.compile(
    rf"(?i)(\b{_NAMED}\s*[:=]\s*|--?{_NAMED}\s+)(\"[^\"\n]*\"|'[^'\n]*'|[^\s'\"&,;}}\]]+)"
)
_REFERENCE = re.compile(r"(?i)\b\w*(?:password|token|key)_file['\"]?\s*:\s*['\"]?([^\s'\"#,}]+)")
_HARMLESS = re.compile(r"['\"]?(?:<redacted>|<empty>|null|none|true|false|~|)['\"]?", re.IGNORECASE)


class Redactor:
    """Takes out secrets.

    Args:
        secrets: Values that are known to be secret.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {secret for secret in secrets if len(secret) >= SHORTEST}
        spelt = {form for secret in known for form in _forms(secret)}
        # The longest first: one secret may be the beginning of another.
        texts = sorted(spelt, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, texts))) if texts else None

    def text(self, text: str) -> str:
        """The same without secrets."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        text = _PEM.sub(rf"\1{REDACTED}\2", text)
        text = _LOGIN.sub(REDACTED, text)
        text = _HEADER.sub(rf"\1{REDACTED}", text)
        text = _BLOCK.sub(rf"\1{REDACTED}\n", text)
        return _ASSIGNED.sub(_assigned, _LINE.sub(_assigned, text))

    def values(self, value: Any, key: str = "") -> Any:
        """The same keys and values without secrets; what was empty is still seen to be empty."""
        if isinstance(value, Mapping):
            return {str(name): self.values(inner, str(name)) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.values(inner, key) for inner in value]
        if is_secret(key) and value is not None:
            return EMPTY if value == "" else REDACTED
        return self.text(value) if isinstance(value, str) else value


def is_secret(key: str) -> bool:
    """Whether the value of a key is a secret itself, and not the name of a file with one."""
    return bool(_KEY.search(key)) and not _FILE.search(key)


def secrets_in(value: Any, key: str = "") -> Iterator[str]:
    """Values that stand where secrets should not, so that they are found elsewhere too."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from secrets_in(inner, str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secrets_in(inner, key)
    elif value is not None and is_secret(key):
        yield str(value)
    elif isinstance(value, str):
        for login in _LOGIN.findall(value):
            yield login.partition(":")[2] or login


def referred_files(text: str, environ: Mapping[str, str]) -> list[Path]:
    """Files with secrets that a configuration names, be it readable as YAML or not.

    Args:
        text: The file as it is.
        environ: Where ``CREDENTIALS_DIRECTORY`` stands; all in there are secrets.
    """
    found = [Path(name) for name in _REFERENCE.findall(text) if not name.startswith("credential:")]
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if folder:
        found += sorted(path for path in Path(folder).glob("*") if path.is_file())
    return found


def _forms(secret: str) -> Iterator[str]:
    """How a secret may be spelt: as it is, in an address, in JSON, in a header, by its lines."""
    yield secret
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    yield base64.b64encode(secret.encode()).decode()
    yield from (line for line in secret.splitlines() if len(line) >= SHORTEST)


def _assigned(match: re.Match[str]) -> str:
    """What is empty stays empty, and what is redacted is not redacted again."""
    return match[0] if _HARMLESS.fullmatch(match[2].strip()) else f"{match[1]}{REDACTED}"
