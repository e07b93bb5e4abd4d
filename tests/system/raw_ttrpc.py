"""Just enough protobuf and ttrpc, over blocking sockets, to talk to a shim and to be its manager.

A message is a dict from field number to value: int, str, bytes, dict (a sub-message), or a list of
those. Decoded, every field is a list of ints and bytes.
"""

import os
import socket
import struct
import threading

OK, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS = 0, 2, 3, 4, 5, 6
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNIMPLEMENTED, INTERNAL = 8, 9, 12, 13
REQUEST, RESPONSE = 1, 2
YEAR_1 = -62135596800
PATIENCE_SECONDS = 15


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def encode(message):
    out = b""
    for field, value in sorted(message.items()):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                item = encode(item)
            if isinstance(item, str):
                item = item.encode()
            if isinstance(item, bytes):
                out += varint(field << 3 | 2) + varint(len(item)) + item
            else:
                out += varint(field << 3) + varint(int(item))
    return out


def read_varint(data, at):
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return number, at


def decode(data):
    message, at = {}, 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 2:
            size, at = read_varint(data, at)
            assert at + size <= len(data), "message is cut off"
            value, at = data[at : at + size], at + size
        elif key & 7 == 0:
            value, at = read_varint(data, at)
        elif key & 7 == 1:
            value, at = data[at : at + 8], at + 8
        else:
            raise AssertionError(f"wire type {key & 7}")
        message.setdefault(key >> 3, []).append(value)
    return message


def number(message, field):
    return message.get(field, [0])[-1]


def text(message, field):
    return message.get(field, [b""])[-1].decode()


def sub(message, field):
    return decode(message.get(field, [b""])[-1])


def seconds(message, field):
    value = number(sub(message, field), 1)
    return value - (1 << 64) if value >> 63 else value


def frame(stream, kind, body):
    return struct.pack(">IIBB", len(body), stream, kind, 0) + body


def receive(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError("connection closed")
        data += more
    return data


def receive_frame(sock):
    size, stream, kind, _ = struct.unpack(">IIBB", receive(sock, 10))
    return stream, kind, receive(sock, size)


class Error(Exception):
    """A status that is not OK."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Client:
    """A connection to a shim. One call at a time from the caller's view; answers may be kept."""

    def __init__(self, address, version):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(address.removeprefix("unix://"))
        self.service = f"containerd.task.v{version}.Task"
        self.next = 1
        self.kept = {}

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.sock.close()

    def send(self, method, fields, service=None, payload=None):
        stream, self.next = self.next, self.next + 2
        body = encode({1: service or self.service, 2: method,
                       3: encode(fields) if payload is None else payload,
                       5: {1: "containerd-namespace-ttrpc", 2: "default"}})
        self.sock.sendall(frame(stream, REQUEST, body))
        return stream

    def take(self, stream, patience=PATIENCE_SECONDS):
        self.sock.settimeout(patience)
        while stream not in self.kept:
            got, kind, body = receive_frame(self.sock)
            assert kind == RESPONSE
            self.kept[got] = body
        answer = decode(self.kept.pop(stream))
        status = sub(answer, 1)
        if number(status, 1):
            raise Error(number(status, 1), text(status, 2))
        return sub(answer, 2)

    def call(self, method, fields=None, **more):
        return self.take(self.send(method, fields or {}, **more))

    def code(self, method, fields=None, **more):
        try:
            self.call(method, fields, **more)
        except Error as error:
            return error.code
        return OK


class Events:
    """The manager's side: takes Forward calls, and answers as it is told.

    `answer(topic, attempt)` returns a gRPC code, or "close", or "silent".
    """

    def __init__(self, path, answer=lambda topic, attempt: OK):
        self.path, self.answer = path, answer
        self.received = []  # (topic, type, event) of all that were answered OK
        self.attempts = {}
        self.changed = threading.Condition()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.listener.close()
        os.unlink(self.path)

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with sock:
            try:
                while self.take(sock):
                    pass
            except (EOFError, OSError):
                pass

    def take(self, sock):
        stream, _, body = receive_frame(sock)
        request = decode(body)
        assert text(request, 1) == "containerd.services.events.ttrpc.v1.Events"
        assert text(request, 2) == "Forward"
        envelope = sub(sub(request, 3), 1)
        topic, event = text(envelope, 3), sub(envelope, 4)
        with self.changed:
            attempt = self.attempts[topic] = self.attempts.get(topic, 0) + 1
            code = self.answer(topic, attempt)
            if code == OK:
                self.received.append((topic, text(event, 1), sub(event, 2)))
                self.changed.notify_all()
        if code == "close":
            return False
        if code != "silent":
            status = {1: {1: code, 2: "told to"}} if code else {}
            sock.sendall(frame(stream, RESPONSE, encode(status)))
        return True

    def topics(self):
        with self.changed:
            return [topic for topic, _, _ in self.received]

    def wait_for(self, count, patience=PATIENCE_SECONDS):
        """All events, once there are that many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.received) >= count, patience), self.received
            return list(self.received)
