"""A quiet server answers at once, rests meanwhile, and ends at once."""

from __future__ import annotations

import socket
import socketserver
import threading

import pytest
from brokers import PATIENCE_S, eventually

from edge_asd.web.quiet_server import QuietServer


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline())


class Server(QuietServer, socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    rounds = 0

    def service_actions(self):
        self.rounds += 1


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def ask(server):
    with socket.create_connection(server.server_address, PATIENCE_S) as connection:
        connection.sendall(b"hello\n")
        return connection.makefile().readline()


def test_it_answers_and_wakes_up_for_nothing_else(server):
    for _ in range(3):
        assert ask(server) == "hello\n"
    # The answer is there a moment before its round has ended.
    eventually(lambda: server.rounds == 3, what="the end of the third round")
    assert not threading.Event().wait(0.3)
    assert server.rounds == 3


def test_a_client_that_is_gone_again_does_not_hold_it_up(server):
    for _ in range(20):
        connection = socket.create_connection(server.server_address, PATIENCE_S)
        reset = (b"\1\0\0\0" + bytes(4),)  # no lingering: the connection is reset
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, *reset)
        connection.close()
    assert ask(server) == "hello\n"


def test_it_ends_even_if_it_is_told_before_it_has_begun():
    with Server(("127.0.0.1", 0), Echo) as server:
        ending = threading.Thread(target=server.shutdown)
        ending.start()
        server.serve_forever()
        ending.join(PATIENCE_S)
        assert not ending.is_alive()


def test_an_address_that_is_taken_leaves_no_socket_behind(server):
    with pytest.raises(OSError, match="in use"):
        Server(server.server_address, Echo)
