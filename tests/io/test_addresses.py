"""What is shown of an address: enough to know the device again, nothing that may be a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from tgkt_edge.io.addresses import ambiguous, redacted, redacted_pipeline, redacted_text

SECRET = "HUNTER2"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        # Before the host.
        ("rtsp://admin:HUNTER2@192.168.0.10:554/Streaming/Channels/101", "rtsp://***@192.168.0.10:554/***/101"),
        ("rtsp://HUNTER2@cam.lan/live", "rtsp://***@cam.lan/live"),
        ("RTSP://admin:HUN%40TER2@[fe80::1%25eth0]:554/", "RTSP://***@[fe80::1%25eth0]:554/"),
        ("http://admin:HUNTER2:HUNTER2@host", "http://***@host"),
        ("http://user@HUNTER2@host/", "http://***@host/"),
        ("http://admin:HUN TER2@host/", "http://***@host/"),
        # In the path: XMEye, UniFi, Foscam, Dahua.
        ("rtsp://10.0.0.2/user=admin_password=HUNTER2_channel=1_stream=0.sdp", "rtsp://10.0.0.2/***"),
        ("rtsp://10.0.0.2:554/user=admin&password=HUNTER2&channel=1&stream=0.sdp?", "rtsp://10.0.0.2:554/***"),
        ("rtsps://10.0.0.2:7441/HUNTER2xQ7", "rtsps://10.0.0.2:7441/***"),
        ("rtsp://10.0.0.2/admin/HUNTER2/video1", "rtsp://10.0.0.2/***/***"),
        ("rtsp://10.0.0.2/pass/camera123", "rtsp://10.0.0.2/***/***"),
        ("rtsp://10.0.0.2/12345678", "rtsp://10.0.0.2/***"),
        ("rtsp://10.0.0.2/cam1234", "rtsp://10.0.0.2/***"),
        ("http://10.0.0.2/HUN%54ER2/video.mjpg", "http://10.0.0.2/***/video.mjpg"),
        # In parameters of any name, and fragments.
        ("http://h/videostream.cgi?loginuse=admin&loginpas=HUNTER2", "http://h/videostream.cgi?***"),
        ("http://h:81/livestream.cgi?user=a&pwd=HUNTER2", "http://h:81/***?***"),
        ("http://h/?x=HUNTER2#HUNTER2", "http://h/?***"),
        ("http://h?HUNTER2", "http://h?***"),
        ("http://h#HUNTER2", "http://h?***"),
        ("rtsp://h/cam/realmonitor?channel=1&subtype=0&authbasic=SFVOVEVSMg==", "rtsp://h/***/***?***"),
        # A password with a character in it that ends the host: no part of it may pass for the host.
        ("rtsp://admin:HUN/TER2@127.0.0.1:9/x", "rtsp://***"),
        ("rtsp://admin:1234/HUNTER2@127.0.0.1/x", "rtsp://***"),
        ("rtsp://admin:a@HUNTER2/b@127.0.0.1/x", "rtsp://***"),
        ("rtsp://admin:HUNTER2?a@127.0.0.1/x", "rtsp://***"),
        ("rtsp://admin:HUNTER2#a@127.0.0.1/x", "rtsp://***"),
        ("rtsp://admin:HUNTER2\\a@127.0.0.1/x", "rtsp://***"),
        ("http://h/?mail=a@HUNTER2", "http://***"),
        ("rtsp://admin:HUNTER2", "rtsp://***"),
        ("rtsp://[HUNTER2]/x", "rtsp://***"),
        # No address, or a mistyped one.
        ("admin:HUNTER2@192.168.0.10/live", "***"),
        ("//admin:HUNTER2@192.168.0.10/live", "***"),
        ("rtsp:/192.168.0.10/HUNTER2", "rtsp:***"),
        ("rtsp:192.168.0.10/HUNTER2", "rtsp:***"),
        ("192.168.0.10:554/HUNTER2", "192.168.0.10:554/***"),
        ("cam.lan/user=admin_password=HUNTER2", "***"),
        ("rtps://admin:HUNTER2@h/live", "rtps://***@h/live"),
        ("v4l2://admin:HUNTER2@h", "v4l2:***"),
        # Brokers: the path is a topic.
        ("mqtt://me:HUNTER2@host:1883/hall/scene?password=HUNTER2", "mqtt://***@host:1883/hall/scene?***"),
        ("mqtts://me:HUN/TER2@host/hall", "mqtts://***"),
        ("video:rtsp://me:HUNTER2@host/x", "video:rtsp://***@host/***"),
        ("jsonl:http://me:HUNTER2@host/live", "jsonl:http://***@host/live"),
    ],
)  # fmt: skip
def test_nothing_behind_the_host_is_shown_that_may_be_a_password(address: str, shown: str) -> None:
    assert redacted(address) == shown
    assert SECRET not in shown
    assert redacted(shown) == shown  # what was shown once may be shown again


@pytest.mark.parametrize(
    "address",
    [
        "0", "/dev/video0", "v4l2:///dev/video0", "realsense://912112073098", "openni2://1d27/0601@1/5",
        "csi://0", "clip/",
        "a.png", "frames/*.png", "frames/[ab]?.png", "replay:recordings/hall", "jsonl:-", "video:film.avi",
        "http://127.0.0.1:8080", "http://[::1]:8080/", "rtsp://cam/live", "http://192.168.0.10:81/video.mjpg",
        "rtsp://h/h264Preview_01_main", "rtsp://h/ch1", "rtsp://h/101", "mqtt://host:1883/site/hall/cam-3",
        "http://kamera-küche.local/snapshot.jpg",
    ],
)  # fmt: skip
def test_what_holds_no_secret_stays_as_it_is(address: str) -> None:
    assert redacted(address) == address


def test_names_of_files_stay_whole_whatever_they_hold(tmp_path: Path) -> None:
    odd = tmp_path / "user=admin@home&key=1"
    odd.mkdir()
    for address in (odd, odd / "a@b.png", f"replay:{odd}", f"jsonl:{odd}/new@x.jsonl", f"realsense://{odd}"):
        assert redacted(str(address)) == str(address)


def test_what_is_asked_of_a_file_that_is_there_is_shown_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tif").write_bytes(b"")
    (tmp_path / "frames").mkdir()
    monkeypatch.chdir(tmp_path)
    for words in (
        "page=3",
        "shape=480x640&packing=uint16",
        "topic=/camera/depth",
        "times=name",
        "track=DEPTH",
    ):
        for file in ("a.tif", "frames", "replay:frames", str(tmp_path / "frames")):
            assert redacted(f"{file}?{words}") == f"{file}?{words}"
        assert redacted(f"nowhere?{words}") == "***"
    assert redacted("a.tif?token=HUNTER2&page=3") == "a.tif?***"


@pytest.mark.parametrize(
    ("pipeline", "shown"),
    [
        (
            "rtspsrc location=rtsp://me:HUNTER2@h:554/live user-id=me user-pw=HUNTER2 ! decodebin ! appsink",
            "rtspsrc location=rtsp://***@h:554/live user-id=*** user-pw=*** ! decodebin ! appsink",
        ),
        ('rtspsrc user-pw="HUN TER2" latency=0 ! appsink', "rtspsrc user-pw=*** latency=0 ! appsink"),
        ("rtspsrc user-pw = HUNTER2 ! appsink", "rtspsrc user-pw=*** ! appsink"),
        ("rtspsrc user-pw=HUN TER2 ! appsink", "rtspsrc user-pw=*** *** ! appsink"),
        ("rtspsrc user-pw=HUN\\ HUNTER2 ! appsink", "rtspsrc user-pw=*** ! appsink"),
        ("rtspsrc user-pw='HUN\\'HUNTER2 ! a' ! appsink", "rtspsrc user-pw=*** ! appsink"),
        ('souphttpsrc location="http://h/x?pas=HUNTER2" ! appsink', "souphttpsrc location=http://h/***?*** ! appsink"),
        (
            'souphttpsrc extra-headers="h,Authorization=(string)\\"Basic HUNTER2\\"" cookies="{HUNTER2}" ! appsink',
            "souphttpsrc extra-headers=*** cookies=*** ! appsink",
        ),
        ("uridecodebin uri=rtsp://a:HUNTER2/b@h/x ! appsink", "uridecodebin uri=rtsp://*** ! appsink"),
        ("srtsrc uri=srt://h:1?passphrase=HUNTER2 ! appsink", "srtsrc uri=srt://h:1?*** ! appsink"),
        (
            "v4l2src device=/dev/video0 ! video/x-raw(memory:NVMM),format=NV12,width=(int)640,key=HUNTER2 ! appsink",
            "v4l2src device=/dev/video0 ! video/x-raw(memory:NVMM),format=NV12,width=(int)640,key=*** ! appsink",
        ),
    ],
)  # fmt: skip
def test_a_pipeline_shows_elements_formats_and_harmless_properties(pipeline: str, shown: str) -> None:
    assert redacted_pipeline(pipeline) == shown
    assert redacted(f"gst:{pipeline}") == f"gst:{shown}"
    assert redacted_pipeline(shown) == shown


def test_addresses_within_a_library_s_words_are_redacted_too() -> None:
    text = "[hls] Error loading 'http://me:HUNTER2@h:80/seg.ts?token=HUNTER2' and \"rtsp://h/HUNTER2\""
    assert redacted_text(text) == "[hls] Error loading 'http://***@h:80/***?***' and \"rtsp://h/***\""


def test_an_at_sign_behind_the_host_makes_an_address_ambiguous() -> None:
    assert ambiguous("rtsp://u:a/b@h/x")
    assert ambiguous("http://h/?mail=a@b")
    assert not ambiguous("rtsp://u:a@b@h/x")
    assert not ambiguous("rtsp://u:a%2Fb@h/x%40y")
