"""Reloads of every kind, one after the other: whatever is asked for, the daemon is of one mind."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

import pytest
from support.processes import PUMP, QUICK, DaemonProcess, cli, write_config
from support.tiny import HOP, WINDOW, write_tiny_bundle

from edge_asd.profile import profile_dir

NAMES = ("pump", "fan", "saw")
LISTENING = {"normal", "warning", "alarm", "baselining"}


class Operator:
    """Writes another file every time, knowing what it should lead to."""

    def __init__(self, folder, state, seed):
        self.random, self.state, self.path = random.Random(seed), state, folder / "config.yaml"
        longer = {"window_samples": WINDOW + HOP, "hop_samples": HOP + 2048}
        self.bundles = {
            str(number): write_tiny_bundle(
                folder / f"{number}.asd", seed=number, version=str(number), **settings
            ).path
            for number, settings in ((2, {}), (3, longer), (4, {}))
        }
        self.version, self.threads, self.learned = "2", 1, folder / "learned"
        self.sections = {name: self.section(name) for name in NAMES}
        for name in NAMES[1:]:
            self.copy(profile_dir(state, NAMES[0]), name)

    def section(self, name):
        """A monitor as it has not been before."""
        seed = self.random.randrange(3)
        above_s = self.random.choice([2.0, 2.0, 2.5, 1.5])  # the last is too short for one bundle
        return {
            "name": name,
            "source": f"{PUMP}&speed=8".replace("seed=1", f"seed={seed}"),
            "alert": QUICK | {"above_s": above_s},
            "enrol_s": 60,
        }

    def change(self):
        """Something else, or several things at once."""
        added = set()
        for _ in range(self.random.choice([1, 1, 2, 3])):
            name = self.random.choice(NAMES)
            match self.random.randrange(6):
                case 0 | 1:
                    self.version = self.random.choice(sorted(self.bundles))
                case 2 | 3 if name in self.sections:
                    self.sections[name] = self.section(name)
                case 2 | 3:
                    self.sections[name] = self.section(name)
                    added.add(name)
                case 4 if len(self.sections) > 1:
                    self.sections.pop(name, None)
                    added.discard(name)
                case _:
                    self.threads = self.random.choice([1, 2])
        for name in sorted(added):
            self.know(name)

    def know(self, name):
        """A monitor that comes knows what it did, any bundle that was ever served, or nothing."""
        if self.random.random() < 0.4:
            return  # it may have been here, and gone before another bundle came
        shutil.rmtree(profile_dir(self.state, name), ignore_errors=True)
        known = self.learned / self.random.choice(sorted(self.bundles))
        if known.exists() and self.random.random() < 0.8:
            self.copy(known, name)

    def keep(self):
        """Remember what was learned with this bundle, for monitors that come later."""
        known = self.learned / self.version
        name = next(iter(self.sections))
        if not known.exists() and versions(self.state).get(name) == self.version:
            shutil.copytree(profile_dir(self.state, name), known)

    def copy(self, known, name):
        """Have a monitor know what another one has learned."""
        path = Path(shutil.copytree(known, profile_dir(self.state, name))) / "profile.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"monitor": name}))

    def write(self):
        """The file."""
        engine = {"name": "onnxruntime", "threads": self.threads}
        sections = list(self.sections.values())
        bundle = str(self.bundles[self.version])
        write_config(self.path, device="hall", monitors=sections, bundle=bundle, engine=engine)
        return self.path

    @property
    def wish(self):
        """What was asked for last."""
        return self.version, dict(self.sections), self.threads

    @wish.setter
    def wish(self, wish):
        self.version, self.sections, self.threads = wish[0], dict(wish[1]), wish[2]


def versions(state):
    """Of the bundles that profiles were learned with, by monitor."""
    return {
        file.parent.name: json.loads(file.read_text())["bundle"].removeprefix("tiny-")
        for file in state.glob("profiles/*/profile.json")
    }


def serving(daemon):
    """Version of the bundle that scores, by the metrics."""
    (version,) = re.findall(
        r'^edge_asd_model_info{.*version="(\d)".* 1.0$', daemon.get("/metrics")[1], re.MULTILINE
    )
    return version


def walk(tmp_path, plant, steps, seed):
    """Share of the reloads that were taken."""
    taken = 0
    state = plant.state(tmp_path)
    operator = Operator(tmp_path, state, seed)
    with DaemonProcess(state, "--config", operator.write()) as daemon:
        daemon.logged("ready monitors=")
        serves = operator.version
        daemon.until(lambda: serving(daemon) == serves)
        for _ in range(steps):
            before = operator.wish
            operator.change()
            operator.write()
            answer = cli("reload", "--json", "--state-dir", state)
            if answer.returncode:
                assert answer.stderr.startswith("edge-asd: "), answer.stderr
                operator.wish = before
            taken += not answer.returncode
            serves = operator.version
            assert serving(daemon) == serves, answer
            assert set(daemon.status()) == set(operator.sections)
            assert not list(state.glob("profiles/*/next"))
            known = versions(state)
            assert {known[name] for name in operator.sections if name in known} <= {serves}
            for name in operator.sections:
                daemon.until(lambda name=name: daemon.state_of(name) in LISTENING)
            operator.keep()
            assert "Traceback" not in daemon.log
        assert daemon.stop()[0] == 0
    return taken / steps


def test_reloads_of_every_kind_leave_a_daemon_of_one_mind(tmp_path, plant):
    assert walk(tmp_path, plant, 12, seed=1) > 0.5


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 6))
def test_many_reloads_of_every_kind_leave_a_daemon_of_one_mind(tmp_path, plant, seed):
    assert walk(tmp_path, plant, 60, seed=seed) > 0.5
