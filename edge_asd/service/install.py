"""What it takes to have edge-asd as a service, and to be rid of it again: steps in order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from edge_asd.errors import ConfigError, ServiceError, UsageError
from edge_asd.logs.journal_classes import catalogue
from edge_asd.service import host as h
from edge_asd.service.host import Host, below_home, systemctl, unreachable
from edge_asd.service.nodes import Nodes, credentials_drop_in, devices_drop_in
from edge_asd.service.steps import Step, absent, command, file, folder, keep

UNIT_FILE = f"/etc/systemd/system/{h.UNIT}"
DROP_INS = f"/etc/systemd/system/{h.UNIT}.d"
DEVICES, CREDENTIALS = f"{DROP_INS}/10-devices.conf", f"{DROP_INS}/20-credentials.conf"
SYSUSERS = "/etc/sysusers.d/edge-asd.conf"
CATALOGUE = "/usr/local/lib/systemd/catalog/edge-asd.catalog"

_SHIPPED = files("edge_asd.service") / "files"
_PROGRAM = "/usr/bin/edge-asd"
_EXEC_START = re.compile(r"^ExecStart=(\S+)", re.MULTILINE)
_SECRET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def optional_drop_ins() -> dict[str, str]:
    """Drop-ins that an operator may want, by name."""
    folder_of = _SHIPPED / "optional"
    return {
        entry.name.removesuffix(".conf"): entry.read_text(encoding="utf-8")
        for entry in sorted(folder_of.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".conf")
    }


def unit_text(program: str, *, home: bool = False) -> str:
    """The unit for a program.

    Args:
        program: Its path.
        home: Whether it lies in a home directory, which the service must then be able to read.
    """
    text = (_SHIPPED / h.UNIT).read_text(encoding="utf-8").replace(_PROGRAM, program)
    return text.replace("ProtectHome=yes\n", "ProtectHome=read-only\n") if home else text


def install_steps(
    host: Host, program: str, nodes: Nodes, *, wanted: Sequence[str] = (), start: bool = True
) -> list[Step]:
    """Everything that makes the service run now and after every boot.

    Args:
        host: Where.
        program: Path of ``edge-asd`` on the host.
        nodes: What is there to open.
        wanted: Names of optional drop-ins.
        start: Whether to start it.

    Raises:
        ServiceError: The service could not start this program.
        ConfigError: A secret can be read by others.
        UsageError: There is no such drop-in.
    """
    if host.live and (why := unreachable(program)):
        raise ServiceError(f"{why}: install edge-asd into a place for all users, as /opt/edge-asd")
    files_ = [
        *_user(host),
        folder(host, h.CONFIG, mode=0o750, group=h.USER),
        folder(host, h.SECRETS, mode=0o700),
        *_starter(host),
        _unit(host, program),
        folder(host, DROP_INS, mode=0o755),
        file(host, DEVICES, devices_drop_in(nodes)),
        *_credentials(host),
        *_optional(host, wanted),
        file(host, CATALOGUE, catalogue()),
    ]
    return [*files_, *_activate(host, files_, start=start)]


def uninstall_steps(host: Host, *, purge: bool = False) -> list[Step]:
    """Everything that takes the service away.

    Args:
        host: Where.
        purge: Also what it learned and kept, its configuration, its secrets and its user.
    """
    mine = [DEVICES, CREDENTIALS, *(_optional_path(name) for name in optional_drop_ins())]
    gone = [step for path in [UNIT_FILE, *mine, SYSUSERS, CATALOGUE] for step in absent(host, path)]
    at = host.path(DROP_INS)
    others = at.is_dir() and {p.name for p in at.iterdir()} - {Path(path).name for path in mine}
    if at.is_dir() and not others:
        gone += absent(host, DROP_INS)
    if not purge:
        kept = [path for path in (h.CONFIG, h.STATE) if host.path(path).exists()]
        data = [keep(f"{path} (--purge removes it)") for path in kept]
    else:
        data = [step for path in (h.STATE, h.CACHE, h.CONFIG) for step in absent(host, path)]
        if host.has_user(h.USER):
            at_root = () if host.live else ("--root", str(host.root))
            data.append(command("userdel", *at_root, h.USER))
    if not host.live:
        link = f"/etc/systemd/system/multi-user.target.wants/{h.UNIT}"
        return [*absent(host, link), *gone, *data]
    known = _known()
    stop = [command("systemctl", "disable", "--now", h.UNIT)] if known else []
    reload = [command("systemctl", "daemon-reload")] if gone else []
    return [*stop, *gone, *reload, *data]


def _user(host: Host) -> list[Step]:
    definition = (_SHIPPED / "edge-asd.sysusers").read_text(encoding="utf-8")
    steps = [file(host, SYSUSERS, definition)]
    if host.has_user(h.USER):
        return [*steps, keep(f"user {h.USER}")]
    root = () if host.live else (f"--root={host.root}",)
    # By its name: with --root a path would be looked for on this computer.
    return [*steps, command("systemd-sysusers", *root, Path(SYSUSERS).name)]


def _starter(host: Host) -> list[Step]:
    path = f"{h.CONFIG}/config.yaml"
    if host.path(path).exists():
        return [keep(path)]
    text = (files("edge_asd.service") / "starter.yaml").read_text(encoding="utf-8")
    return [file(host, path, text, mode=0o640, group=h.USER)]


def _unit(host: Host, program: str) -> Step:
    """The unit, unless a package brought it for this very program."""
    for packaged in h.PACKAGED:
        at = host.path(f"{packaged}/{h.UNIT}")
        if at.exists() and any(_same(host, one, program) for one in _EXEC_START.findall(_text(at))):
            return keep(f"{packaged}/{h.UNIT} (of the package)")
    return file(host, UNIT_FILE, unit_text(program, home=below_home(program)))


def _same(host: Host, one: str, other: str) -> bool:
    """Whether two paths lead to one program: a package has a link in /usr/bin."""
    return one == other or host.path(one).resolve() == host.path(other).resolve()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceError(f"{path}: cannot be read: {error}") from error


def _credentials(host: Host) -> list[Step]:
    at = host.path(h.SECRETS)
    secrets = sorted(p for p in at.iterdir() if p.is_file()) if at.is_dir() else []
    for secret in secrets:
        if not _SECRET_NAME.fullmatch(secret.name):
            raise ConfigError(
                f"{secret}: letters, digits, . _ - only: the name is the credential's"
            )
        if secret.stat().st_mode & 0o077:
            raise ConfigError(f"{secret} can be read by others: chmod 600 {secret}")
    if not secrets:
        return absent(host, CREDENTIALS)
    names = [secret.name for secret in secrets]
    return [file(host, CREDENTIALS, credentials_drop_in(h.SECRETS, names))]


def _optional(host: Host, wanted: Sequence[str]) -> list[Step]:
    known = optional_drop_ins()
    for name in wanted:
        if name not in known:
            raise UsageError(f"--with {name}: there is {', '.join(known)}")
    return [file(host, _optional_path(name), known[name]) for name in wanted]


def _optional_path(name: str) -> str:
    return f"{DROP_INS}/50-{name}.conf"


def _activate(host: Host, before: Sequence[Step], *, start: bool) -> list[Step]:
    changed = any(step.act for step in before)
    catalogued = any(step.act and step.what == CATALOGUE for step in before)
    if not host.live:
        return [command("systemctl", f"--root={host.root}", "enable", h.UNIT)]
    steps = [command("journalctl", "--update-catalog")] if catalogued else []
    if changed:
        steps.append(command("systemctl", "daemon-reload"))
    steps.append(command("systemctl", "enable", h.UNIT))
    if start:
        active = systemctl("is-active", h.UNIT, check=False).strip() in ("active", "activating")
        verb = "restart" if changed or not active else ""
        text = f"{h.UNIT} runs"
        steps.append(command("systemctl", verb, h.UNIT) if verb else keep(text))
    return steps


def _known() -> bool:
    return "loaded" in systemctl("show", "-p", "LoadState", "--value", h.UNIT, check=False)
