"""Addresses of cameras, brokers and pages as they may be shown: whatever could be a password is ``***``.

One rule for messages, records, MQTT, ``/api/info``, metrics and recordings. Cameras take passwords in many places:
before the host, in the path (XMEye's ``user=admin_password=..``, UniFi's secret names), in any parameter
(``loginpas=``). A list of such names is never complete, so nothing behind the host is shown but a last part of the path
that consists of known words and channel numbers.
"""

from __future__ import annotations

import ipaddress
import os
import re

HIDDEN = "***"

MISPLACED_AT = (
    "an '@' behind the host. In a password write / ? # @ as %2F %3F %23 %40, and an '@' anywhere else as %40"
)
"""What to say of an :func:`ambiguous` address."""

# What camera makers put in the last part of their paths, and file types. With up to three digits it names a channel or
# a stream.
_WORD = re.compile(
    r"(?i)amp|axis|cam|camera|cgi|ch|channels?|color|depth|frame|h26[45]|hevc|image|index|infra|infrared|ir|jpe?g|live|"
    r"m3u8|main|media|mjpe?g|mkv|mov|mp4|mpeg4|nir|php|png|preview|profile|sdp|snap|snapshot|stream|streaming|sub|"
    r"thermal|track|ts|unicast|video|videostream|webcam"
)
# In a path with one of these, the last part may be what it announces.
_CREDENTIALS = re.compile(r"(?i)[=&@]|pass|pwd|pw\b|token|key|auth|secret|user|login|admin|account")
# Properties of GStreamer elements, and fields of its formats, whose values are no secrets.
_PROPERTY = re.compile(
    r"bitrate|blocksize|buffer-size|colorimetry|device|do-timestamp|drop|drop-on-latency|emit-signals|format|framerate|"
    r"height|interlace-mode|io-mode|is-live|latency|leaky|max-buffers|max-lateness|max-size-(?:buffers|bytes|time)|name|"
    r"num-buffers|pattern|pixel-aspect-ratio|port|protocols|qos|sensor-id|sensor-mode|stream-type|sync|timeout|"
    r"wait-on-eos|wbmode|width"
)
# What is asked of a file or folder that is there.
_OF_FILES = re.compile(
    r"(?:(?:page|array|channel|shape|packing|topic|track|times|telemetry|max_skew_ms)=[^&]*(?:&|$))+"
)
_LOCAL = ("v4l2", "obsensor", "realsense", "depthai", "orbbec", "csi", "replay", "jsonl", "video")
_NETWORK = re.compile(r"(?i)(rtsps?|https?|mqtts?|rtmps?|rtp|udp|tcp|srt|ftp):")
_BROKERS = ("mqtt", "mqtts")  # their path is a topic
_HOST = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?")
_FORMAT = re.compile(r"[a-z]+/[a-z0-9.-]+(\([\w:,]+\))?")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def redacted(address: str) -> str:
    """What messages and records call a camera or sink: ``rtsp://***@192.168.0.10:554/***/101``.

    Of an address on a network stay the scheme, the host, the port, and the last part of the path where it consists of
    known words and of numbers of at most three digits. Of ``gst:`` pipelines stay elements, formats and properties
    that hold no secret. Files and devices keep their names. What may be a mistyped address is hidden altogether.
    """
    scheme, colon, rest = address.partition(":")
    if colon and scheme.lower() == "gst":
        return f"{scheme}:{redacted_pipeline(rest)}"
    if colon and scheme.lower() == "openni2":  # 1d27/0601@1/5: a vendor, a product, a bus
        return address
    if colon and scheme.lower() in _LOCAL:
        return f"{scheme}:{_redacted_path(rest)}"
    return _redacted_path(address)


def redacted_pipeline(pipeline: str) -> str:
    """A GStreamer pipeline without the values of properties that may be secret, and with its addresses redacted."""
    text = re.sub(r"\s*=\s*", "=", pipeline.strip())
    words = re.findall(r"""(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|\\.?|[^\s"'\\])+""", text)
    shown, first = [], True
    for word in words:
        shown.append("!" if word == "!" else _redacted_word(word, first))
        first = word == "!"
    return " ".join(shown)


def redacted_text(text: str) -> str:
    """A library's words with every address in them redacted."""
    return re.sub(rf"{_URI.pattern}[^\s'\"<>]+", lambda found: redacted(found.group()), text)


def ambiguous(uri: str) -> bool:
    """Whether ``uri`` has an ``@`` behind its first ``/``, ``?`` or ``#``: its host may be part of a password."""
    rest = uri.partition("://")[2]
    return "@" in rest[len(_authority(rest)) :]


def _authority(rest: str) -> str:
    return re.split(r"[/?#\\]", rest, maxsplit=1)[0]


def _redacted_path(text: str) -> str:
    """A file's path as it is, unless it may be an address that was mistyped or has no scheme."""
    if _URI.match(text):
        return _redacted_uri(text)
    path = text.removeprefix("//")
    if os.path.lexists(path) or ("/" in path and os.path.isdir(os.path.dirname(path))):
        return text
    if (file := path.rpartition("?"))[1] and os.path.lexists(file[0]):
        return text if _OF_FILES.fullmatch(file[2]) else f"{text.rpartition('?')[0]}?{HIDDEN}"
    if mistyped := _NETWORK.match(text):
        return f"{mistyped.group()}{HIDDEN}"
    if any(character in text for character in "@=&"):
        return HIDDEN
    host = _authority(path)
    try:
        ipaddress.ip_address(host.partition(":")[0])
    except ValueError:
        return text
    return _redacted_uri(f"//{path}")[2:]


def _redacted_uri(uri: str) -> str:
    scheme, slashes, rest = uri.partition("//")
    authority = _authority(rest)
    _, at, host = authority.rpartition("@")
    if ambiguous(f"://{rest}") or not _is_host(host):
        return f"{scheme}//{HIDDEN}"
    shown = f"{scheme}{slashes}{f'{HIDDEN}@' if at else ''}{host}"
    path, more = re.split(r"[?#]", f"{rest[len(authority) :]}#", maxsplit=1)
    before, slash, last = path.rpartition("/")
    if scheme.rstrip(":").lower() in _BROKERS and "=" not in path:
        shown += path
    elif slash:
        shown += f"/{HIDDEN}" if before.strip("/") else ""
        shown += f"/{last if _is_harmless(last) and not _CREDENTIALS.search(before) else HIDDEN}"
    return shown + (f"?{HIDDEN}" if more.strip("#") else "")


def _is_host(text: str) -> bool:
    """Whether ``text`` is a host with or without a port, and nothing else."""
    found = re.fullmatch(r"(\[.*\]|[^:]*)(?::(\d{0,5}))?", text)
    if found is None:
        return False
    name = found.group(1)
    if not name.startswith("["):
        return name == "" or _HOST.fullmatch(name) is not None
    try:
        return bool(ipaddress.ip_address(name[1:-1].partition("%")[0]))
    except ValueError:
        return False


def _is_harmless(part: str) -> bool:
    """Whether the last part of a path consists of known words and of at most three digits."""
    digits = 0
    for piece in re.findall(r"[A-Za-z]+[0-9]*|[0-9]+|[^A-Za-z0-9]+", part):
        word = piece if _WORD.fullmatch(piece) else piece.rstrip("0123456789")
        digits += len(piece) - len(word)
        if word and not _WORD.fullmatch(word) and word not in ("_", "-", "."):
            return False
    return digits <= 3


def _redacted_word(word: str, first: bool) -> str:
    """``first``: it begins an element, so it is the name of one, or a format."""
    if first and _FORMAT.match(word):
        kind, *fields = re.split(r",(?![^()]*\))", word)
        return ",".join(
            [kind if _FORMAT.fullmatch(kind) else HIDDEN, *(_redacted_property(f.strip()) for f in fields)]
        )
    if "=" in word:
        return _redacted_property(word)
    return word if first and re.fullmatch(r"[A-Za-z][\w-]*\.?", word) else HIDDEN


def _redacted_property(text: str) -> str:
    name, _, value = text.partition("=")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_:-]*", name):
        return HIDDEN
    value = value.strip("\"'")
    if name.lower() in ("location", "uri"):
        return f"{name}={redacted(value)}"
    known = _PROPERTY.fullmatch(name) and re.fullmatch(r"[\w./:()+-]{1,64}", value)
    return f"{name}={value if known else HIDDEN}"
