"""A worker without threads: monitors, the verbs it was taught, and what it calls each round."""

from __future__ import annotations

from concurrent.futures import Future

from edge_asd.errors import UsageError


class Hall:
    """Carries out commands at once; ``look`` is a round.

    Args:
        monitors: Real ones.
    """

    def __init__(self, *monitors) -> None:
        self.monitors = list(monitors)
        self.verbs, self.each_look, self.at_end = {}, [], []
        self.told = []

    def learn_verb(self, name, verb):
        self.verbs[name] = verb

    def monitor(self, name):
        for monitor in self.monitors:
            if monitor.name == name:
                return monitor
        raise UsageError(f"the daemon has no monitor {name!r}")

    def ask(self, verb, **request):
        """The result, perhaps still to come."""
        result = Future()
        self.verbs[verb](request, lambda done, _text: self.told.append(done), result)
        return result

    def look(self):
        for look in self.each_look:
            look()

    def end(self):
        for end in self.at_end:
            end()
