"""Members of a bundle that stay in its file until somebody asks for them.

A network is needed while an engine opens it, and would be the largest thing that a daemon holds
ever after.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from edge_asd.errors import BundleError


class Archive:
    """The file of a bundle, open as long as somebody may read of it; safe to use by every thread.

    Another file may take its place meanwhile, as an update does: this one is read all the same.

    Args:
        file: A verified ZIP archive; it is closed with this object.
        hashes: SHA-256 of its members by name.
    """

    def __init__(self, file: BinaryIO, hashes: Mapping[str, str]) -> None:
        self._file, self._hashes = file, hashes
        self._lock = threading.Lock()
        weakref.finalize(self, file.close)

    def read(self, member: str) -> bytes:
        """A member's bytes.

        Raises:
            BundleError: The file was written to since it was verified, or cannot be read.
        """
        try:
            with self._lock, zipfile.ZipFile(self._file) as archive:
                data = archive.read(member)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise BundleError(f"{self._file.name}: {member} cannot be read: {error}") from error
        if hashlib.sha256(data).hexdigest() != self._hashes[member]:
            raise BundleError(f"{self._file.name}: {member} was altered while it was in use")
        return data


class KeptMembers(Mapping[str, bytes]):
    """Some members of an archive by other names; each is read whenever it is asked for.

    Args:
        archive: The file.
        members: Names in it, by the names here.
    """

    def __init__(self, archive: Archive, members: Mapping[str, str]) -> None:
        self._archive, self._members = archive, dict(members)

    def __getitem__(self, name: str) -> bytes:
        return self._archive.read(self._members[name])

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)
