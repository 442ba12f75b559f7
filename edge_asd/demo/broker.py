"""An MQTT broker in a thread, on loopback, for as long as the demo lasts.

amqtt speaks MQTT 3.1.1 and lives in an asyncio loop; the thread ``broker`` owns both. The socket is
taken when the object is made, so that its port is known and clients may connect before the loop
runs: the kernel keeps them waiting.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
import threading
import warnings
from typing import Any

from typing_extensions import Self

from edge_asd.errors import PublishError

HOST = "127.0.0.1"
_START_S = 10.0
_STOP_S = 10.0
_LISTENER = "default"


def require_amqtt() -> None:
    """Check that the optional broker is installed, without importing it.

    Raises:
        PublishError: It is not.
    """
    if importlib.util.find_spec("amqtt") is None:
        raise PublishError(
            "the demo brings its own MQTT broker, which is not installed: "
            "pip install 'edge-asd[demo]'"
        )


class EmbeddedBroker:
    """See the module; use it as a context manager.

    Raises:
        PublishError: No port is free, or the broker does not start.
    """

    def __init__(self) -> None:
        try:
            self._socket = socket.create_server((HOST, 0))
        except OSError as error:
            raise PublishError(f"{HOST}: no port for the broker: {error.strerror}") from error
        self.port = int(self._socket.getsockname()[1])
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"mqtt://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        # Imported here, not in the thread: the warnings filter belongs to the whole process.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a library warns its own developers of
            import amqtt.adapters  # noqa: PLC0415 - optional
            import amqtt.broker  # noqa: F401, PLC0415 - optional
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        self._thread.start()
        if not self._started.wait(_START_S) or self._failure is not None:
            why = self._failure or f"not within {_START_S:g} s"
            self.__exit__()
            raise PublishError(f"the demo's broker does not start: {why}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - handed to whoever started it
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        from amqtt.broker import Broker  # noqa: PLC0415 - optional

        broker = Broker(
            {
                "listeners": {_LISTENER: {"type": "external"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
                },
            }
        )
        await broker.start()
        server = await asyncio.start_server(
            lambda reader, writer: _connected(broker, reader, writer), sock=self._socket
        )
        self._loop = asyncio.get_running_loop()
        self._started.set()
        await self._stop.wait()
        server.close()
        await broker.shutdown()


async def _connected(
    broker: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter  # noqa: PLC0415 - optional

    await broker.external_connected(
        StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER
    )
