"""A connection to the emulator that shows what a client library would hide."""

import socket
from http.client import HTTPException, HTTPResponse
from urllib.parse import urlsplit

TIMEOUT_S = 5.0


class RawConnection:
    """One TCP connection; it is never opened again."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.socket = socket.create_connection((parts.hostname, parts.port), TIMEOUT_S)

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, head: str, body: bytes = b"") -> None:
        """`head`: lines parted by newlines, without the empty one."""
        self.socket.sendall("\r\n".join([*head.splitlines(), "", ""]).encode() + body)

    def answer(self, method: str = "GET") -> tuple[int, bytes, dict[str, str]] | None:
        """Status, body, headers; None where the connection ended instead."""
        response = HTTPResponse(self.socket, method=method)
        try:
            response.begin()
            return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
        except (ConnectionError, HTTPException):
            return None
        finally:
            response.close()

    def ask(self, url: str) -> bytes | None:
        """The body of a GET; None where the connection ended instead."""
        parts = urlsplit(url)
        try:
            self.send(f"GET {parts.path} HTTP/1.1\nhost: {parts.netloc}")
        except ConnectionError:
            return None
        answer = self.answer()
        return answer[1] if answer else None
