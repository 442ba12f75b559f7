"""One compiled module of a package, without all that importing the package brings along.

``import scipy.fft`` loads special functions, linear algebra and sparse matrices: 30 MB and 0.2 s
for one transform that lies in a file of its own and needs none of them.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType


def compiled_module(name: str) -> ModuleType:
    """Import an extension module; the packages above it stay as they are.

    It is the module that its package finds too, should that be imported before or after: loaded
    twice, an extension may break.

    Args:
        name: Where it lies, such as ``scipy.fft._pocketfft.pypocketfft``.

    Raises:
        ImportError: It is not there, or cannot be loaded.
    """
    if name in sys.modules:
        return sys.modules[name]
    package, *folders, _ = name.split(".")
    top = importlib.util.find_spec(package)
    roots = [] if top is None else top.submodule_search_locations or []
    spec = PathFinder.find_spec(name, [str(Path(root, *folders)) for root in roots])
    if spec is None or spec.loader is None:
        raise ImportError(f"no module {name}", name=name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
