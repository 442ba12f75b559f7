"""``edge-asd service``: install, remove and look at the systemd service."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge_asd.cli.options import json_option
from edge_asd.service.host import Host, demand_systemd, program
from edge_asd.service.install import install_steps, optional_drop_ins, uninstall_steps
from edge_asd.service.nodes import Nodes, devices_drop_in, find_nodes
from edge_asd.service.status import service_status
from edge_asd.service.steps import Step

_NOT_RUNNING = 3  # as `systemctl status` answers

_root_option = click.option(
    "--root",
    default="/",
    metavar="DIR",
    help="Prepare the image of a computer in DIR instead of this one.",
)
_dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what would be done; do nothing."
)


@click.group("service")
def command() -> None:
    """Install, remove and look at the systemd service."""


@command.command("install")
@_root_option
@_dry_run_option
@click.option("--program", "program_path", metavar="PATH", help="The edge-asd that is to run.")
@click.option(
    "--with",
    "wanted",
    multiple=True,
    metavar="NAME",
    help=f"Also an optional drop-in: {', '.join(optional_drop_ins())}. May be given again.",
)
@click.option("--no-start", is_flag=True, help="Enable the service, but do not start it.")
def install(
    *, root: str, dry_run: bool, program_path: str | None, wanted: tuple[str, ...], no_start: bool
) -> None:
    r"""Make edge-asd a service of this computer: now, and after every boot.

    Creates the user, the unit for this installation, a drop-in for the microphones and the GPU that
    are there, one for the secrets in /etc/edge-asd/secrets, and a first configuration if there is
    none. What is already as it should be is left alone: run it again whenever something changed.

    \b
    Example:
        sudo /opt/edge-asd/bin/edge-asd service install --dry-run
        sudo /opt/edge-asd/bin/edge-asd service install
    """
    host = _host(root, dry_run=dry_run)
    nodes = _nodes(host)
    steps = install_steps(host, program(program_path), nodes, wanted=wanted, start=not no_start)
    _carry_out(steps, dry_run=dry_run)


@command.command("uninstall")
@_root_option
@_dry_run_option
@click.option(
    "--purge", is_flag=True, help="Also what it learned, its configuration, its secrets, its user."
)
def uninstall(*, root: str, dry_run: bool, purge: bool) -> None:
    r"""Stop the service and take it away; what it learned and its configuration stay.

    \b
    Example:
        sudo edge-asd service uninstall
    """
    _carry_out(uninstall_steps(_host(root, dry_run=dry_run), purge=purge), dry_run=dry_run)


@command.command("status")
@json_option
def status(*, as_json: bool) -> int:
    r"""Show on one screen how the service does; exit code 3 if it does not run.

    \b
    Example:
        sudo edge-asd service status
    """
    demand_systemd()
    found = service_status()
    click.echo(json.dumps(found.to_json()) if as_json else "\n".join(found.lines()))
    return 0 if found.active else _NOT_RUNNING


@command.command("drop-in")
@_root_option
def drop_in(*, root: str) -> None:
    r"""Print the drop-in for the devices and groups that are there; `install` writes it.

    \b
    Example:
        edge-asd service drop-in
    """
    click.echo(devices_drop_in(_nodes(Host(Path(root)))), nl=False)


def _host(root: str, *, dry_run: bool) -> Host:
    host = Host(Path(root).resolve())
    if not dry_run:
        host.demand_rights()
    return host


def _nodes(host: Host) -> Nodes:
    """What is there. In an image there are no nodes: run `install` again on the device's GPU."""
    return find_nodes(host.path("/dev"), host.groups())


def _carry_out(steps: list[Step], *, dry_run: bool) -> None:
    for step in steps:
        click.echo(f"would {step.text}" if dry_run and step.act else step.text)
        if step.act and not dry_run:
            step.act()
    if not any(step.act for step in steps):
        click.echo("nothing to do")
