"""Print what a module offers: every class with its members, arguments, and values of enumerations.

``{"": {name: …}, "Class": {name: …}, "Class.Inner": {name: …}}``; a member is a list of signatures,
each ``[arguments needed, arguments at most]`` without ``self``, or the value of an enumeration's
member, or null for anything else. Run as a process: a module like this is loaded once and crashes
easily.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from enum import IntEnum


def main():
    module = importlib.import_module(sys.argv[1])
    found = {"": {}}
    own = sys.argv[1].split(".", maxsplit=1)[0]
    for name, value in vars(module).items():
        if name.startswith("__") and name != "__version__":
            continue
        if getattr(value, "__module__", own).split(".")[0] != own or inspect.ismodule(value):
            continue  # what it imports is not what it offers
        found[""][name] = described(value, name)
        if isinstance(value, type):
            _class(name, value, found)
    json.dump(found, sys.stdout)


def _class(path, kind, found):
    found[path] = {}
    foreign = {name for base in (int, bytes, IntEnum, object) for name in dir(base)}
    for name in dir(kind):
        if name in foreign and name not in vars(kind):
            continue
        value = inspect.getattr_static(kind, name)
        if isinstance(value, type):
            _class(f"{path}.{name}", value, found)
        value = getattr(kind, "__members__", {}).get(name, value)
        found[path][name] = described(value, name)
    if "__init__" in vars(kind):
        found[path]["__init__"] = described(inspect.getattr_static(kind, "__init__"), "__init__")


def described(value, name):
    text = getattr(value, "__doc__", None) or ""
    documented = re.findall(rf"^(?:\d+\. )?{name}\((.*)\)(?: ->.*)?$", text, re.MULTILINE)
    if inspect.isfunction(value):
        return [_counted([str(one) for one in inspect.signature(value).parameters.values()])]
    if documented:
        return [_counted(_split(one)) for one in documented if one != "*args, **kwargs"]
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _split(arguments):
    """``a: int, b: list[int, int] = [1, 2]`` at the commas outside brackets."""
    parts, depth = [""], 0
    for character in arguments:
        depth += (character in "[(<{") - (character in "])>}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _counted(arguments):
    rest = [one for one in arguments if not re.match(r"self\b", one)]
    return [sum("=" not in one for one in rest), len(rest)]


main()
