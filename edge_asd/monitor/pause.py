"""Audio that is heard and not used: during maintenance, and until the machine has settled after it.

Whatever the operator did at the machine, nothing of it is scored or learned from: listening begins
anew with the first audio after the pause, and what a machine needs to settle after a start it is
given here, too.
"""

from __future__ import annotations

from edge_asd.books.ledger import Account
from edge_asd.metrics.metrics import Metrics


class Pause:
    """Accounts for the audio that one monitor does not use; not thread-safe.

    Args:
        monitor: Its name.
        hop_s: Time between windows, seconds.
        metrics: Prometheus.
    """

    def __init__(self, monitor: str, hop_s: float, metrics: Metrics) -> None:
        self.lasts = False
        """Nothing may be scored or learned."""
        self.hop_s = hop_s
        self._monitor, self._metrics = monitor, metrics
        self._settling_s = 0.0
        self._uncounted_s = 0.0

    def begin(self) -> None:
        """From now on nothing is used."""
        self.lasts = True

    def end(self, settle_s: float) -> None:
        """Use what comes later than ``settle_s`` seconds of audio from now."""
        self.lasts, self._settling_s = False, settle_s

    def take(self, seconds: float) -> Account | None:
        """Where so much audio goes; None if it is to be used."""
        if not self.lasts:
            if self._settling_s <= 0:
                return None
            self._settling_s -= seconds
        self._uncounted_s += seconds
        windows = int(self._uncounted_s / self.hop_s)
        self._uncounted_s -= windows * self.hop_s
        self._metrics.windows(self._monitor, "inhibited" if self.lasts else "idle", windows)
        return Account.INHIBITED if self.lasts else Account.IDLE
