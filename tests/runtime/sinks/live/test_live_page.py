"""The live page in a real browser: what people see, on a desk and on a phone, with no network but the server."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.live import Live, Tab
from tgkt_edge.runtime.records import Candidate
from tgkt_edge.runtime.sinks import Message
from tgkt_edge.sensor import PRESETS, SensorSpec


@pytest.mark.slow
def test_it_shows_decision_figures_health_and_events(tab: Tab, live: Live) -> None:
    assert "waiting for the first frame" in tab.text("#empty")
    live.write(Live.state("live", "opened"))
    live.write(Live.health("input_drift"))
    for number in (0, 1, 3):
        live.write(Live.ramp(number))
    tab.wait(
        "document.getElementById('label').textContent === 'bedroom' && document.getElementById('empty').hidden"
    )
    assert tab.text("#probability") == "75 %"
    assert [line.split("\n") for line in tab.page.locator("#top li").all_inner_texts()] == [
        ["bedroom", "75 %"],
        ["kitchen", "25 %"],
    ]
    tab.wait("document.getElementById('frames').textContent === '3'")
    assert tab.text("#dropped") == "1"
    assert tab.text("#p50") == "13.5 ms"
    assert tab.text("#inference") == "10.0 ms"
    assert tab.text("#state-text") == "live"
    assert tab.text("#source") == "v4l2:///dev/video0"
    assert "input drift" in tab.text("#health")
    assert "raised" in tab.text("#health")
    assert "live: opened" in tab.text("#events")
    assert tab.page.title() == "bedroom \u00b7 tgkt-edge"
    live.write(Live.ramp(4, "kitchen"))
    tab.wait("document.getElementById('label').textContent === 'kitchen'")
    assert "Last minute: " in tab.page.locator("#timeline").get_attribute("aria-label")


@pytest.mark.slow
def test_bars_of_one_frame_are_told_from_a_decision_over_several(tab: Tab, live: Live) -> None:
    live.write(Live.ramp(0))
    tab.wait("document.getElementById('label').textContent === 'bedroom'")
    assert tab.page.locator("#alone").is_hidden()  # the decision is this frame's
    live.write(Live.decision(1, label="kitchen", probability=0.4, top=(Candidate("bedroom", 0.9),)))
    tab.wait("document.getElementById('label').textContent === 'kitchen'")
    assert tab.text("#probability") == "40 %"
    assert tab.text("#alone") == "This frame alone:"
    assert tab.text("#top li").split("\n") == ["bedroom", "90 %"]


@pytest.mark.slow
def test_metres_under_the_pointer_and_by_keyboard(tab: Tab, live: Live) -> None:
    live.write(Live.ramp(0))
    tab.wait("document.getElementById('empty').hidden")
    box = tab.page.locator("#picture").bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] * 40.5 / 64, box["y"] + box["height"] * 30.5 / 48)
    assert tab.text("#probe-text") == "1.040 m40, 30"
    tab.page.mouse.move(box["x"] + box["width"] * 10.5 / 64, box["y"] + box["height"] * 1.5 / 48)
    assert tab.text("#probe-text") == "no measurement10, 1"
    tab.page.mouse.move(1, 1)
    assert tab.page.locator("#probe").is_hidden()
    tab.page.locator("#picture").focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown", "ArrowUp"):  # from the middle
        tab.page.keyboard.press(key)
    assert tab.text("#probe-text") == "1.034 m34, 33"
    assert tab.text("#probe-said") == "1.034 m, column 34, row 33"
    tab.page.keyboard.press("Escape")
    assert tab.page.locator("#probe").is_hidden()


STEREO = SensorSpec(
    "depth", encoding="disparity", unit_px=0.25, baseline_m=0.5, focal_px=600.0, near_m=0.0, far_m=100.0,
    invalid=(0,),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sensor", "raw", "shown", "nothing"),
    [
        (PRESETS["lepton"], np.uint16(30965), "36.50 \u00b0C", 0),
        (
            SensorSpec("thermal", "float32", unit_k=1, offset_k=273.15, cold_c=0, hot_c=40),
            36.5,
            "36.50 \u00b0C",
            np.nan,
        ),
        (PRESETS["depth-m"], 1.25, "1.250 m", np.nan),
        (SensorSpec("nir", "float32", black=0.0, white=1.0), 0.25, "0.2500", -1),
        (STEREO, np.uint16(40), "30.00 m", 0),
    ],
    ids=["centikelvin", "celsius", "metres", "reflectance", "disparity"],
)
def test_every_quantity_is_shown_in_its_unit(
    sensor: SensorSpec, raw: float, shown: str, nothing: float, browser: Any
) -> None:
    """Degrees, metres and reflectance under the pointer; floating-point frames are coded in 65535 steps on the way."""
    frame = np.full((48, 64), raw, sensor.numpy_dtype)
    frame[:4] = nothing
    with closing(Live(sensor=sensor)) as live, closing(Tab(browser, live.url)) as tab:
        live.write(Message(Live.decision(0).record, frame))
        tab.wait("document.getElementById('empty').hidden")
        box = tab.page.locator("#picture").bounding_box()
        for row, text in ((30, shown), (1, "no measurement")):
            tab.page.mouse.move(
                box["x"] + box["width"] * 40.5 / 64, box["y"] + box["height"] * (row + 0.5) / 48
            )
            assert tab.text("#probe-text") == f"{text}40, {row}"
        assert tab.messages == []


@pytest.mark.slow
def test_a_low_window_still_points_at_the_right_pixel(tab: Tab, live: Live) -> None:
    tab.page.set_viewport_size({"width": 1600, "height": 420})
    live.write(Live.ramp(0))
    tab.wait("document.getElementById('empty').hidden")
    box = tab.page.locator("#picture").bounding_box()
    assert box["height"] <= 300
    assert box["width"] == pytest.approx(box["height"] * 64 / 48, abs=2)
    tab.page.mouse.move(box["x"] + box["width"] * 20.5 / 64, box["y"] + box["height"] / 2)
    assert tab.text("#probe-text").startswith("1.020 m20,")


PIXEL = "([x, y]) => [...document.getElementById('picture').getContext('2d').getImageData(x, y, 1, 1).data]"


@pytest.mark.slow
def test_pixels_have_the_colours_of_the_table(tab: Tab, live: Live) -> None:
    live.write(Live.ramp(0))
    tab.wait("document.getElementById('empty').hidden")
    assert tab.page.evaluate(PIXEL, [0, 2]) == [48, 46, 56, 255]  # a hole
    assert tab.page.evaluate(PIXEL, [0, 40]) == [0x44, 0x01, 0x54, 255]  # viridis' ends
    assert tab.page.evaluate(PIXEL, [63, 40]) == [0xFD, 0xE7, 0x25, 255]
    assert (tab.text("#low"), tab.text("#high")) == ("1.00 m", "1.06 m")
    tab.page.locator("#range").select_option("model")
    assert tab.text("#high") == f"{Live.INFO.sensor.far_m:.2f} m"
    tab.page.locator("#colours").select_option("grey")
    red, green, blue, _ = tab.page.evaluate(PIXEL, [30, 40])
    assert red == green == blue
    tab.page.locator("#pause").click()
    live.write(Message(Live.ramp(1, "kitchen").record, np.full((48, 64), 5000, np.uint16)))
    tab.wait("document.getElementById('label').textContent === 'kitchen'")  # the rest goes on
    assert tab.page.evaluate(PIXEL, [30, 40])[0] == red
    tab.page.locator("#pause").click()
    tab.wait(f"({PIXEL})([30, 40])[0] !== {red}")


@pytest.mark.slow
def test_text_from_outside_stays_text(tab: Tab, live: Live) -> None:
    evil = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    live.write(Live.decision(0, evil))
    live.write(Live.state("lost", evil))
    live.write(Live.health(evil))
    tab.wait("document.getElementById('health').textContent.includes('onerror')")
    assert tab.text("#label") == evil
    assert evil in tab.text("#notice")
    assert tab.page.title() == f"{evil} \u00b7 tgkt-edge"
    assert tab.page.locator("img").count() == 0
    assert tab.page.locator("script").count() == 1


SIZES = ((320, 568), (390, 844), (844, 390), (1920, 1080))


@pytest.mark.slow
def test_nothing_hangs_over_and_text_stands_out(tab: Tab, live: Live) -> None:
    live.write(Live.decision(0, "a_rather_long_name_of_a_class_without_any_space_in_it"))
    tab.wait("document.getElementById('label').textContent.startsWith('a_rather')")
    for width, height in SIZES:
        tab.page.set_viewport_size({"width": width, "height": height})
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    grounds = set()
    for scheme in ("dark", "light"):
        tab.page.emulate_media(color_scheme=scheme)
        grounds.add(tab.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for selector in ("#label", "#source", "#probability", "dt", "footer p", "h2", "#pause"):
            assert tab.page.evaluate(CONTRAST, selector) >= 4.5, selector  # WCAG AA
    assert len(grounds) == 2


CONTRAST = """(selector) => {
  const light = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).map((x) => x / 255)
      .map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = document.querySelector(selector);
  let under = found;
  const clear = (one) => getComputedStyle(one).backgroundColor === 'rgba(0, 0, 0, 0)';
  while (clear(under)) under = under.parentElement;
  const [a, b] = [light(getComputedStyle(found).color), light(getComputedStyle(under).backgroundColor)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


@pytest.mark.slow
def test_every_control_is_reached_by_tab_and_has_a_name(tab: Tab, live: Live) -> None:
    live.write(Live.decision(0))
    tab.wait("document.getElementById('label').textContent === 'bedroom'")
    reached = []
    for _ in range(20):
        tab.page.keyboard.press("Tab")
        reached.append(
            tab.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
        )
    expected = [
        "Skip to the decision",
        "picture",
        "colours",
        "range",
        "pause",
        "1 min",
        "10 min",
        "1 h",
        "metrics",
    ]
    assert [name for name in reached if name in expected][: len(expected)] == expected
    unnamed = "[...document.querySelectorAll('button, select, canvas:not([aria-hidden])')].filter((one) => "
    unnamed += "!one.textContent.trim() && !one.ariaLabel && !(one.labels && one.labels.length)).length"
    assert tab.page.evaluate(unnamed) == 0


@pytest.mark.slow
def test_the_form_lets_the_token_in(browser: Any, locked: Live) -> None:
    locked.write(Live.decision(0))
    with closing(Tab(browser, locked.url)) as tab:
        tab.page.get_by_label("Token").fill("not the right one")
        tab.page.keyboard.press("Enter")
        tab.page.get_by_role("alert").wait_for()
        tab.page.get_by_label("Token").fill(Live.TOKEN)
        tab.page.keyboard.press("Enter")
        tab.page.locator("#label", has_text="bedroom").wait_for()
        assert tab.page.url == f"{locked.url}/"
        tab.page.goto(f"{locked.url}/?token={Live.TOKEN}")
        tab.page.locator("#label", has_text="bedroom").wait_for()
        assert Live.TOKEN not in tab.page.url


def test_the_page_is_one_file_of_modest_size(live: Live) -> None:
    _, headers, body = live.ask("/")
    assert headers["content-type"].startswith("text/html")
    assert len(body) < 60_000
    assert Path(__file__).parents[4].joinpath("runtime/sinks/live/assets/page.js").read_bytes() in body
