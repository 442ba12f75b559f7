"""What the fake does wrong: ``FAKE_TRT=infer-hang,after=10,version=11.4.1``.

gpu=NAME capability=8.7 driver=12060 version=10.3.0 integrated   what it says about itself
no-driver  no-device                      nothing to run on: TensorRT then crashes
build-crash  build-hang  build-refuse  build-slow=SECONDS   while a plan is built
try-crash                                     any plan crashes the process when it is read
no-context                                    no memory for an execution context
no-memory                                     none on the GPU for a buffer
no-graph                                      the plan cannot be recorded
wrong  nan                                    what inference gives
infer-error  infer-hang  infer-crash          inference fails, after so many good ones: after=10

A fault that is not named here is an error, so that no test can misspell one.
"""

import os
import signal
import time

_VALUES = {
    "gpu": "Fake Orin",
    "capability": "8.7",
    "driver": "12060",
    "version": "10.3.0",
    "build-slow": "0",
    "after": "0",
}
_SWITCHES = {
    "integrated",
    "no-driver",
    "no-device",
    "build-crash",
    "build-hang",
    "build-refuse",
    "try-crash",
    "no-context",
    "no-memory",
    "no-graph",
    "wrong",
    "nan",
    "infer-error",
    "infer-hang",
    "infer-crash",
}


def _parsed():
    named = [one.partition("=") for one in os.environ.get("FAKE_TRT", "").split(",") if one]
    for name, equals, _ in named:
        if name not in (_VALUES if equals else _SWITCHES):
            raise ValueError(f"FAKE_TRT: {name!r} is not known to the fake")
    return {name: value for name, _, value in named}


def value(name):
    return _parsed().get(name, _VALUES[name])


def on(name):
    assert name in _SWITCHES
    return name in _parsed()


def crash():
    """Die as a native library does."""
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def hang():
    while True:
        time.sleep(1)
