"""Ask the daemon in this container whether its workers make progress; exit code 1 if not.

`EDGE_ASD_HTTP` names the address where `http.listen` is not the default. The token, where there is
one, is the credential `http-token`.
"""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path

address = os.environ.get("EDGE_ASD_HTTP", "127.0.0.1:9108")
token = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/run/secrets")) / "http-token"
headers = {"Authorization": f"Bearer {token.read_text().strip()}"} if token.exists() else {}
connection = http.client.HTTPConnection(address, timeout=4)
try:
    connection.request("GET", "/livez", headers=headers)
    answer = connection.getresponse()
except OSError as error:
    sys.exit(f"{address}/livez: {error}")
if answer.status != http.HTTPStatus.OK:
    sys.exit(f"{address}/livez: {answer.status} {answer.read().decode(errors='replace').strip()}")
