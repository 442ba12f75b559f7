"""A worker without threads."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace

from edge_asd.errors import EdgeAsdError


class Rounds:
    """What is asked of it is done at once, as between two rounds."""

    def __init__(self, *monitors):
        self.monitors = list(monitors)
        self.enrolments = SimpleNamespace(names=())
        self.failures = []
        self.fail = self.failures.append

    def between_rounds(self, action):
        """Do it now."""
        done = Future()
        try:
            done.set_result(action())
        except EdgeAsdError as error:
            done.set_exception(error)
        return done
