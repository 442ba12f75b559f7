"""Kinds of log lines that somebody may want to find again, each with an id for ever.

A line is recognised by its logger and the beginning of its template, so that whoever writes a line
need not know of this table; a test holds every template against the sources. An id is never
given to anything else, and never changes: people search for it.

Source: systemd's Journal Message Catalogues, https://systemd.io/CATALOG.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MessageClass:
    """One kind of line."""

    name: str
    message_id: str
    """128 bit, hexadecimal."""
    logger: str
    """A module or a package below ``edge_asd``."""
    template: str
    """How the template of the line begins."""
    meaning: str
    """One sentence for people, in which ``@FIELD@`` stands for a field of the journal."""
    where: tuple[str, str] | None = None
    """A key of the line and the value that it must have."""
    least: int = logging.DEBUG
    most: int = logging.CRITICAL
    """Levels, where one template serves two kinds."""
    each: bool = True
    """Every line is written; else only so many of them in a while."""

    def fits(self, record: logging.LogRecord, values: Mapping[str, str]) -> bool:
        """Whether a line is of this kind."""
        return (
            f"{record.name}.".startswith(f"edge_asd.{self.logger}.")
            and str(record.msg).startswith(self.template)
            and self.least <= record.levelno <= self.most
            and (self.where is None or values.get(self.where[0]) == self.where[1])
        )


_ALERT = "monitor=%s event=%s type=%s"
_NOTICE = "monitor=%s microphone=%s type=%s"

CLASSES = (
    MessageClass(
        "started",
        "8076e97651df4928ba28febc836f8e41",
        "daemon",
        "ready monitors=",
        "The daemon listens.",
    ),
    MessageClass(
        "stopping",
        "1ce16040983343be8da84ac894e6a1ff",
        "daemon",
        "signal=%s stopping",
        "The daemon was told to stop; what is decided is on the disk.",
    ),
    MessageClass(
        "reloaded",
        "c327a18f5a7e4871b0aaf96c4906855d",
        "reload.reloading",
        "reload result=%s",
        "The configuration was read again and is in force.",
    ),
    MessageClass(
        "networks-serve",
        "2157284b7f5d4647b1f88ad3dc96ac4a",
        "swap",
        "networks serve now=",
        "Another bundle or engine scores from now on: @EDGE_ASD_NOW@.",
    ),
    MessageClass(
        "reload-refused",
        "2c0768f2dfb74bc5bf37ee40bf90e349",
        "reload.reloading",
        "reload result=refused",
        "The configuration was read again and cannot be used: the one before stays in force."
        " @EDGE_ASD_REASON@",
    ),
    MessageClass(
        "alert-new",
        "4de8c421809548eb99e721c4db0307c1",
        "report",
        _ALERT,
        "Monitor @EDGE_ASD_MONITOR@ sounds different. Look with"
        " `edge-asd events show @EDGE_ASD_EVENT_ID@`.",
        where=("type", "new"),
    ),
    MessageClass(
        "alert-update",
        "69cc130372294efd807ac52f46a847e7",
        "report",
        _ALERT,
        "The alert of monitor @EDGE_ASD_MONITOR@ goes on.",
        where=("type", "update"),
    ),
    MessageClass(
        "alert-end",
        "25769dd038854afa89753b28f29e8718",
        "report",
        _ALERT,
        "Monitor @EDGE_ASD_MONITOR@ sounds as it did before.",
        where=("type", "end"),
    ),
    MessageClass(
        "alert-not-stored",
        "297c43c8a14440e4b0ee5fb562770512",
        "report.event_log",
        "monitor=%s event not stored",
        "The disk refuses an event, which is in this line only. Free space, then restart.",
    ),
    MessageClass(
        "microphone-fault",
        "9e919335ef69484c937a3522ba37b3de",
        "report",
        _NOTICE,
        "The microphone of @EDGE_ASD_MONITOR@ does not work: nothing can be said of the machine."
        " Check its cable and `edge-asd devices`.",
        where=("type", "new"),
    ),
    MessageClass(
        "microphone-works",
        "91bc20f63ff34f57b1e83e7bd011d32c",
        "report",
        _NOTICE,
        "The microphone of @EDGE_ASD_MONITOR@ works again.",
        where=("type", "end"),
    ),
    MessageClass(
        "state",
        "c5c234e172b045f783b40fb2ea5074e2",
        "monitor.announcer",
        "monitor=%s state=",
        "Monitor @EDGE_ASD_MONITOR@ went from @EDGE_ASD_PREVIOUS@ to @EDGE_ASD_STATE@.",
    ),
    MessageClass(
        "source",
        "a7a63887df2b44b1890656be680a9153",
        "capture",
        "source=%s",
        "A source of sound came or went.",
    ),
    MessageClass(
        "broker-lost",
        "e1bbd50b99a24d8092eee5a22b59a9e0",
        "publish",
        "mqtt %s",
        "The broker cannot be used. Events wait in the outbox.",
        least=logging.WARNING,
        each=False,
    ),
    MessageClass(
        "broker-connected",
        "6c2a82e06c454a3ea54ed4815a32759a",
        "publish",
        "mqtt %s",
        "The broker takes messages.",
        most=logging.INFO,
        each=False,
    ),
    MessageClass(
        "duplicate-device",
        "016920a5084d4607a46c4e47a717f528",
        "publish",
        "mqtt another daemon uses this name",
        "Another daemon publishes under this device's name: give one of them another `device`.",
    ),
    MessageClass(
        "outbox-drop",
        "bcb0d665a59941d7bf2bfcb5a5d8ec48",
        "publish",
        "outbox overflow",
        "The outbox was full and gave messages up. Bring the broker back, or give it more room with"
        " `outbox.max_mb`.",
    ),
    MessageClass(
        "enrolled",
        "769e598ae0254d5a86f75d53d8567d9b",
        "enrolment.enrolling",
        "monitor=%s enrolled",
        "Monitor @EDGE_ASD_MONITOR@ learned what its machine sounds like.",
    ),
    MessageClass(
        "enrolment-failed",
        "c30b9a11482648d2811bb408ef3b6ec2",
        "monitor",
        "monitor=%s enrolment failed",
        "Monitor @EDGE_ASD_MONITOR@ could not learn: @EDGE_ASD_REASON@.",
    ),
    MessageClass(
        "evidence-lost",
        "dea4b1ae60ac46b093c05d38723e4bf7",
        "evidence",
        "monitor=%s event=%s no evidence",
        "An alert of @EDGE_ASD_MONITOR@ has no recording.",
    ),
    MessageClass(
        "database-damaged",
        "b8058a1384954d70aa3bb44e7e019af3",
        "database",
        "database damaged",
        "A database was damaged, moved aside and started afresh: look into @EDGE_ASD_MOVED_TO@.",
    ),
    MessageClass(
        "overload",
        "23620cdcfe61467881b029e7b396a8bd",
        "worker",
        "overload",
        "The computer is too slow for all that it hears: windows are scored less often.",
        each=False,
    ),
    MessageClass(
        "engine-built",
        "c5b3b35e72464fd2836c15662582cc5b",
        "swap.plan_build",
        "engine build=done",
        "TensorRT's plans were built and have taken over.",
    ),
    MessageClass(
        "engine-not-built",
        "874900a657fa47d4b7ad8cefca2f584b",
        "swap.plan_build",
        "engine build=failed",
        "TensorRT's plans cannot be built or must not be used; another engine goes on:"
        " @EDGE_ASD_REASON@",
    ),
    MessageClass(
        "engine-failed",
        "743d6052a0114b2c80008ca7f837e929",
        "engine",
        "engine failed",
        "TensorRT failed while it served. The very window was scored by ONNX Runtime, which goes on"
        " until the daemon is restarted. @EDGE_ASD_REASON@",
    ),
    MessageClass(
        "worker-failed",
        "42cf89baf46a4869832a8e95ecdba8b1",
        "worker",
        "worker stopped",
        "The daemon ends because its worker failed; systemd starts it again.",
    ),
    MessageClass(
        "repeated",
        "0a7fc6d34d9148e082b4e2a08f23ad58",
        "logs.repeats",
        "unlogged=",
        "Lines that said the same were held back and counted.",
    ),
)


def class_of(record: logging.LogRecord, values: Mapping[str, str]) -> MessageClass | None:
    """The kind of a line, if it has one.

    Args:
        record: The line.
        values: What its ``key=value`` say.
    """
    return next((kind for kind in CLASSES if kind.fits(record, values)), None)


def catalogue() -> str:
    """All kinds as ``journalctl --catalog`` wants them explained."""
    return "\n".join(
        f"-- {kind.message_id}\nSubject: edge-asd: {kind.name}\nDefined-By: edge-asd\n\n"
        f"{kind.meaning}\n"
        for kind in CLASSES
    )
