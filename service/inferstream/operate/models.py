"""models: which versions of its model a pipeline could ask, which one it asks, and another one."""

import asyncio
import json
import sys
import time
from typing import Any

from inferstream.errors import InferstreamError, SettingsError
from inferstream.operate.foreign import printable
from inferstream.operate.site import Endpoint, Site, opened
from inferstream.operate.switch import Switched, Wanted, prepared
from inferstream.settings import Settings


async def run_switch(settings: Settings, pipeline: str | None, wanted: Wanted, as_json: bool) -> int:
    """Switch the pipeline's model to another version. Raises InferstreamError if it stays as it is."""
    async with opened(settings, pipeline) as site:
        switch = await prepared(site, wanted, lambda text: print(text, file=sys.stderr, flush=True))
        done = await switch.run()
    _print_switched(done, site.chosen.name, as_json)
    return 0


async def run_status(settings: Settings, pipeline: str | None, as_json: bool) -> int:
    """Show versions by endpoint, and the pin; 1 if the version that is asked is not served somewhere."""
    async with opened(settings, pipeline) as site:
        pin = await site.pin()
        found = dict(await asyncio.gather(*(_looked_at(endpoint) for endpoint in site.endpoints)))
    asked = pin.version or site.configured
    if as_json:
        shown = {"pipeline": site.chosen.name, "model": site.model, "pinned": pin.version or None}
        print(json.dumps({**shown, "previous": pin.previous or None, "asked": asked or None, "endpoints": found}))
    else:
        _print_status(site, asked, pin.version, pin.previous, found)
    is_served = [asked in each["served"] if asked else bool(each["served"]) for each in found.values()]
    return 0 if all(is_served) else 1


async def run_resume_canary(settings: Settings, pipeline: str | None) -> int:
    """Let the pipeline's canary go on where it was stopped."""
    async with opened(settings, pipeline) as site:
        canary = site.chosen.settings.canary
        if canary.model is None:
            raise SettingsError(
                f"pipeline '{site.chosen.name}' has no canary: pipelines.{site.chosen.name}.canary.model"
            )
        pin = await site.pin()
        await site.write(pin._replace(resumed_unix_ms=max(pin.resumed_unix_ms + 1, int(time.time() * 1000))))
    print(f"canary '{canary.model}' of pipeline '{site.chosen.name}' goes on where it was stopped, within a second")
    return 0


async def _looked_at(endpoint: Endpoint) -> tuple[str, dict[str, Any]]:
    """What an endpoint says. Its index, which may need a key, also tells why a version did not load."""
    found: dict[str, Any] = {"served": [], "failed": {}}
    try:
        found["served"] = await endpoint.control.served()
    except InferstreamError as error:
        return endpoint.control.url, {**found, "error": str(error)}
    try:
        index = await endpoint.control.index()
    except InferstreamError:
        return endpoint.control.url, found
    found["failed"] = {e.version: e.reason for e in index if e.state == "UNAVAILABLE" and e.reason != "unloaded"}
    return endpoint.control.url, found


def _print_status(site: Site, asked: str, pinned: str, previous: str, found: dict[str, dict[str, Any]]) -> None:
    how = "pinned" if pinned else "by the settings" if asked else "the server's choice"
    before = f"; before it: {previous}" if previous else ""
    print(f"pipeline '{site.chosen.name}' asks model '{site.model}', version {asked or 'any'} ({how}{before})")
    for url, each in found.items():
        served = ", ".join(each["served"]) or "none"
        lacks = f"; version {asked} is not served: `inferstream models switch {asked}` loads it"
        print(f"{url}: {each['error']}" if "error" in each else f"{url}: serves {served}", end="")
        print(lacks if asked and asked not in each["served"] and "error" not in each else "")
        for version, reason in each["failed"].items():
            print(f"{url}: version {version} did not load: {printable(' '.join(reason.split()))}")


def _print_switched(done: Switched, pipeline: str, as_json: bool) -> None:
    if as_json:
        trials = {url: trial._asdict() for url, trial in done.trials.items()}
        print(json.dumps({"pipeline": pipeline, **done._asdict(), "trials": trials}))
        return
    print(
        f"pipeline '{pipeline}' asks version {done.version} of model '{done.model}'; before it: {done.previous or '-'}"
    )
    for url, why in done.kept.items():
        print(f"{url}: version {done.previous} stays loaded: {why}")
