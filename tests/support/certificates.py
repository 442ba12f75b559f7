"""An authority, and certificates of any age signed by it; made by ``openssl``."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime, timedelta, timezone

import pytest

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_CONFIG = """
[ca]
default_ca = here
[here]
new_certs_dir = {folder}
database = {folder}/index.txt
serial = {folder}/serial
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Signs for loopback.

    Args:
        folder: Where its files go; made here.
    """

    def __init__(self, folder) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        folder.mkdir()
        self.folder = folder
        self.certificate, self._key = folder / "ca.pem", folder / "ca.key"
        subject = ("-subj", "/CN=test authority", "-days", "3650")
        _openssl("req", "-x509", *_KEY, *subject, "-out", self.certificate, "-keyout", self._key)
        (folder / "ca.conf").write_text(_CONFIG.format(folder=folder))
        (folder / "index.txt").touch()
        (folder / "serial").write_text("1000")

    def issue(self, name, *, begins_days=-1, ends_days=365, san="IP:127.0.0.1"):
        """A certificate and its key, valid between two days from now."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        request = self.folder / f"{name}.csr"
        subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={san}")
        _openssl("req", *_KEY, *subject, "-out", request, "-keyout", key)
        now = datetime.now(timezone.utc)
        begin, end = (
            (now + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")
            for days in (begins_days, ends_days)
        )
        files = ("-in", request, "-out", certificate, "-cert", self.certificate)
        dates = ("-startdate", begin, "-enddate", end)
        config = ("-config", self.folder / "ca.conf", "-keyfile", self._key)
        _openssl("ca", "-batch", "-notext", *config, *files, *dates)
        key.chmod(0o600)
        return certificate, key
