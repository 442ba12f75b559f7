"""``edge-asd check``: is everything fit to run?"""

from __future__ import annotations

import json
import os

import click

from edge_asd.alerting import persistence_of
from edge_asd.bundle_store import choose_bundle
from edge_asd.cli.options import (
    config_option,
    json_option,
    read_config,
    state_dir_option,
    state_dir_path,
)
from edge_asd.config import Config
from edge_asd.profile import has_profile, load_profile
from edge_asd.publish.mqtt_settings import MqttSettings, client_id_for
from edge_asd.secrets import read_secret


@click.command("check")
@config_option
@state_dir_option
@json_option
def command(*, config_file: str | None, state_dir: str | None, as_json: bool) -> None:
    r"""Check the operator's file, the bundle and the profiles, without opening a microphone.

    Exit code 0 when the daemon can start, else that of what is wrong.

    \b
    Example:
        edge-asd check --config /etc/edge-asd/config.yaml
    """
    folder = state_dir_path(state_dir)
    config = read_config(config_file)
    bundle = choose_bundle(folder, config.bundle, [m.name for m in config.monitors])
    monitors = []
    for monitor in config.monitors:
        persistence_of(monitor.alert, bundle.manifest)
        enrolled = has_profile(folder, monitor.name)
        profile = load_profile(folder, monitor.name, bundle) if enrolled else None
        monitors.append(
            {
                "monitor": monitor.name,
                "source": monitor.source,
                "enrolled": enrolled,
                "provisional": profile.calibration.provisional if profile else None,
            }
        )
    _check_mqtt(config)
    if as_json:
        click.echo(json.dumps({"ok": True, "bundle": bundle.label, "monitors": monitors}))
        return
    click.echo(f"configuration ok: device {config.device}, bundle {bundle.label}")
    for row in monitors:
        state = "enrolled" if row["enrolled"] else "not enrolled: it will learn from live sound"
        provisional = ", threshold provisional" if row["provisional"] else ""
        click.echo(f"  {row['monitor']}: {row['source']}, {state}{provisional}")
    click.echo(f"  broker: {config.mqtt.url if config.mqtt else 'none'}")


def _check_mqtt(config: Config) -> None:
    if config.mqtt is None:
        return
    MqttSettings(
        url=config.mqtt.url,
        client_id=client_id_for(config.device),
        username=config.mqtt.username,
        password=read_secret(config.mqtt.password_file, os.environ),
        ca_file=config.mqtt.ca_file,
        cert_file=config.mqtt.cert_file,
        key_file=config.mqtt.key_file,
        protocol=config.mqtt.protocol,
    )
