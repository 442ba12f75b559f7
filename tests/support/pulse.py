"""Microphones without hardware: a private PulseAudio whose sources play what a test wants heard.

::

    with SoundServer(VirtualMicrophone("mic0"), VirtualMicrophone("mic1", rate=48_000)) as server:
        ...  # alsa:mic0 and alsa:mic1 exist for PortAudio in every child process

The server, its home, its socket and its ALSA configuration are in a folder of its own; while it is
entered, this process's environment points there.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import errno
import fcntl
import os
import shutil
import subprocess
import tempfile
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

TICK_S = 0.015
PERIOD_S = 60.0
"""After so long the noise of a microphone begins anew."""

_PIPE_S = 0.15  # what waits in a pipe while nobody listens is heard late: keep it short
_START_S = 20.0
_ORPHAN_S = 300  # a server whose test was killed ends by itself
_PLUGIN = "*/alsa-lib/libasound_module_pcm_pulse.so"


def missing():
    """Why there can be no virtual microphone here; empty where there can."""
    absent = [
        package
        for package, there in (
            ("pulseaudio", shutil.which("pulseaudio")),
            ("pulseaudio-utils", shutil.which("pactl")),
            ("libportaudio2", ctypes.util.find_library("portaudio")),
            ("libasound2-plugins", list(Path("/usr/lib").glob(_PLUGIN))),
        )
        if not there
    ]
    return f"not installed: {' '.join(absent)}" if absent else ""


class VirtualMicrophone:
    """One source of the server, and what is heard at it.

    Args:
        name: ``alsa:NAME``.
        rate: Hertz.
        channels: How many.
        signal: Samples (n, C) int16, played in a loop; by default noise of -20 dBFS that is
            different for every name and repeats after a minute.
        lossless: Wait for whoever listens instead of losing what is not taken in time; then the
            pace suffers on a slow machine, and no sample.
        ppm: How much faster than its rate says it plays.
    """

    def __init__(self, name, *, rate=16_000, channels=1, signal=None, lossless=False, ppm=0.0):
        self.name, self.rate, self.channels = name, rate, channels
        self.lossless = lossless
        if signal is None:
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            shape = (round(PERIOD_S * rate), channels)
            signal = np.clip(rng.normal(0.0, 3277.0, shape), -32768, 32767)
        self.signal = np.ascontiguousarray(signal, "<i2").reshape(-1, channels)
        self._pace = rate * (1.0 + ppm * 1e-6)
        self._pipe: Path | None = None
        self._began_s = 0.0
        self._playing = threading.Event()
        self._playing.set()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.position = 0
        """Samples played so far, heard or not."""
        self.unheard = 0
        """Samples that nobody took."""

    def samples(self, begin, n):
        """What is played from sample ``begin`` on, (n, C) int16."""
        return self.signal[np.arange(begin, begin + n) % len(self.signal)]

    def locate(self, samples):
        """Where in the signal these samples (n,) of channel 0, float32 in ±1, were played.

        A few in a row that are found tell; silence and torn places before them are no hindrance.
        """
        samples = np.round(np.asarray(samples, np.float64) * 32768.0)
        first = self.signal[:, 0]
        for begin in range(0, len(samples) - 3, 61):
            found = np.flatnonzero(first == samples[begin])
            for at in (1, 2, 3):
                found = found[first[(found + at) % len(first)] == samples[begin + at]]
            if len(found) == 1:
                return int((found[0] - begin) % len(first))
        return None

    def played_s(self, position):
        """When the newest repetition of a sample of the signal was due, on the monotonic clock."""
        behind = (self.position - position) % len(self.signal)
        return self._began_s + (self.position - behind) / self._pace

    def starve(self):
        """Play nothing more; what was to be heard meanwhile is lost."""
        self._playing.clear()

    def resume(self):
        """Play on."""
        self._playing.set()

    def start(self, pipe):
        """Begin to play into a pipe, whenever there is one."""
        self._pipe, self._began_s = pipe, time.monotonic()
        self._thread = threading.Thread(target=self._play, name=f"mic-{self.name}", daemon=True)
        self._thread.start()

    def stop(self):
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _play(self):
        fd = None
        while not self._ended.wait(TICK_S):
            due = int((time.monotonic() - self._began_s) * self._pace) - self.position
            if self.lossless:
                # Never a burst to catch up with: that would only be more than the pipe takes.
                due = min(due, round(4 * TICK_S * self.rate))
            fd = self._opened() if fd is None else fd
            taken = 0
            if fd is not None and self._playing.is_set():
                try:
                    taken = self._write(fd, due)
                except BrokenPipeError:
                    os.close(fd)
                    fd = None
            if not self.lossless:
                self.unheard += due - taken
                self.position += due
            else:
                self.position += taken
        if fd is not None:
            os.close(fd)

    def _opened(self):
        try:
            fd = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENXIO):  # not there, or nobody reads
                return None
            raise
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, round(_PIPE_S * self.rate * self.channels * 2))
        return fd

    def _write(self, fd, n):
        """Samples that the pipe took; whole ones only, whatever fits."""
        frame = 2 * self.channels
        data = self.samples(self.position, n).tobytes()
        # At most PIPE_BUF bytes are written whole or not at all.
        piece = 4096 // frame * frame
        written = 0
        with contextlib.suppress(BlockingIOError):
            while written < len(data):
                written += os.write(fd, data[written : written + piece])
        return written // frame


class SoundServer:
    """A PulseAudio of one's own with these microphones; skips the test where there is none.

    Args:
        microphones: What it offers; at least one.
        config: More ALSA configuration.
    """

    def __init__(self, *microphones, config=""):
        self.microphones = {microphone.name: microphone for microphone in microphones}
        self._config = config
        self._modules = {}  # microphone -> number of its module
        self._process = None
        self._kept = {}

    def __getitem__(self, name):
        return self.microphones[name]

    def __enter__(self):
        reason = missing()
        if reason:
            pytest.skip(reason)
        # A socket's path is at most 107 bytes long: tmp_path of a parametrised test is too long.
        self.folder = Path(tempfile.mkdtemp(prefix="pa-"))
        (self.folder / "home").mkdir()
        (self.folder / "xdg").mkdir(mode=0o700)
        self.socket = self.folder / "pulse.sock"
        self._write_config()
        self.environment = {
            "HOME": str(self.folder / "home"),
            "XDG_RUNTIME_DIR": str(self.folder / "xdg"),
            "PULSE_SERVER": f"unix:{self.socket}",
            "ALSA_CONFIG_PATH": str(self.folder / "asound.conf"),
        }
        self._kept = {key: os.environ.get(key) for key in self.environment}
        os.environ.update(self.environment)
        try:
            self.restart()
            for microphone in self.microphones.values():
                microphone.start(self._pipe(microphone.name))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for microphone in self.microphones.values():
            microphone.stop()
        self.kill()
        for key, value in self._kept.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self):
        """What the server wrote."""
        path = self.folder / "pa.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self):
        """``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._modules.clear()

    def restart(self):
        """Start the server, with all its microphones, where none runs."""
        assert self._process is None, "it runs already"
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", f"--exit-idle-time={_ORPHAN_S}"),
                *("--use-pid-file=no", "--disable-shm=yes", "--realtime=no", "--high-priority=no"),
                f"--log-target=file:{self.folder / 'pa.log'}",
                *("-L", f"module-native-protocol-unix auth-anonymous=1 socket={self.socket}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _START_S
        while self._pactl("info", check=False).returncode:
            assert self._process.poll() is None, f"the sound server left: {self.log}"
            assert time.monotonic() < until, f"the sound server does not answer: {self.log}"
            time.sleep(0.02)
        for name in self.microphones:
            self.load(name)

    def load(self, name):
        """Plug a microphone in."""
        microphone = self.microphones[name]
        self._pipe(name).unlink(missing_ok=True)
        answer = self._pactl(
            *("load-module", "module-pipe-source", f"source_name={name}"),
            *(f"file={self._pipe(name)}", "format=s16le"),
            *(f"rate={microphone.rate}", f"channels={microphone.channels}"),
        )
        self._modules[name] = answer.stdout.strip()

    def unload(self, name):
        """Unplug it."""
        self._pactl("unload-module", self._modules.pop(name))

    def suspend(self, name):
        """Suspend it: it stays, and delivers nothing."""
        self._pactl("suspend-source", name, "1")

    def resume(self, name):
        """End its suspension."""
        self._pactl("suspend-source", name, "0")

    def listeners(self, name):
        """How many streams are fed from it, by whatever way they came there."""
        sources = self._pactl("list", "short", "sources").stdout.splitlines()
        (number,) = [line.split()[0] for line in sources if line.split()[1] == name]
        streams = self._pactl("list", "short", "source-outputs").stdout.splitlines()
        return sum(line.split()[1] == number for line in streams)

    def _pipe(self, name):
        return self.folder / name

    def _pactl(self, *arguments, check=True):
        return subprocess.run(
            ["pactl", *arguments],
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_START_S,
            check=check,
        )

    def _write_config(self):
        lines = ["</usr/share/alsa/alsa.conf>", self._config]
        lines += [
            f'pcm.{name} {{ type pulse device "{name}" server "unix:{self.socket}" '
            f'hint {{ show on description "{name}" }} }}'
            for name in self.microphones
        ]
        (self.folder / "asound.conf").write_text("\n".join([*lines, ""]))
