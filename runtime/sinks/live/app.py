"""What the server answers: the page, its stream, JSON, health and metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from tgkt_edge.notes import phrase
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.sinks import colormaps as colours
from tgkt_edge.runtime.sinks.base import RunInfo
from tgkt_edge.runtime.sinks.json_encoding import encode
from tgkt_edge.runtime.sinks.live.counts import coding_of
from tgkt_edge.runtime.sinks.live.guard import App
from tgkt_edge.runtime.sinks.live.metrics import Metrics
from tgkt_edge.runtime.sinks.live.page import live_page
from tgkt_edge.runtime.sinks.live.state import LiveState
from tgkt_edge.runtime.sinks.live.wall import Wall

RECENT = 60
"""Seconds of the past that a stream begins with: little enough for the first event to arrive soon on a slow line."""

_POLL = 0.08  # seconds between two looks for news, for each viewer
_BEAT = 2.0  # seconds after which a viewer hears that there is nothing new
_WIDTHS = (160, 320, 640)
_PIECE = 1 << 16  # bytes


def make_app(
    states: Mapping[str, LiveState],
    run: RunInfo,
    metrics: Metrics,
    stopping: Callable[[], bool],
    reload: Reload,
) -> App:
    """The ASGI application behind the guard.

    Routes: ``/`` the page; ``/api/info`` what runs; ``/api/latest`` newest decision, state, health, figures;
    ``/api/timeline`` up to an hour, one row a second; ``/api/events`` a server-sent event with each change;
    ``/api/frame?width=640`` raw counts; ``/api/map?label=NAME`` a class's evidence by place; ``/healthz`` 200 or 503;
    ``/metrics`` Prometheus. Cameras with names have the same below ``/camera/NAME/``; without that, ``/`` is the wall
    of all of them, and the others tell of each.

    Args:
        states: by name of the camera; "": there is one without.
        run: what runs.
        stopping: whether the server is about to end, so that streams must.
        reload: answers ``POST /api/reload``.
    """
    routing = require("starlette.routing", "sinks", "`sinks=http://`")
    applications = require("starlette.applications", "sinks", "`sinks=http://`")
    answers: dict[str, Any] = {}
    for name, state in states.items():
        below = f"/camera/{name}" if name else ""
        answers |= {below + path: answer for path, answer in _answers(state, metrics, stopping).items()}
    if "" not in states:
        answers |= _answers(Wall(states, run), metrics, stopping)
    routes = [routing.Route(path, answer) for path, answer in answers.items()]
    routes.append(routing.Route("/api/reload", reload.answer, methods=["POST"]))
    app: App = applications.Starlette(routes=routes)
    return app


class Reload:
    """``POST /api/reload``: look at the run's bundle now; with ``?to=previous`` return to the one before.

    It only asks: what becomes of it is an event. The guard has seen to the token; without one nobody may ask.

    Args:
        update: takes whether the bundle before is meant; None: the run does not watch its bundle.
        locked: whether the page has a token.
    """

    def __init__(self, update: Callable[[bool], None] | None, locked: bool) -> None:
        self._update, self._locked = update, locked

    async def answer(self, request: Any) -> Any:
        """202, or why not."""
        responses = require("starlette.responses", "sinks", "`sinks=http://`")
        to = request.query_params.get("to", "new")
        if not self._locked:
            status, values = 403, {"error": phrase("only with a token: start the run with `token`")}
        elif self._update is None:
            status, values = 409, {"error": phrase("the run does not watch its bundle: `watch=True`")}
        elif to not in ("new", "previous"):
            status, values = 400, {"error": f"to={to[:20]}: expected new or previous"}
        else:
            self._update(to == "previous")
            status, values = 202, {"asked": to}
        return responses.Response(encode(values) + "\n", status, media_type="application/json")


def _answers(state: LiveState | Wall, metrics: Metrics, stopping: Callable[[], bool]) -> dict[str, Any]:
    """What is answered, by path below that of the camera, or of all."""
    responses = require("starlette.responses", "sinks", "`sinks=http://`")
    news = News(state)

    def json(value: Any, status: int = 200) -> Any:
        return responses.Response(encode(value) + "\n", status, media_type="application/json")

    async def page(request: Any) -> Any:
        text, policy = live_page("wall.html" if isinstance(state, Wall) else "page.html")
        return responses.HTMLResponse(text, headers={"content-security-policy": policy})

    async def info(request: Any) -> Any:
        return json(about(state))

    async def latest(request: Any) -> Any:
        return json(state.latest())

    async def timeline(request: Any) -> Any:
        return json(state.timeline())

    async def health(request: Any) -> Any:
        well, words = state.verdict()
        return json(words, 200 if well else 503)

    async def prometheus(request: Any) -> Any:
        body, kind = metrics.render(request.headers.get("accept", ""))
        return responses.Response(body, headers={"content-type": kind})

    async def frame(request: Any) -> Any:
        if isinstance(state, Wall):
            return json(
                {"error": f"of which camera? {', '.join(f'camera/{one}/api/frame' for one in state.states)}"},
                404,
            )
        width = request.query_params.get("width", "640")
        if width not in map(str, _WIDTHS):
            return json({"error": f"width={width[:20]}: expected one of {', '.join(map(str, _WIDTHS))}"}, 400)
        found = state.image(int(width))
        if found is None:
            return responses.Response(status_code=204)
        body, words = found
        headers = {f"x-frame-{key}": str(value) for key, value in words.items()}
        headers["content-length"] = str(len(body))
        # In pieces, each sent when the one before has gone: a viewer on a bad line holds one piece, not the frame.
        pieces = (body[at : at + _PIECE] for at in range(0, len(body), _PIECE))
        return responses.StreamingResponse(
            _each(pieces), headers=headers, media_type="application/octet-stream"
        )

    async def evidence(request: Any) -> Any:
        if isinstance(state, Wall):
            return json(
                {"error": f"of which camera? {', '.join(f'camera/{one}/api/map' for one in state.states)}"},
                404,
            )
        if state.info.maps is None:
            return json({"error": "the graphs of this bundle have no maps of evidence"}, 404)
        label = request.query_params.get("label")
        if label is not None and label not in state.info.classes:
            return json(
                {"error": f"label={label[:40]}: expected one of {', '.join(state.info.classes)}"}, 400
            )
        found = state.evidence(label)
        return responses.Response(status_code=204) if found is None else json(found)

    async def events(request: Any) -> Any:
        return responses.StreamingResponse(
            stream(news, stopping), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )

    return {
        "/": page,
        "/api/info": info,
        "/api/latest": latest,
        "/api/timeline": timeline,
        "/api/events": events,
        "/api/frame": frame,
        "/api/map": evidence,
        "/healthz": health,
        "/metrics": prometheus,
    }


def about(state: LiveState | Wall) -> dict[str, Any]:
    """What runs, for the page and for programs."""
    info = state.info
    of_run = {
        "run": info.run,
        "bundle": info.bundle,
        "device": info.device,
        "source": info.source,
        "engine": info.engine,
        "precision": info.precision,
        "classes": list(info.classes),
        "size": info.size,
        "maps": None if info.maps is None else {"rows": info.maps[0], "columns": info.maps[1]},
        "started": info.started,
    }
    if isinstance(state, Wall):
        own = [about(one) for one in state.states.values()]
        shared = set(of_run) - {"source"}
        cameras = [{key: value for key, value in one.items() if key not in shared} for one in own]
        return {**of_run, "cameras": cameras}
    return {
        **of_run,
        **({"camera": state.camera} if state.camera else {}),
        "format": state.format,
        "sensor": info.sensor.to_dict(),
        "range": list(info.sensor.range),
        "coding": coding_of(info.sensor),
        "colours": colours.default_for(info.sensor),
    }


class News:
    """The newest state as text, made once for all viewers whose timelines end in the same second."""

    def __init__(self, state: LiveState | Wall) -> None:
        self.state = state
        self._made: dict[int, tuple[float, int, int, str]] = {}  # since -> (when, version, second, text)

    def get(self, since: int) -> tuple[int, int, str]:
        """(version, running second, JSON), at most ``_POLL`` seconds old."""
        now = time.monotonic()
        made = self._made.get(since)
        if made is None or now - made[0] >= _POLL:
            update = self.state.update(since)
            made = (now, update["version"], int(update["now"]), encode(update))
            self._made = {key: one for key, one in self._made.items() if now - one[0] < _POLL}
            self._made[since] = made
        return made[1:]


async def stream(news: News, stopping: Callable[[], bool]) -> AsyncIterator[str]:
    """Server-sent events for one viewer.

    Each event holds the newest state, taken when the viewer has taken the one before: a slow viewer misses states in
    between and delays nobody. Only the timeline is complete, from RECENT seconds before on: rows are sent until the
    viewer has them.
    """
    info, informed = "", -1
    seen, since, spoken = -1, max(0, int(news.state.now) - RECENT), 0.0
    while not stopping():
        now = time.monotonic()
        if news.state.version != informed:  # not `seen`: a bundle may take over between the two events
            informed = news.state.version
            encoded = encode(about(news.state))
            if encoded != info:  # also when another bundle took over
                info = encoded
                yield f"event: info\ndata: {info}\n\n"
        if news.state.version != seen or now - spoken >= _BEAT:
            # The running second is sent again next time: it is not complete.
            seen, since, text = news.get(since)
            spoken = now
            yield f"data: {text}\n\n"
        await asyncio.sleep(_POLL)


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
