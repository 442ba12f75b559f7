"""The pictures of the dashboards can be drawn from whatever a Prometheus answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
BEGIN_S, END_S = 1_790_000_000, 1_790_000_600
LABELS = {"instance": "press-hall-3:9108", "monitor": "pump", "state": "normal"}


class Answers(BaseHTTPRequestHandler):
    """Queries of a span have two curves, one with a gap; those of a moment a value each."""

    asked: list[str]

    def do_GET(self):
        path, _, text = self.path.partition("?")
        arguments = urllib.parse.parse_qs(text)
        self.asked.append(arguments["query"][0])
        times = [at for at in range(BEGIN_S, END_S, 5) if not BEGIN_S + 200 < at < BEGIN_S + 300]
        if path.endswith("query_range"):
            rising = [[at, str(number % 4)] for number, at in enumerate(times)]
            result = [
                {"metric": LABELS, "values": rising},
                {"metric": LABELS | {"monitor": "fan"}, "values": [[BEGIN_S, "NaN"]]},
            ]
        else:
            result = [{"metric": LABELS, "value": [END_S, "1"]}]
        body = json.dumps({"data": {"result": result if "fault" not in text else []}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def prometheus():
    Answers.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_both_dashboards_are_drawn_with_their_own_queries_filled_in(prometheus, tmp_path):
    command = [sys.executable, ROOT / "tools" / "dashboard_pictures.py", "--out", tmp_path]
    span = ["--begin", str(BEGIN_S), "--end", str(END_S), "--prometheus", prometheus]
    done = subprocess.run([*command, *span], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("fleet", "device"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 1200
            assert len(picture.convert("RGB").getcolors(2**20)) > 100  # not an empty page
    assert len(Answers.asked) > 30
    assert not [query for query in Answers.asked if "$" in query or "<" in query]
