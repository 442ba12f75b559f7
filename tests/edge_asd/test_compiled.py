"""A compiled module is there without its package, and is the package's own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge_asd.compiled import compiled_module

NAME = "scipy.fft._pocketfft.pypocketfft"
ALONE = f"""
import sys
from edge_asd.compiled import compiled_module

compiled_module("{NAME}")
assert [name for name in sys.modules if name.startswith("scipy")] == ["{NAME}"]
"""
THEN_THE_PACKAGE = f"""
from edge_asd.compiled import compiled_module

alone = compiled_module("{NAME}")
import scipy.fft
import scipy.signal

from scipy.fft._pocketfft import basic
assert basic.pfft is alone is compiled_module("{NAME}")
"""
AFTER_THE_PACKAGE = f"""
from scipy.fft._pocketfft import basic
from edge_asd.compiled import compiled_module

assert compiled_module("{NAME}") is basic.pfft
"""


@pytest.mark.parametrize("program", [ALONE, THEN_THE_PACKAGE, AFTER_THE_PACKAGE])
def test_a_process_loads_it_once_in_any_order_and_ends_well(program):
    pytest.importorskip(NAME, reason="this SciPy has its transform elsewhere")
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", ["scipy.fft.no_such_module", "no_such_package.at_all"])
def test_what_is_not_there_is_an_import_error_and_leaves_nothing_behind(name):
    with pytest.raises(ImportError, match="no module"):
        compiled_module(name)
    assert name not in sys.modules
