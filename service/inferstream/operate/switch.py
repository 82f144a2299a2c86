"""models switch: another version of a pipeline's model, while it runs and without losing or delaying an event.

It is loaded beside the old one on every endpoint and tried. Then it is pinned: running services follow the note within
a second, call by call. Only when nobody asks the old version any more is that unloaded. Whatever fails before the pin
leaves everything as it was.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from inferstream.errors import ContractMismatch, InferstreamError, SettingsError, Unavailable
from inferstream.operate.site import Endpoint, Site
from inferstream.operate.trial import Trial, tried
from inferstream.policy.pin import Pin

_FOLLOW_SECONDS = 2.0  # services look at the note every half second
_LOOK_SECONDS = 1.0
_QUIET_SECONDS = 30.0

Tell = Callable[[str], None]


class Wanted(NamedTuple):
    """What a user asks for: a version, or `back` to the one before."""

    version: str | None
    back: bool
    keep: bool
    load_timeout: float
    """Seconds that loading may take at an endpoint."""


class Switched(NamedTuple):
    """What came of it."""

    model: str
    version: str
    previous: str
    trials: Mapping[str, Trial]
    """By endpoint."""
    kept: Mapping[str, str]
    """Why the previous version is still loaded, by endpoint."""


class Switch:
    """One switch; made by `prepared`."""

    def __init__(self, site: Site, pin: Pin, old: str, new: str, wanted: Wanted, tell: Tell) -> None:
        self._site = site
        self._pin = pin
        self._old, self._new = old, new
        self._wanted = wanted
        self._tell = tell

    async def run(self) -> Switched:
        """Do it. Raises InferstreamError: then nothing has changed, unless it says otherwise."""
        site, old, new = self._site, self._old, self._new
        before = await site.served()
        try:
            trials = await self._prepare(before)
        except BaseException as error:
            await self._undo(before, error)
            raise
        previous = old if old != new else self._pin.previous
        try:
            await site.write(self._pin._replace(version=new, previous=previous))
        except Unavailable as error:
            raise Unavailable(
                f"{error}; whether version {new} is pinned is unknown, so it stays loaded: "
                "see `inferstream models status`, and switch again"
            ) from None
        self._tell(f"version {new} is pinned; services follow within a second")
        kept = {} if old == new else await self._retire()
        return Switched(site.model, new, previous, trials, kept)

    async def _prepare(self, before: Mapping[str, list[str]]) -> dict[str, Trial]:
        """The new version served everywhere, and tried."""
        site, new = self._site, self._new
        missing = [endpoint for endpoint in site.endpoints if new not in before[endpoint.control.url]]
        if missing and site.settings.triton.model_control == "none":
            where = ", ".join(endpoint.control.url for endpoint in missing)
            raise ContractMismatch(
                f"version {new} of model '{site.model}' is not served at {where}: load it there, "
                "or set triton.model_control to explicit (the server: --model-control-mode=explicit)"
            )
        if missing:
            await self._refuse_to_surprise()
        if missing and not self._pin.version and not site.configured and self._old != new:
            # Calls that name no version would meet the new one the moment it is loaded, before it was tried.
            await site.write(self._pin._replace(version=self._old))
            self._tell(f"services are held at version {self._old}")
            await asyncio.sleep(_FOLLOW_SECONDS)
        for endpoint in missing:
            url = endpoint.control.url
            self._tell(f"{url}: loading version {new}")
            await endpoint.control.load({*before[url], new}, self._wanted.load_timeout)
        return {endpoint.control.url: await self._try(endpoint) for endpoint in site.endpoints}

    async def _refuse_to_surprise(self) -> None:
        """Others that name no version would meet the new one the moment it is loaded, before it was tried."""
        for who, version in (await self._site.asked_otherwise()).items():
            if not version:
                raise ContractMismatch(
                    f"{who} asks any version of model '{self._site.model}', so it would be given version {self._new} "
                    "untried: name its version in the settings, or pin it first (`inferstream models switch`)"
                )

    async def _try(self, endpoint: Endpoint) -> Trial:
        site = self._site
        slo_ms = min(c.slo_ms for c in site.chosen.settings.classes.values())
        trial = await tried(endpoint.server, (site.model, self._new), site.task, site.settings.triton, slo_ms)
        took = "" if trial.row_ms is None else f", a row in {trial.row_ms:.1f} ms"
        self._tell(f"{endpoint.control.url}: version {self._new} fits the task{took}")
        return trial

    async def _undo(self, before: Mapping[str, list[str]], error: BaseException) -> None:
        """What was served before, and what was pinned. Whoever cannot be reached is named."""
        is_told = isinstance(error, InferstreamError)  # by the command line, as its last line
        self._tell("nothing is switched" if is_told else f"nothing is switched: {error or type(error).__name__}")
        is_back = True
        for endpoint in self._site.endpoints:
            control = endpoint.control
            try:
                if before[control.url] and await control.served() != before[control.url]:
                    await control.load(before[control.url], self._wanted.load_timeout)
            except InferstreamError as trouble:
                is_back = False
                self._tell(f"{control.url}: could not be put back: {trouble}")
        try:
            if await self._site.pin() == self._pin:
                return
            if not is_back:  # let go, they would ask the newest
                self._tell(f"services stay held at version {self._old}: version {self._new} may still be loaded")
                return
            await self._site.write(self._pin)
        except InferstreamError as trouble:
            self._tell(f"services are still held at version {self._old}: {trouble}")

    async def _retire(self) -> dict[str, str]:
        """Unload the old version where nobody asks it any more; why it stays elsewhere."""
        site, old = self._site, self._old
        everywhere = [endpoint.control.url for endpoint in site.endpoints]
        if self._wanted.keep or site.settings.triton.model_control == "none":
            return dict.fromkeys(everywhere, "as asked" if self._wanted.keep else "triton.model_control is none")
        try:
            needing = [who for who, version in (await site.asked_otherwise()).items() if version == old]
        except InferstreamError as error:
            return dict.fromkeys(everywhere, f"who else asks it is not known: {error}")
        if needing:
            return dict.fromkeys(everywhere, f"{needing[0]} asks it, too")
        await asyncio.sleep(_FOLLOW_SECONDS)
        kept = {}
        for endpoint in site.endpoints:
            try:
                if await self._is_quiet(endpoint):
                    served = await endpoint.control.served()
                    await endpoint.control.load(set(served) - {old} | {self._new}, self._wanted.load_timeout)
                    self._tell(f"{endpoint.control.url}: version {old} is unloaded")
                else:
                    kept[endpoint.control.url] = f"somebody still asks it after {_QUIET_SECONDS:.0f} s"
            except InferstreamError as error:
                kept[endpoint.control.url] = str(error)
        return kept

    async def _is_quiet(self, endpoint: Endpoint) -> bool:
        """The old version was not asked for a while; waits for that."""
        if self._old not in await endpoint.control.served():
            return True
        calls = await endpoint.control.calls(self._old)
        for _ in range(int(_QUIET_SECONDS / _LOOK_SECONDS)):
            await asyncio.sleep(_LOOK_SECONDS)
            before, calls = calls, await endpoint.control.calls(self._old)
            if calls == before:
                return True
        return False


async def prepared(site: Site, wanted: Wanted, tell: Tell) -> Switch:
    """From which version to which. Raises SettingsError, Unavailable, ContractMismatch."""
    pin = await site.pin()
    old = pin.version or site.configured
    if not old:
        served = [versions for versions in (await site.served()).values() if versions]
        if not served:
            raise ContractMismatch(f"no endpoint serves model '{site.model}', so there is nothing to switch from")
        old = served[0][-1]  # what Triton gives to calls that name no version
    if wanted.back == (wanted.version is not None):
        raise SettingsError("name the version to switch to, or --back for the one before")
    if wanted.back and not pin.previous:
        raise SettingsError(f"model '{site.model}' was not switched yet, so there is no version to go back to")
    new = wanted.version or pin.previous
    if not new.isdecimal():
        raise SettingsError(f"version '{new}' is no number; Triton's versions are: 1, 2, …")
    return Switch(site, pin, old, new, wanted, tell)
