"""Plain HTTP over asyncio streams: hundreds of connections that cost the test little."""

from __future__ import annotations

import asyncio
import json


class ConnectionLost(Exception):
    """The server closed the connection without an answer to a request that it had taken."""


class RawConnection:
    """One kept-alive connection. `open` is false once the server has said that it closes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.open = True

    @classmethod
    async def connect(cls, port: int) -> RawConnection:
        """Raises ConnectionRefusedError when nobody listens."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, path: str, body: object) -> tuple[int, dict[str, object]]:
        """Send JSON and return the answer's status and JSON. Raises ConnectionLost."""
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
        self._writer.write(head.encode() + content)
        try:
            answer = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            length = int(answer.split("Content-Length: ")[1].split("\r\n")[0])
            text = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ConnectionLost(str(error)) from error
        self.open = "Connection: close" not in answer
        return int(answer.split()[1]), json.loads(text)

    def close(self) -> None:
        self._writer.close()
