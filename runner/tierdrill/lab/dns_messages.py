"""Questions and answers of the DNS (RFC 1035) about where a service is (SRV records, RFC 2782). Pure."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
A, SRV, IN = 1, 33, 1
DOMAIN = "lab.internal"
_SERVICE = "_http._tcp"
_QUESTION, _ANSWER, _NAME_ABOVE = 0x0100, 0x8580, 0xC00C


class BadMessage(ValueError):
    """Bytes that are no question or answer of these; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What a resolver said: its code, and where the service is (host:port) where it knows."""

    code: int
    address: str | None = None
    ttl_s: int = 0


def service(replica: str, source: str) -> str:
    """The name under which `source` finds a replica."""
    return f"{_SERVICE}.{replica}.{source}.{DOMAIN}"


def parts(name: str) -> tuple[str, str] | None:
    """Replica and source of such a name; None of any other."""
    if not (name.startswith(_SERVICE + ".") and name.endswith("." + DOMAIN)):
        return None
    replica, _, source = name.removeprefix(_SERVICE + ".").removesuffix("." + DOMAIN).rpartition(".")
    return (replica, source) if replica else None


def question(number: int, name: str) -> bytes:
    return struct.pack("!6H", number, _QUESTION, 1, 0, 0, 0) + _packed(name) + struct.pack("!2H", SRV, IN)


def asked(data: bytes) -> tuple[int, str, bytes]:
    """Number, name, and the question itself, which its answer repeats; BadMessage."""
    number, flags, questions = _unpacked("!3H", data, 0)
    if flags & 0x8000 or questions != 1:
        raise BadMessage("no question")
    name, at = _name(data, 12)
    if _unpacked("!2H", data, at) != (SRV, IN):
        raise BadMessage("a question about something else than an SRV record")
    return number, name, data[12 : at + 4]


def answer(number: int, asked_for: bytes, said: Answer) -> bytes:
    """An answer, with the address of its target beside it (as an A record) so that nobody has to ask again."""
    if said.address is None:
        return struct.pack("!6H", number, _ANSWER | said.code, 1, 0, 0, 0) + asked_for
    host, _, port = said.address.rpartition(":")
    target = _packed(f"{host.replace('.', '-')}.{DOMAIN}")
    record = struct.pack("!3H", 0, 0, int(port)) + target
    return b"".join(
        [
            struct.pack("!6H", number, _ANSWER | said.code, 1, 1, 0, 1) + asked_for,
            struct.pack("!3HIH", _NAME_ABOVE, SRV, IN, said.ttl_s, len(record)) + record,
            target + struct.pack("!2HIH", A, IN, said.ttl_s, 4) + IPv4Address(host).packed,
        ]
    )


def answered(data: bytes) -> tuple[int, Answer]:
    """Number of the question, and what is said to it; BadMessage."""
    number, flags, questions, answers, authorities, more = _unpacked("!6H", data, 0)
    at = 12
    for _ in range(questions):
        at = _name(data, at)[1] + 4
    ports: list[tuple[str, int, int]] = []
    hosts: dict[str, str] = {}
    for _ in range(answers + authorities + more):
        name, at = _name(data, at)
        kind, _, ttl_s, length = _unpacked("!2HIH", data, at)
        at += 10
        if kind == SRV:
            ports.append((_name(data, at + 6)[0], _unpacked("!3H", data, at)[2], ttl_s))
        elif kind == A:
            hosts[name] = str(IPv4Address(_unpacked("!I", data, at)[0]))
        at += length
    known = [Answer(flags & 15, f"{hosts[name]}:{port}", ttl_s) for name, port, ttl_s in ports if name in hosts]
    return number, known[0] if known else Answer(flags & 15)


def _packed(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        raise BadMessage(f"got the name {name!r}, expected labels of 1 to 63 bytes")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _name(data: bytes, at: int) -> tuple[str, int]:
    """The name that stands there, and where it ends. A pointer leads before all that was read: none leads round."""
    labels: list[str] = []
    end, begin = None, at
    while (length := _unpacked("!B", data, at)[0]) != 0:
        if length >= 0xC0:
            end = at + 2 if end is None else end
            to = _unpacked("!H", data, at)[0] & 0x3FFF
            if to >= begin:
                raise BadMessage("a name that leads forward or round")
            at = begin = to
            continue
        if length > 63 or at + 1 + length > len(data):
            raise BadMessage("a name that is cut off")
        labels.append(data[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    return ".".join(labels), at + 1 if end is None else end


def _unpacked(shape: str, data: bytes, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(shape, data, at)
    except struct.error:
        raise BadMessage("a message that is cut off") from None
