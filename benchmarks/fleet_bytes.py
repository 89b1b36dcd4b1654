"""What watching one device costs in bytes a day, measured on a run of real records.

    python benchmarks/fleet_bytes.py BUNDLE FRAMES [--rate 5] [--scrape 60]

Runs BUNDLE over FRAMES once (`tgkt-edge run`) and counts: bytes of a decision as a JSON line and as a CSV row; of an
MQTT PUBLISH with QoS 1 and its PUBACK, with and without TLS's 22 bytes a record (RFC 8446: AES-GCM); of one scrape of
/metrics, request and answer, over a real connection. TCP/IP headers are left out: some 40 to 60 bytes a packet.
"""

from __future__ import annotations

import argparse
import json
import socket
import tempfile
from pathlib import Path

import tgkt_edge
from tgkt_edge.runtime.events import Event
from tgkt_edge.runtime.records import BadFrame, Decision
from tgkt_edge.runtime.sinks import Message, RunInfo, open_sink

DAY = 86_400
TLS = 22
SCRAPE = (
    "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: Prometheus/3.0\r\nConnection: close\r\n"
    "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4\r\n"
    "Accept-Encoding: gzip\r\nAuthorization: Bearer 0123456789abcdef\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n"
)


def publish_bytes(topic: str, payload: int) -> int:
    """Bytes of a PUBLISH with QoS 1 and the PUBACK that answers it (MQTT 3.1.1, sections 2.2 and 3.3)."""
    remaining = 2 + len(topic.encode()) + 2 + payload
    length = 1 + (remaining > 127) + (remaining > 16_383)
    return 1 + length + remaining + 4


def scrape_bytes(port: int) -> int:
    """Bytes of one scrape, both ways."""
    request = SCRAPE.format(port).encode()
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
    return len(request) + len(answer)


def measure(bundle: Path, frames: str, rate: float, scrape: float) -> dict[str, float]:
    """Bytes a day of each way, for ``rate`` decisions a second and a scrape every ``scrape`` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        lines, rows = Path(folder) / "r.jsonl", Path(folder) / "r.csv"
        tgkt_edge.run(bundle, frames, sinks=[f"jsonl:{lines}", f"csv:{rows}"], live=False)
        texts = [line for line in lines.read_bytes().splitlines(keepends=True) if b'"event"' not in line]
        line = sum(map(len, texts)) / len(texts)
        row = rows.stat().st_size / len(texts)
    found = {
        "jsonl:": line * rate * DAY,
        "csv:": row * rate * DAY,
        "mqtt://": publish_bytes("site/building/door", round(line) - 1) * rate * DAY,
        "mqtts://": (publish_bytes("site/building/door", round(line) - 1) + 2 * TLS) * rate * DAY,
    }
    first = json.loads(texts[0])
    print(f"{len(texts)} records, e.g. {first}: {line:.0f} bytes as a JSON line, {row:.0f} as a CSV row")
    sink = open_sink("http://127.0.0.1:0")
    with tgkt_edge.load(bundle) as model:
        info = RunInfo.of_run(frames, model.engine, model.classes, model.sensor, model.size, model.digest)
        sink.open(info)

        def other(record: BadFrame | Event) -> None:
            sink.write(Message(record))

        for decision in model.stream(frames, others=other):
            assert isinstance(decision, Decision)
            sink.write(Message(decision))
    port = int(sink.name.rpartition(":")[2])
    size = scrape_bytes(port)
    print(f"a scrape: {size} bytes")
    found["scrape"] = size * DAY / scrape
    sink.close()
    return found


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("frames")
    parser.add_argument("--rate", type=float, default=5.0, help="decisions a second")
    parser.add_argument("--scrape", type=float, default=60.0, help="seconds between two scrapes")
    given = parser.parse_args()
    found = measure(given.bundle, given.frames, given.rate, given.scrape)
    print(f"MB a day of one device, {given.rate:g} decisions a second, a scrape every {given.scrape:g} s:")
    for name, size in found.items():
        print(f"  {name:<14}{size / 1e6:>9.2f}")


if __name__ == "__main__":
    main()
