"""``mqtt://`` and ``mqtts://``: decisions to a broker, kept while it is away.

Decisions and unusable frames go to ``TOPIC``, changes of state and health to ``TOPIC/events``. ``TOPIC/status`` holds
``online`` or ``offline`` (the last will), ``TOPIC/info`` what runs; both are retained. Cameras with names have theirs
below: ``TOPIC/NAME`` and ``TOPIC/NAME/events``; what concerns all of them stays at ``TOPIC/events``.
"""

from __future__ import annotations

import random
import ssl
import sys
import threading
import time
from collections import deque
from typing import Any

from tgkt_edge.errors import UsageError
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.events import Event, UpdateEvent
from tgkt_edge.runtime.records import camera_of
from tgkt_edge.runtime.sinks.base import Message, RunInfo, Sink
from tgkt_edge.runtime.sinks.broker import Broker, device_client_id, parse_broker, reason_of, tls_context
from tgkt_edge.runtime.sinks.json_encoding import encode

_IN_FLIGHT = (
    50  # messages given to the client and not yet acknowledged: they cannot be dropped for newer ones
)
_KEEPALIVE = 30  # seconds without a word after which broker and client give each other up
_OWN_TOPICS = ("events", "status", "info")
_REFUSED = "the broker refuses the connection"
_CLOSE = 1.2  # seconds that closing waits for the buffer to empty


def open_mqtt(uri: str) -> Sink:
    """The sink of an ``mqtt`` or ``mqtts`` URI. Raises UsageError, MissingDependency (exit 6, extra ``sinks``)."""
    broker = parse_broker(uri)
    return MqttSink(broker, require("paho.mqtt.client", "sinks", "`sinks=mqtt://`"))


class MqttSink(Sink):
    """Publishes each record; keeps the newest ``broker.buffer`` of them in memory while the broker is away.

    A thread of the library makes and keeps the connection. A second thread hands it what waits, so that ``write`` never
    waits for the network and old records, not new ones, are dropped when the buffer is full. What was handed over and
    not acknowledged is sent again after a reconnect: with QoS 1 a record may arrive twice, never not at all. Nothing is
    kept over the end of the process; for that write ``jsonl:`` as well.

    Attributes:
        dropped: records that were lost because the buffer was full.
    """

    def __init__(self, broker: Broker, paho: Any) -> None:
        self.name, self.dropped = broker.name, 0
        self._broker, self._paho = broker, paho
        self._client: Any = None
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, str]] = deque()  # (topic, payload), oldest first
        self._acknowledged: deque[int] = deque()
        self._in_flight: set[int] = set()  # the pump's own
        self._wake = threading.Event()
        self._online = self._closing = False
        self._pump = threading.Thread(target=self._run_pump, name="mqtt-pump", daemon=True)

    def open(self, info: RunInfo) -> None:
        """Start connecting. A broker that is away does not stop the run.

        Raises:
            UsageError: (exit 2) a certificate's file cannot be used; a camera is called as one of our topics.
        """
        taken = [camera.name for camera in info.cameras if camera.name in _OWN_TOPICS]
        if taken:
            raise UsageError(
                f"`sinks={self.name}`: {self._broker.topic}/{taken[0]} is a topic that the sink itself uses: give the "
                f"camera {taken[0]} another name"
            )
        paho, broker = self._paho, self._broker
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=broker.client_id or device_client_id(broker.topic, info.source),
            protocol=paho.MQTTv311,
        )
        if broker.tls:
            client.tls_set_context(tls_context(broker))
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        client.will_set(f"{broker.topic}/status", "offline", qos=1, retain=True)
        client.max_inflight_messages_set(_IN_FLIGHT + 10)
        # Devices that lost the same broker do not all come back in the same second.
        client.reconnect_delay_set(random.uniform(0.5, 1.5), random.uniform(20, 40))
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_publish = self._on_connect_fail, self._on_publish
        self._about = {
            "run": info.run,
            "bundle": info.bundle,
            "device": info.device,
            "source": info.source,
            "engine": info.engine,
            "precision": info.precision,
            "classes": list(info.classes),
            "sensor": info.sensor.to_dict(),
            "started": info.started,
        } | ({"cameras": [camera.to_dict() for camera in info.cameras]} if info.cameras else {})
        self._info = encode(self._about)
        self._client = client
        client.connect_async(broker.host, broker.port, keepalive=_KEEPALIVE)
        client.loop_start()
        self._pump.start()

    def write(self, message: Message) -> None:
        """Put one record into the buffer.

        Raises:
            OSError: there is no connection, so that records wait; or the buffer was full, and the oldest was lost.
        """
        record = message.record
        camera = camera_of(record)
        topic = self._broker.topic + (f"/{camera}" if camera else "")
        topic += "/events" if isinstance(record, Event) else ""
        payload = message.text
        with self._lock:
            self._waiting.append((topic, payload))
            if isinstance(record, UpdateEvent) and record.state == "accepted":
                self._about |= {
                    "bundle": record.bundle,
                    "engine": record.engine,
                    "precision": record.precision,
                }
                self._info = encode(self._about)
                self._waiting.append((f"{self._broker.topic}/info", self._info))
            lost = len(self._waiting) > self._broker.buffer
            if lost:
                self._waiting.popleft()
                self.dropped += 1
            count = len(self._waiting)
        self._wake.set()
        trouble = self.trouble
        if lost:
            raise ConnectionError(
                f"{self.name}: {trouble or 'too slow'}; the buffer of {count} records is full, "
                f"{self.dropped} of the oldest were dropped"
            )
        if trouble:
            raise ConnectionError(f"{self.name}: {trouble.rstrip('.')}; records wait in memory")

    def close(self) -> None:
        """Send what waits if the broker answers and takes it within a second, say ``offline`` and disconnect."""
        if self._client is None or self._closing:
            return
        deadline = time.monotonic() + _CLOSE
        while (
            (self._online or not self.trouble)
            and (self._waiting or self._in_flight)
            and time.monotonic() < deadline
        ):
            time.sleep(0.01)
        self._closing = True
        self._wake.set()
        if self._online:
            last = self._client.publish(f"{self._broker.topic}/status", "offline", qos=1, retain=True)
            while not last.is_published() and time.monotonic() < deadline + 0.3:
                time.sleep(0.01)
        self._client.disconnect()
        with self._lock:
            self.dropped += len(self._waiting)
            self._waiting.clear()
        self._pump.join(0.2)
        # The library's thread may be waiting for a dead host; it ends by itself, nobody has to wait for it.
        stop = threading.Thread(target=self._client.loop_stop, name="mqtt-stop", daemon=True)
        stop.start()
        stop.join(0.3)

    def _run_pump(self) -> None:
        """Hand the client what waits, ``_IN_FLIGHT`` at most at a time."""
        while not self._closing:
            self._wake.wait(1.0)
            self._wake.clear()
            while self._acknowledged:
                self._in_flight.discard(self._acknowledged.popleft())
            while self._online and len(self._in_flight) < _IN_FLIGHT:
                with self._lock:
                    if not self._waiting:
                        break
                    topic, payload = self._waiting.popleft()
                kept = topic == f"{self._broker.topic}/info"
                sent = self._client.publish(topic, payload, qos=self._broker.qos, retain=kept)
                if self._broker.qos:  # QoS 0 is gone when it is sent; a lost connection never acknowledges it
                    self._in_flight.add(sent.mid)

    # The client calls these in its own thread, some while it holds its locks: they take none and publish nothing that
    # waits for an acknowledgement.

    def _on_connect(self, client: Any, data: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            self.trouble = f"{_REFUSED}: {code}"
            return
        self.trouble = ""
        client.publish(f"{self._broker.topic}/status", "online", qos=1, retain=True)
        client.publish(f"{self._broker.topic}/info", self._info, qos=1, retain=True)
        self._online = True
        self._wake.set()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, code: Any, properties: Any) -> None:
        if self._online:
            self.trouble = "the connection to the broker is lost"
        elif code.is_failure and not self.trouble.startswith(_REFUSED):
            hint = (
                " Does it want a certificate of this device (?cert=FILE&key=FILE)?"
                if self._broker.tls
                else ""
            )
            self.trouble = f"the broker closed the connection without an answer.{hint}"
        self._online = False

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        error = sys.exc_info()[1]  # the client calls this while it handles the reason
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "" if self._broker.ca else " Give its authority with ?ca=FILE."
            self.trouble = f"the broker's certificate is not accepted: {error.verify_message}.{hint}"
        else:
            self.trouble = f"the broker cannot be reached: {reason_of(error)}"

    def _on_publish(self, client: Any, data: Any, mid: int, code: Any, properties: Any) -> None:
        self._acknowledged.append(mid)
        self._wake.set()
