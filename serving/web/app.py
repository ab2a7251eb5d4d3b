"""The web application of the page: its files, its examples, and captions and scores as JSON."""

import asyncio
import functools
from importlib import resources

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from keras_sat.data import scenes
from keras_sat.visualize.page_attention import asset, page_attention
from serving.web.limits import RateLimit, Refusal, usable_picture

EXAMPLES = 6
_EXAMPLES_SEED = 1
_LONGEST_CAPTION = 500  # characters
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def application(captioners, limits, hosts):
    """Makes the ASGI application.

    Args:
        captioners: the `Captioner`s, shown side by side.
        limits: the `Limits`.
        hosts: names by which browsers may call this machine, or ["*"]. Another site could make its
            own name point here, and read the answers.

    Returns:
        A Starlette.
    """
    page = Page(captioners, limits)
    return Starlette(
        routes=page.routes(),
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
            Middleware(BaseHTTPMiddleware, dispatch=_with_headers),
        ],
        exception_handlers={Refusal: _refused, ClientDisconnect: _gone},
    )


class Page:
    """What the application answers.

    Args:
        captioners: as for `application`.
        limits: as for `application`.
    """

    def __init__(self, captioners, limits):
        self._captioners = captioners
        self._limits = limits
        self._rate = RateLimit(limits.requests_per_minute)

    def routes(self):
        """The routes of Starlette."""
        files = {
            "/": ("text/html", _own_asset("page.html")),
            "/page.css": ("text/css", _own_asset("page.css")),
            "/page.js": ("text/javascript", _own_asset("page.js")),
            "/attention.css": ("text/css", asset("attention.css")),
            "/attention.js": ("text/javascript", asset("attention.js")),
        }
        routes = [Route(path, _file(text, media)) for path, (media, text) in files.items()]
        return [
            *routes,
            Route("/api/captioners", self.captioners),
            Route("/api/examples/{number:int}.png", self.example),
            Route("/api/picture", self.picture, methods=["POST"]),
            Route("/api/caption", self.caption, methods=["POST"]),
            Route("/api/score", self.score, methods=["POST"]),
        ]

    async def captioners(self, request):
        """GET: the captioners, and what the page needs to know of the limits."""
        shown = []
        for each in self._captioners:
            shown.append({"name": each.name, "settings": each.settings})
        return JSONResponse(
            {
                "captioners": shown,
                "examples": EXAMPLES,
                "megabytes": self._limits.megabytes,
                "longest_caption": _LONGEST_CAPTION,
            }
        )

    async def example(self, request):
        """GET: a scene, drawn by the project."""
        number = request.path_params["number"]
        if number >= EXAMPLES:
            raise Refusal(404, "There is no such example.")
        return Response(await run_in_threadpool(_example, number), media_type="image/png")

    async def picture(self, request):
        """POST a picture in any format: the same picture in one that browsers show."""
        content = await self._picture(request)
        return Response(content, media_type="application/octet-stream")

    async def caption(self, request):
        """POST a picture: its captions, and the attention of the best one's words."""
        captioner = self._captioner(request)
        picture = await self._picture(request)
        answer = await run_in_threadpool(captioner.caption, picture)
        notes = [""] * len(answer.words)
        return JSONResponse(
            {
                "words": answer.words,
                "captions": answer.captions,
                "scores": answer.scores.tolist(),
                "attention": page_attention(answer.attention, answer.boxes, notes),
            }
        )

    async def score(self, request):
        """POST a picture, with a caption in the query: the log probability of each word."""
        captioner = self._captioner(request)
        caption = request.query_params.get("caption", "").strip()
        if not 1 <= len(caption) <= _LONGEST_CAPTION:
            raise Refusal(422, f"Type a caption of 1 to {_LONGEST_CAPTION} characters.")
        picture = await self._picture(request)
        answer, boxes = await run_in_threadpool(captioner.score, picture, caption)
        if not answer.words:
            raise Refusal(422, "The caption holds no word.")
        numbers = [float(each) for each in answer.word_log_probs]
        notes = [f"log probability {number:.2f}" for number in numbers]
        return JSONResponse(
            {
                "words": answer.words,
                "word_log_probs": numbers,
                "attention": page_attention(answer.attention, boxes, notes),
            }
        )

    def _captioner(self, request):
        text = request.query_params.get("captioner", "0")
        if not text.isascii() or not text.isdecimal() or len(text) > 4:
            raise Refusal(404, "There is no such captioner.")
        number = int(text)
        if number >= len(self._captioners):
            raise Refusal(404, "There is no such captioner.")
        return self._captioners[number]

    async def _picture(self, request):
        """The picture that a request brings, once its client may ask."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refusal(403, "Only this page itself may ask.")
        self._rate.take(request.client.host if request.client else "")
        try:
            content = await asyncio.wait_for(self._body(request), self._limits.seconds)
        except asyncio.TimeoutError as error:
            raise Refusal(408, "The upload took too long. Try again.") from error
        return await run_in_threadpool(usable_picture, content, self._limits)

    async def _body(self, request):
        most = self._limits.megabytes << 20
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > most:
                raise Refusal(
                    413, f"The file has more than {self._limits.megabytes} MB. Make it smaller."
                )
        return bytes(content)


def _own_asset(name):
    return (resources.files("serving.web") / "assets" / name).read_text(encoding="utf-8")


def _file(text, media_type):
    async def answer(request):
        return Response(text, media_type=media_type)

    return answer


@functools.lru_cache(maxsize=EXAMPLES)
def _example(number):
    return scenes.draw(scenes.scene_id("test", number), _EXAMPLES_SEED).image


async def _with_headers(request, call_next):
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


async def _refused(request, error):
    return JSONResponse({"error": str(error)}, error.status)


async def _gone(request, error):
    return Response(status_code=400)
