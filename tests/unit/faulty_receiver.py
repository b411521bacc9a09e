"""An MLLP receiver on a real socket that goes wrong exactly as a test tells it to.

    with FaultyReceiver([reject("AE"), silence(), accept()]) as receiver: ...

Each message takes the next fault of the script; when the script is over, all is well.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence

VT, END = b"\x0b", b"\x1c\r"
Fault = Callable[["Line", str], None]


class Line:
    """One connection, as a fault uses it."""

    def __init__(self, receiver: "FaultyReceiver", connection: socket.socket) -> None:
        self.receiver, self.connection = receiver, connection

    def send(self, frame: bytes) -> None:
        self.connection.sendall(frame)

    def close(self) -> None:
        self.connection.close()

    def reset(self) -> None:
        """Close without a farewell, as a machine does whose power fails."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def answer(code: str, control_id: str, rest: str = "") -> bytes:
    msh = "MSH|^~\\&|THERE|||HERE|20261101080000+0000||ACK|A1|P|2.5.1"
    return VT + f"{msh}\rMSA|{code}|{control_id}\r{rest}".encode() + END


def accept(code: str = "AA") -> Fault:
    return lambda line, control_id: line.send(answer(code, control_id))


def reject(code: str, err: str = "ERR||PV1^1^44|101^Required field missing^HL70357|E\r") -> Fault:
    return lambda line, control_id: line.send(answer(code, control_id, err))


def silence() -> Fault:
    """The message is taken, and no answer comes; the next one may be answered."""
    return lambda line, control_id: None


def late() -> Fault:
    """The answer comes in front of the next message's answer, on whichever connection that is."""

    def keep(line: Line, control_id: str) -> None:
        line.receiver.owed.append(answer("AA", control_id))

    return keep


def about_another(code: str = "AA") -> Fault:
    return lambda line, control_id: line.send(answer(code, "SOMETHING-ELSE"))


def say(frame: bytes) -> Fault:
    return lambda line, control_id: line.send(frame)


def half_an_answer() -> Fault:
    def speak(line: Line, control_id: str) -> None:
        line.send(answer("AA", control_id)[:-12])
        line.close()

    return speak


def close() -> Fault:
    return lambda line, control_id: line.close()


def reset() -> Fault:
    return lambda line, control_id: line.reset()


def in_turn(*faults: Fault) -> Fault:
    def each(line: Line, control_id: str) -> None:
        for fault in faults:
            fault(line, control_id)

    return each


class FaultyReceiver:
    """Listens on a free port of this machine until it is closed."""

    def __init__(
        self, script: Sequence[Fault] = (), *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._tls = tls
        self.script = list(script)
        self.received: list[bytes] = []
        self.control_ids: list[str] = []
        self.connections = 0
        self.owed: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> "FaultyReceiver":
        return self

    def __exit__(self, *error: object) -> None:
        # A thread that waits in accept() keeps the port until it is woken.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        pending = b""
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            line = Line(self, connection)
            while part := connection.recv(65_536):
                pending += part
                while END in pending:
                    frame, pending = pending.split(END, 1)
                    self._take(line, frame.lstrip(VT))
        except OSError:
            return

    def _take(self, line: Line, raw: bytes) -> None:
        control_id = raw.split(b"\r", 1)[0].split(b"|")[9].decode()
        self.received.append(raw)
        self.control_ids.append(control_id)
        for owed in self.owed:
            line.send(owed)
        self.owed.clear()
        fault = self.script.pop(0) if self.script else accept()
        fault(line, control_id)
