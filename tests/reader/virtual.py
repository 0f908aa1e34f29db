"""The specimen chip on Debian's virtual PC/SC reader."""

from __future__ import annotations

import socket

from annul.reader.specimen import SpecimenChip


def serve_virtual_reader(chip: SpecimenChip, port: int) -> None:
    """Lay the chip on Debian's virtual PC/SC reader at a loopback port, until the reader hangs up.

    Source: the protocol of vsmartcard's vpcd: 2-byte length, then a control byte (0 off, 1 on, 2 reset, 4 ATR) or
    a command.
    """
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            head = _receive(link, 2)
            if len(head) < 2:
                return
            message = _receive(link, int.from_bytes(head, "big"))
            if len(message) == 1 and message[0] in (0, 1, 2, 4):
                if message[0] != 4:
                    chip.reset()
                    continue
                answer = chip.ATR
            else:
                answer = chip.transmit(message)
            link.sendall(len(answer).to_bytes(2, "big") + answer)


def _receive(link: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = link.recv(count - len(data))
        # vpcd sends length and message apart: without this each exchange waits 40 ms for a delayed acknowledgement.
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if not part:
            return data
        data += part
    return data
