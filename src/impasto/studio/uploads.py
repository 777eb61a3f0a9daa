"""Uploads: pictures and clips that clients send, each known by the hash of its bytes. No torch here."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from impasto.config.limits import Input
from impasto.errors import InputError
from impasto.studio.checks import film_settings
from impasto.studio.files import Files, plain_name
from impasto.studio.store import Store
from impasto.studio.workers.process import Decoders

GONE = "there is no {what} {id}... here; upload it first"


class Uploads:
    """The uploads of one server.

    Args:
        store: What is known of them; used by `call` only.
        call: Runs a function of the store in its thread.
        files: Where they are kept.
        decoders: The processes that read them.
        limits: Of a picture, and of the frames of a clip.
        check_room: Refuses more where there is no room.
    """

    def __init__(
        self,
        store: Store,
        call: Callable[..., Awaitable[Any]],
        files: Files,
        decoders: Decoders,
        limits: Input,
        check_room: Callable[[], Awaitable[None]],
    ) -> None:
        self._store, self._call, self._files = store, call, files
        self._decoders, self._limits, self._check_room = decoders, limits, check_room
        self.names: dict[str, str] = {}  # of those that are known to be here, by id

    async def add_picture(self, source: Path, name: str, *, keep: bool = False) -> dict[str, Any]:
        """Read a file as a picture and keep its pixels; return its facts.

        Args:
            source: The file.
            name: What the client calls it.
            keep: Whether the file stays.

        Raises:
            PictureError: It is none that can be read.
            NoRoom: The quota is reached.
        """
        try:
            return await self._picture({"do": "read", "source": str(source)}, plain_name(name))
        finally:
            if not keep:
                source.unlink(missing_ok=True)

    async def still(
        self, clip: Mapping[str, Any], at: float | None, to: float | None = None
    ) -> dict[str, Any]:
        """Keep the first frame of a range of seconds of a clip as a picture; return its facts.

        Raises:
            InputError: No frame is in the range, or it cannot be decoded.
        """
        request = {"do": "still", "source": str(self._files.clip(clip["clip"])), "clip_name": clip["name"]}
        name = plain_name(f"{Path(clip['name']).stem} {at or 0:g} s.png")
        return await self._picture({**request, "at": at, "to": to}, name)

    async def _picture(self, request: dict[str, Any], name: str) -> dict[str, Any]:
        """Have a decoder make the plain pixels of a picture, and keep them."""
        await self._check_room()
        target = self._files.incoming()
        request |= {"name": name, "target": str(target), "limits": self._limits.model_dump()}
        try:
            facts = await self._decoders.ask(request, name)
            id = facts["picture"]
            place = self._files.picture(id)
            new = await self._call(self._store.picture, id) is None
            await asyncio.to_thread(target.replace, place)
        finally:
            target.unlink(missing_ok=True)
        await self._call(self._store.add_picture, id, facts, place.stat().st_size)
        self.names[id] = name
        return {**facts, "new": new}

    async def picture(self, id: str) -> dict[str, Any] | None:
        """Return the facts of a picture, with the ids of its recipe's inputs that are here."""
        facts: dict[str, Any] | None = await self._call(self._store.picture, id)
        if facts is None or not facts["recipe"]:
            return facts
        recipe = facts["recipe"]
        for item in filter(None, (recipe["photo"], recipe.get("init_picture"), *recipe["styles"])):
            if await self._call(self._store.picture, item["picture"]) is None:
                item["picture"] = None
        return facts

    async def add_clip(self, source: Path, name: str) -> dict[str, Any]:
        """Check a file as a clip and keep it; return its facts. It is never sent back.

        Raises:
            InputError: It is none that can be read.
            NoRoom: The quota is reached.
        """
        await self._check_room()
        name = plain_name(name)
        request = {"do": "clip", "source": str(source), "name": name, "limits": self._limits.model_dump()}
        try:
            facts = await self._decoders.ask(request, name)
            id, suffix = facts["clip"], facts.pop("suffix")
            new = await self._call(self._store.picture, id) is None
            place = self._files.clip(id, suffix)
            await asyncio.to_thread(source.replace, place)
        finally:
            source.unlink(missing_ok=True)
        await self._call(self._store.add_picture, id, facts, place.stat().st_size)
        return {**facts, "new": new}

    async def clip(self, id: str) -> dict[str, Any] | None:
        """Return the facts of a clip."""
        facts: dict[str, Any] | None = await self._call(self._store.picture, id)
        return facts

    async def filmed(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs of a job, of a film with the name of its clip and its first frame as the photo.

        Raises:
            InputError: There is neither photo nor film, or no such clip, or no frame in the range.
        """
        film = inputs.get("film")
        if film is None:
            if inputs["photo"] is None:
                raise InputError("photo: is missing; a film has a clip instead")
            return dict(inputs)
        if inputs["photo"] is not None:
            raise InputError("photo: leave it out: the first frame of the film stands for it")
        film_settings(film)
        clip = await self.clip(film["clip"])
        if clip is None:
            raise InputError("film: " + GONE.format(what="clip", id=film["clip"][:17]))
        frame = await self.still(clip, film["from"], film["to"])
        return {**inputs, "photo": frame["picture"], "film": {**film, "name": clip["name"]}}

    async def check(self, request: Mapping[str, Any]) -> None:
        """Refuse a job with a picture that is not here."""
        named = [("photo", request["photo"]), ("protect", request["protect"])]
        named += [("init_picture", request["init_picture"])]
        for style in request["styles"]:
            named += [("styles", style["picture"]), ("mask", style["mask"])]
        for role, id in named:
            if id is not None and id not in self.names:
                facts = await self._call(self._store.picture, id)
                if facts is None:
                    raise InputError(f"{role}: " + GONE.format(what="picture", id=id[:12]))
                self.names[id] = facts["name"]

    async def know(self, ids: Iterable[str]) -> None:
        """Have `names` tell the names of these pictures."""
        for id in ids:
            if id not in self.names:
                facts = await self._call(self._store.picture, id)
                self.names[id] = facts["name"] if facts else "picture"

    async def forget(self, id: str) -> None:
        """Delete an upload."""
        await self._call(self._store.delete_picture, id)
        await asyncio.to_thread(self._files.forget_picture, id)
