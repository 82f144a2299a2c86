"""The live page in a real browser, with a running pipeline behind it: headless Chromium, where one is installed."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from tests.unit.web.scene import CANARY, URL, Scene, serving

pytestmark = pytest.mark.timeout(120)

_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS = 20_000


def _chromium() -> str:
    """Path of the browser. Skips without one, unless it must be there."""
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    try:
        import playwright  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except ImportError:
        why = "the live page's tests in a browser need the package playwright"
    else:
        if found is not None:
            return found
        why = f"the live page's tests in a browser need one of {', '.join(_BROWSERS)}"
    if "browser" in os.environ.get("INFERSTREAM_REQUIRE", "").split(","):
        pytest.fail(f"{why}, and INFERSTREAM_REQUIRE says it must be there")
    pytest.skip(why)


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    executable = _chromium()
    from playwright.async_api import async_playwright  # type: ignore[import-not-found,unused-ignore]

    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield started
        await started.close()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with serving(Scene()) as made:
        feeding = asyncio.create_task(made.feed())
        yield made
        feeding.cancel()


class Visit:
    """A page that was opened, and all it complained about."""

    def __init__(self, page: Any) -> None:
        page.set_default_timeout(_PATIENCE_MS)
        self.page = page
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.add(request.url))

    async def text(self, selector: str) -> str:
        return str(await self.page.inner_text(selector))

    async def until(self, expression: str) -> None:
        """Wait until this is true in the page. Not by a string to evaluate, which the page's policy forbids."""
        async with asyncio.timeout(_PATIENCE_MS / 1000):
            while not await self.page.evaluate(expression):  # noqa: ASYNC110 - it is asked again and again
                await asyncio.sleep(0.1)


async def visit(browser: Any, url: str, **context: Any) -> Visit:
    opened = Visit(await (await browser.new_context(**context)).new_page())
    await opened.page.goto(url)
    await opened.page.wait_for_selector(".pipeline")
    return opened


async def test_it_shows_moving_figures_without_a_complaint_and_asks_nobody_else(browser: Any, scene: Scene) -> None:
    seen = await visit(browser, scene.url(""))
    await seen.until("document.querySelectorAll('#misses tr .bad').length > 0")
    await seen.until("document.querySelectorAll('#misses tr td .dead_lettered').length > 0")
    await seen.until("parseFloat(document.querySelector('.pipeline .big strong').textContent) > 20")
    assert await seen.text("#status") == "live"
    classes = [await one.inner_text() for one in await seen.page.query_selector_all(".class h3")]
    assert classes == ["Class default", "Class slow"]
    stages = [await one.inner_text() for one in await seen.page.query_selector_all(".path strong")]
    assert stages == ["consume", "decode", "batch", "infer", "decide", "emit", "commit"]
    assert await seen.text(".endpoints li") == "endpoint 1\ntakes calls"
    before = await seen.text(".kinds .scored .since")
    await seen.until(f"document.querySelector('.kinds .scored .since').textContent !== '{before}'")
    await seen.until(
        "(document.querySelector('.spark path:not(.area)').getAttribute('d').match(/L/g) || []).length > 1"
    )
    shown = str(await seen.page.content())
    assert CANARY not in shown
    assert URL not in shown
    assert seen.complaints == []
    asked = {url.removeprefix(scene.url("")) for url in seen.asked}
    assert asked <= {"", "page.css", "page.js", "parts.js", "icon.svg", "live"}


async def test_the_keyboard_alone_pauses_and_resumes_and_while_paused_nothing_is_computed(
    browser: Any, scene: Scene
) -> None:
    seen = await visit(browser, scene.url(""))
    focused: list[str] = []
    for _ in range(2):
        await seen.page.keyboard.press("Tab")
        focused.append(await seen.page.evaluate("document.activeElement.textContent"))
        outline = await seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "where one is must be seen"
    assert focused == ["Skip to the figures", "Pause"]
    await seen.page.keyboard.press("Space")
    assert await seen.text("#status") == "paused"
    assert await seen.page.get_attribute("#pause", "aria-pressed") == "true"
    async with asyncio.timeout(20):
        while scene.viewers:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)
    looks = scene.looks
    await asyncio.sleep(1.5)
    assert scene.looks == looks
    await seen.page.keyboard.press("Enter")
    await seen.until("document.getElementById('status').textContent === 'live'")
    assert scene.looks > looks


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
async def test_the_colours_are_those_the_reader_prefers(browser: Any, scene: Scene, scheme: str, is_dark: bool) -> None:
    seen = await visit(browser, scene.url(""), color_scheme=scheme)
    for selector, prop, must_be_dark in (("body", "backgroundColor", is_dark), ("body", "color", not is_dark)):
        colour = await seen.page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{prop}")
        channels = [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
        assert (max(channels) < 80) is must_be_dark, colour


@pytest.mark.parametrize(("motion", "moves"), [("no-preference", True), ("reduce", False)])
async def test_nothing_moves_for_those_who_want_it_still(browser: Any, scene: Scene, motion: str, moves: bool) -> None:
    seen = await visit(browser, scene.url(""), reduced_motion=motion)
    await seen.page.wait_for_selector(".path.flows")
    style = "getComputedStyle(document.querySelectorAll('.path li')[1], '::before').animationName"
    assert (await seen.page.evaluate(style) != "none") is moves


async def test_on_a_phone_nothing_is_cut_off(browser: Any, scene: Scene) -> None:
    seen = await visit(browser, scene.url(""), viewport={"width": 360, "height": 740}, device_scale_factor=2)
    await seen.until("document.querySelectorAll('#misses tr').length > 2")
    assert await seen.page.evaluate("document.documentElement.scrollWidth") <= 360
    small = "[...document.querySelectorAll('main *')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 11).length"
    assert await seen.page.evaluate(small) == 0


async def test_it_works_under_a_path_prefix(browser: Any, scene: Scene) -> None:
    async def passed_on(request: web.Request) -> web.StreamResponse:
        async with ClientSession() as http, http.get(scene.url(request.match_info["path"])) as answer:
            response = web.StreamResponse(
                status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]}
            )
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response

    app = web.Application()
    app.add_routes([web.get("/team/fraud/{path:.*}", passed_on)])
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    seen = await visit(browser, f"http://127.0.0.1:{runner.addresses[0][1]}/team/fraud/")
    await seen.until("document.getElementById('status').textContent === 'live'")
    assert seen.complaints == []
    await seen.page.close()
    await runner.cleanup()


async def test_a_service_that_ends_and_comes_back_is_found_again(browser: Any, scene: Scene) -> None:
    seen = await visit(browser, scene.url(""))
    port = scene.server.port
    await scene.server.stop()
    await seen.until("document.getElementById('status').textContent === 'no connection'")
    again = scene.another_server(port)
    await again.start()
    await seen.until("document.getElementById('status').textContent === 'live'")
    await again.stop()
