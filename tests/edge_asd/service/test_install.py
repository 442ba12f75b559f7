"""Installing into an image, again and again, and taking it away."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from edge_asd.errors import ConfigError, ServiceError, UsageError
from edge_asd.service.host import Host, program, unreachable
from edge_asd.service.install import install_steps, optional_drop_ins, uninstall_steps, unit_text
from edge_asd.service.nodes import Nodes

UNIT = "etc/systemd/system/edge-asd.service"
SOUND = Nodes(groups=("audio",))
NEWER_THAN_249 = (
    *("ExitType", "RestrictFileSystems", "LoadCredentialEncrypted", "SetCredentialEncrypted"),
    *("StartupAllowedCPUs", "ExtensionDirectories", "ImportCredential", "RestartSteps"),
    *("RestartMaxDelaySec", "RestartMode", "notify-reload", "OpenFile", "MemoryPressureWatch"),
    *("FileDescriptorStorePreserve", "DelegateSubgroup", "RootEphemeral", "PrivatePIDs"),
    *("SurviveFinalKillSignal", "ProtectControlGroups=strict", "PrivateUsers=full"),
    *("PrivateTmp=disconnected", "BindLogSockets"),
)
"""Directives and values that came with systemd 250 and later (systemd's NEWS)."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-sysusers") is None or os.geteuid() != 0,
    reason="root and systemd are needed to make users",
)


@pytest.fixture
def image(tmp_path):
    root = tmp_path / "image"
    root.mkdir()
    return Host(root)


def carry_out(steps):
    for step in steps:
        if step.act:
            step.act()
    return [step.text for step in steps]


def install(host, **options):
    return carry_out(install_steps(host, "/opt/edge-asd/bin/edge-asd", SOUND, **options))


def tree(host):
    """Every file of an image with its mode and what it holds."""
    return {
        str(path.relative_to(host.root)): (stat.filemode(path.stat().st_mode), path.read_bytes())
        for path in host.root.rglob("*")
        if path.is_file() and "shadow" not in path.name and ".pwd" not in path.name
    }


@needs_systemd
def test_an_image_gets_a_user_a_unit_and_a_configuration_that_only_the_service_reads(image):
    install(image)
    files = tree(image)
    assert "ExecStart=/opt/edge-asd/bin/edge-asd run" in files[UNIT][1].decode()
    assert (image.root / "etc/systemd/system/multi-user.target.wants/edge-asd.service").is_symlink()
    assert files["etc/edge-asd/config.yaml"][0] == "-rw-r-----"
    group = image.owner("edge-asd")
    assert group is not None
    assert (image.root / "etc/edge-asd/config.yaml").stat().st_gid == group
    assert stat.filemode((image.root / "etc/edge-asd/secrets").stat().st_mode) == "drwx------"


@needs_systemd
def test_a_second_time_changes_nothing_and_an_operators_file_is_never_written_over(image):
    install(image)
    own = image.root / "etc/edge-asd/config.yaml"
    own.write_text("device: mine\n")
    before = tree(image)
    texts = install(image)
    assert tree(image) == before
    assert {text.split()[0] for text in texts} == {"keep", "run"}
    assert own.read_text() == "device: mine\n"


@needs_systemd
def test_secrets_become_credentials_and_leave_with_their_files(image):
    install(image)
    secret = image.root / "etc/edge-asd/secrets/mqtt-password"
    secret.write_text("x")
    secret.chmod(0o600)
    install(image)
    drop_in = image.root / "etc/systemd/system/edge-asd.service.d/20-credentials.conf"
    line = "LoadCredential=mqtt-password:/etc/edge-asd/secrets/mqtt-password\n"
    assert line in drop_in.read_text()
    secret.unlink()
    install(image)
    assert not drop_in.exists()


@pytest.mark.parametrize(("name", "mode"), [("mqtt", 0o640), ("mqtt", 0o604), ("a b", 0o600)])
def test_a_secret_that_others_can_read_or_that_has_no_proper_name_is_refused(image, name, mode):
    folder = image.root / "etc/edge-asd/secrets"
    folder.mkdir(parents=True)
    (folder / name).write_text("x")
    (folder / name).chmod(mode)
    with pytest.raises(ConfigError, match=name):
        install_steps(image, "/usr/bin/edge-asd", SOUND)


@needs_systemd
def test_uninstall_keeps_what_cannot_be_made_again_and_purge_keeps_nothing(image):
    install(image, wanted=("jit",))
    learned = image.root / "var/lib/edge-asd/events.db"
    learned.parent.mkdir(parents=True)
    learned.touch()
    carry_out(uninstall_steps(image))
    assert learned.exists()
    assert set(tree(image)) >= {"etc/edge-asd/config.yaml"}
    assert not [path for path in tree(image) if "systemd" in path or "sysusers" in path]
    carry_out(uninstall_steps(image, purge=True))
    assert not [path for path in tree(image) if "edge-asd" in path]
    assert not image.has_user("edge-asd")


def test_planning_changes_nothing(image):
    steps = install_steps(image, "/usr/bin/edge-asd", SOUND)
    assert sum(step.act is not None for step in steps) > 6
    assert list(image.root.iterdir()) == []


def test_the_unit_of_a_package_is_not_shadowed(image):
    packaged = image.root / "usr/lib/systemd/system/edge-asd.service"
    packaged.parent.mkdir(parents=True)
    packaged.write_text(unit_text("/usr/bin/edge-asd"))
    written = [s.what for s in install_steps(image, "/usr/bin/edge-asd", SOUND) if s.act]
    assert f"/{UNIT}" not in written
    written = [s.what for s in install_steps(image, "/opt/x/bin/edge-asd", SOUND) if s.act]
    assert f"/{UNIT}" in written
    venv = image.root / "usr/lib/edge-asd/venv/bin/edge-asd"
    venv.parent.mkdir(parents=True)
    venv.touch()
    (image.root / "usr/bin").mkdir()
    (image.root / "usr/bin/edge-asd").symlink_to("../lib/edge-asd/venv/bin/edge-asd")
    steps = install_steps(image, "/usr/lib/edge-asd/venv/bin/edge-asd", SOUND)
    assert f"/{UNIT}" not in [step.what for step in steps if step.act]


def test_a_drop_in_that_does_not_exist_is_refused_with_those_that_do(image):
    with pytest.raises(UsageError, match="jit, lan-only"):
        install_steps(image, "/usr/bin/edge-asd", SOUND, wanted=("gpu",))


def test_the_unit_names_the_program_and_can_read_a_home_where_that_is_its_place():
    text = unit_text("/opt/edge-asd/bin/edge-asd")
    assert "/usr/bin/edge-asd" not in text
    assert text.count("/opt/edge-asd/bin/edge-asd ") == 2
    assert "ProtectHome=yes\n" in text
    assert "ProtectHome=read-only\n" in unit_text("/home/x/bin/edge-asd", home=True)


def test_nothing_in_the_unit_is_newer_than_systemd_249():
    texts = [unit_text("/usr/bin/edge-asd"), *optional_drop_ins().values()]
    lines = [line for text in texts for line in text.splitlines() if not line.startswith("#")]
    for newer in NEWER_THAN_249:
        assert not [line for line in lines if re.search(rf"\b{re.escape(newer)}\b", line)]


@pytest.mark.parametrize(
    "path", ["edge-asd", "/opt/my tools/edge-asd", '/opt/"x"/edge-asd', "/a%b"]
)
def test_a_path_that_a_unit_cannot_hold_is_refused(path):
    with pytest.raises(ServiceError):
        program(path)


def test_a_program_where_the_service_cannot_go_is_refused(tmp_path):
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    (closed / "bin/edge-asd").touch()
    closed.chmod(0o700)
    why = unreachable(str(closed / "bin/edge-asd"), "/usr/bin")
    assert "/tmp" in why or "may not enter" in why
    assert "/usr/nowhere does not exist" in unreachable("/usr/nowhere", "/usr/bin")
    assert unreachable("/usr/bin/env", "/usr/bin") == ""


def test_the_unit_is_in_the_tree_once():
    from edge_asd import service

    inside = Path(service.__file__).parent / "files"
    source = Path(service.__file__).parents[2] / "systemd"
    if not source.is_dir():
        pytest.skip("not a checkout")
    assert inside.resolve() == source.resolve()
