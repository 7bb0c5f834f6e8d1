"""A mail server of a process of its own, which keeps what it gets: one JSON object a line of a file.

    python -m faults.sink FOLDER

Prints its port. It writes FOLDER/mails before it answers; FOLDER/mood says whom it is unkind to:
`{"later": [address …], "vanish": [address …]}`, refused for now, or hung up on when their mail has come.
"""

import asyncio
import base64
import json
import os
import sys
from collections.abc import Mapping
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, Final, TextIO

from aiosmtpd.smtp import SMTP
from faults.mailcheck import Mail

KIND: Final[Mapping[str, list[str]]] = {"later": [], "vanish": []}


class Keeper:
    """What aiosmtpd asks about each mail."""

    def __init__(self, folder: Path, book: TextIO) -> None:
        self._folder = folder
        self._book = book

    def _minds(self, what: str, addresses: list[str]) -> bool:
        mood = json.loads((self._folder / "mood").read_text())
        return any(address in mood[what] for address in addresses)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd names it so
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        if self._minds("later", [address]):
            return "451 not now"
        envelope.rcpt_tos.append(address)
        return "250 recipient"

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - the same
        if self._minds("vanish", envelope.rcpt_tos):
            server.transport.abort()
            return "451 gone"
        content = envelope.original_content
        found = {
            "message_id": BytesHeaderParser().parsebytes(content)["Message-ID"],
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "content": base64.b64encode(content).decode(),
        }
        self._book.write(json.dumps(found) + "\n")
        self._book.flush()
        return "250 kept"


def collect(folder: Path) -> list[Mail]:
    """Return what a sink kept since it was last asked, in the order in which it came."""
    book = folder / "mails"
    found = [json.loads(line) for line in book.read_text().splitlines()]
    os.truncate(book, 0)
    return [
        Mail(row["message_id"], row["sender"], tuple(row["recipients"]), base64.b64decode(row["content"]))
        for row in found
    ]


def be(folder: Path, **mood: list[str]) -> None:
    """Set a sink's mood; kind unless told otherwise."""
    (folder / "mood").write_text(json.dumps({**KIND, **mood}))


async def _serve(folder: Path) -> None:
    with (folder / "mails").open("a") as book:
        keeper = Keeper(folder, book)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(keeper, hostname="sink.example", enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0
        )
        print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - whoever started it reads it
        await loop.run_in_executor(None, sys.stdin.read)  # until whoever started it is gone


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
