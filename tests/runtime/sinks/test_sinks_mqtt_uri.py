"""The URI of a broker: its parts, and each wrong one refused by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.sinks import INFO
from tgkt_edge.errors import MissingDependency, UsageError
from tgkt_edge.runtime.sinks import open_sink
from tgkt_edge.runtime.sinks.broker import device_client_id, parse_broker


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("mqtt://host", ["expected mqtt://host/topic"]),
        ("mqtt:///t", ["expected mqtt://host/topic"]),
        ("mqtt://host:99999/t", ["not a host and port"]),
        ("mqtt://u:hunter2@host/a/+/b", ["no '+', '#'"]),
        ("mqtt://u:hunter2@host/t?quos=1", ["unknown option 'quos'", "Did you mean 'qos'"]),
        ("mqtt://u:hunter2@host/t?qos=3", ["qos=3", "from 0 to 2"]),
        ("mqtt://u:hunter2@host/t?ca=x", ["'ca' needs an encrypted connection: mqtts://"]),
        ("mqtt://:hunter2@host/t", ["a password needs a user"]),
        ("mqtt://u:hunter2@host/t?password_file=x", ["give one of them"]),
        ("mqtt://u@host/t?password_file=/no/file", ["/no/file cannot be read: No such file"]),
        ("mqtts://u:hunter2@host/t?key=x", ["give 'cert', too"]),
        ("mqtts://u:hunter2@host/t?ca=/no/file", ["ca=/no/file cannot be used: No such file"]),
        ("mqtts://u:hunter2@host/t?ca={}", ["no certificate or crl found", "Expected a PEM file"]),
        ("mqtts://u:hunter2@host/t?cert={}", ["holds no certificate", "unlocked key"]),
    ],
)
def test_bad_uris_and_certificates_exit_2_and_show_no_password(
    tmp_path: Path, uri: str, words: list[str]
) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    with pytest.raises(UsageError) as caught:
        open_sink(uri.format(tmp_path / "empty.pem")).open(INFO)
    for word in words:
        assert word in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_parts_of_a_uri() -> None:
    broker = parse_broker("mqtts://cam%40site:p%40ss%2Fw@[::1]/a/b%3F?client_id=x&buffer=7&qos=0")
    assert (broker.host, broker.port, broker.topic) == ("::1", 8883, "a/b?")
    assert (broker.user, broker.password) == ("cam@site", "p@ss/w")
    assert (broker.client_id, broker.buffer, broker.qos) == ("x", 7, 0)
    assert broker.name == "mqtts://[::1]:8883/a/b?"
    assert "p@ss" not in repr(broker)
    assert parse_broker("mqtt://h/t").port == 1883
    assert parse_broker("mqtt://h/t").client_id is None


def test_a_device_has_one_client_id_for_each_topic_and_camera() -> None:
    name = device_client_id("cellar/door", "v4l2:///dev/video0")
    assert name == device_client_id("cellar/door", "v4l2:///dev/video0")
    assert name != device_client_id("cellar/door", "v4l2:///dev/video2")
    assert name != device_client_id("cellar", "v4l2:///dev/video0")
    assert name.startswith("tgkt-edge-")


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(MissingDependency, match=r"pip install .*\[sinks\]'"):
        open_sink("mqtt://host/t")
