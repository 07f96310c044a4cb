"""The companion `timelapse`: follows prints over the API, records them, and answers requests about films."""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import structlog

from daemon.client import ClientError, OctoPrintClient
from daemon.companions.companion import DONE, Answer, Companion, Refusal
from daemon.companions.timelapse.config import TimelapseConfig
from daemon.companions.timelapse.film_queue import FilmQueue
from daemon.companions.timelapse.films import MAX_LISTED, Films, Recording, date_of, folder_name, size_of
from daemon.companions.timelapse.plan import FilmPlan, apply_request, plan_of
from daemon.companions.timelapse.recorder import FilmCamera, FrameRecorder
from daemon.companions.timelapse.render import FilmLook
from daemon.private_file import write_private

PLAN = "plan.json"
EVENTS = frozenset({
    "PrintStarted", "PrintDone", "PrintFailed", "PrintCancelled", "PrintPaused", "PrintResumed", "SettingsUpdated",
})  # fmt: skip
SUBSCRIPTION = {"state": {"logs": False}, "events": sorted(EVENTS), "plugins": False}
EXPIRE_INTERVAL = 3600.0
ACTIVE_FLAGS = ("printing", "paused", "pausing", "resuming", "finishing", "cancelling")
TURN_SETTINGS = {"flip_h": "flipH", "flip_v": "flipV", "rotate": "rotate90"}
END_STATES = frozenset({"completed", "cancelled", "failed", "interrupted"})

log = structlog.get_logger()


class Timelapse(Companion):
    """Records prints, and makes films of them."""

    name = "timelapse"

    def __init__(
        self, client: OctoPrintClient, folder: Path, config: TimelapseConfig, wall: Callable[[], float]
    ) -> None:
        super().__init__(client, folder)
        self._config = config
        self._wall = wall
        self._plan = plan_of(config)
        self._disk = ThreadPoolExecutor(1, "films")
        self._films = Films(folder, config)
        self._recorder = FrameRecorder(self._films, self._on_disk, self.send_event, self._report_changes)
        self._film_queue = FilmQueue(self._films, config, self._on_disk, self.send_event, self._report_changes)
        self._film_queue.on_done = self._forget
        self._recordings: list[Recording] = []  # all recordings with pictures
        self._update_lock = asyncio.Lock()
        self._is_printing: bool | None = None  # by this host or from the SD card; None: unknown
        self._revision = 0

    def describe_activity(self) -> str:
        """Return the line for `systemctl status`."""
        if (rendering := self._film_queue.recording_being_rendered) is not None:
            return f"making a film of {rendering.name}"
        recording = self._recorder.recording
        return f"{recording.name}: {recording.frames} pictures" if recording is not None else "waiting for a print"

    async def run(self) -> None:
        """Follow the prints until cancelled."""
        await self._on_disk(self._load)
        self._set_plan(self._plan)
        async with asyncio.TaskGroup() as group:
            for part in (self._follow, self._recorder.take_at_intervals, self._film_queue.run, self._expire):
                group.create_task(part())

    def _load(self) -> None:
        self._recordings = self._films.open()
        try:
            self._plan = msgspec.json.decode((self.folder / PLAN).read_bytes(), type=FilmPlan)
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            log.warning(
                "timelapse.settings_unreadable",
                reason=str(error),
                consequence="the settings of the configuration file apply",
            )

    # -- following -------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        async for message in self.messages(SUBSCRIPTION):
            if message.kind == "connected":
                await self._read_camera()
                await self._update()
            elif message.kind == "event" and message.payload.get("type") in EVENTS:
                if message.payload["type"] == "SettingsUpdated":
                    await self._read_camera()
                await self._update()
            elif message.kind in ("current", "history"):
                await self._follow_state(message.payload)

    async def _follow_state(self, current: Mapping[str, Any]) -> None:
        """Apply a state of the printer: start or end a recording, or take a picture at a new layer."""
        flags = current.get("state", {}).get("flags", {})
        active = any(flags.get(name) for name in ACTIVE_FLAGS)
        if active is not self._is_printing:
            self._is_printing = active
            await self._update()
        self._recorder.is_moving = active and not (flags.get("paused") or flags.get("pausing"))
        if self._recorder.is_moving:
            self._recorder.on_layer(current.get("progress", {}).get("layer"))

    async def _update(self) -> None:
        """Find the current print, and record it; an earlier recording of the same print continues."""
        async with self._update_lock:
            try:
                answer = await self.client.get("/api/job")
            except ClientError as error:
                log.warning("timelapse.front_away", reason=str(error))
                self._is_printing = None  # so that the next message triggers another update
                return
            job = answer.get("print") or {}
            number, state = int(job.get("id") or -1), job.get("state") or ""
            active = number >= 0 and state not in END_STATES
            if active or self._is_printing:  # the latter may be a print from the SD card
                self._film_queue.is_idle = False
            recording = self._recorder.recording
            if recording is not None and (recording.job != number or not active):
                outcome = state if recording.job == number else await self._outcome(recording.job)
                if number < 0 and outcome not in END_STATES:
                    return  # the core is away, perhaps only for a moment: the print may continue
                await self._end(outcome if outcome in END_STATES else "interrupted")
            if active and self._recorder.recording is None:
                await self._record(number, job.get("key"), answer["job"]["file"])
            if not active:
                is_over = await self._conclude_others(certain=number >= 0)
                self._film_queue.is_idle = is_over and not self._is_printing

    async def _record(self, number: int, key: str | None, file: Mapping[str, Any]) -> None:
        """Continue the recording of this print, or start one."""
        path = str(file.get("path") or file.get("name") or "print")
        for each in self._recordings:
            if not each.outcome and (each.job, each.key, each.file) == (number, key, path):
                self._recorder.begin(each)
                return
        await self._conclude_others(certain=True)
        if self._plan.type == "off":
            return
        name = folder_name(path, self._wall())
        names = {each.name for each in self._recordings}
        name = next(each for each in (name, *(f"{name}-{count}" for count in range(2, 99))) if each not in names)
        recording = Recording(name, number, path, key, self._wall(), self._plan.fps, self._plan.post_roll)
        try:
            await self._on_disk(self._films.begin, recording)
        except OSError as error:
            log.warning("timelapse.no_folder", reason=str(error), consequence="this print has no film")
            return
        self._recordings.append(recording)
        self._recorder.begin(recording)

    async def _end(self, outcome: str) -> None:
        """Take the last picture, and queue a film if the plan wants one."""
        recording = await self._recorder.finish(outcome)
        if recording is None:
            return
        if recording.frames and recording.post_roll:
            self.send_event("PostRollStart", {
                "postroll_duration": None, "postroll_length": recording.post_roll, "postroll_fps": recording.fps,
            })  # fmt: skip
            self.send_event("PostRollEnd", {})
        await self._conclude(recording)

    async def _conclude_others(self, *, certain: bool) -> bool:
        """Conclude the other recordings whose prints have ended, unseen by this process; return whether all have ended.

        Args:
            certain: the current print is known, so all others have ended, whatever the history says.
        """
        current, is_over = self._recorder.recording, True
        for each in [each for each in self._recordings if not each.outcome and each is not current]:
            outcome = await self._outcome(each.job)
            if outcome in END_STATES or certain:
                each.outcome = outcome if outcome in END_STATES else "interrupted"
                await self._conclude(each)
            else:
                is_over = False
        for each in self._recordings:
            if each.wanted and each.outcome:
                self._film_queue.add(each)
        return is_over

    async def _conclude(self, recording: Recording) -> None:
        if not recording.frames:
            await self._on_disk(self._films.drop, recording)
            self._forget(recording)
            if self._recorder.miss_count and self._plan.wants_film(success=recording.outcome == "completed"):
                self.send_event("MovieFailed", {
                    "gcode": recording.file, "movie": "n/a", "movie_basename": "n/a", "movie_prefix": recording.name,
                    "returncode": 0, "out": "", "error": "", "reason": "no_frames",
                })  # fmt: skip
            return
        recording.wanted = self._plan.wants_film(success=recording.outcome == "completed")
        try:
            await self._on_disk(self._films.note, recording)
        except OSError as error:
            consequence = "after a restart its end is looked up in the history"
            log.warning("timelapse.end_not_noted", name=recording.name, reason=str(error), consequence=consequence)
        if recording.wanted:
            self._film_queue.add(recording)
        self._report_changes()

    async def _outcome(self, job: int) -> str:
        """Return the state of a print in the history; empty: unknown."""
        try:
            job_entry = await self.client.get(f"/api/history/{job}")
        except ClientError:
            return ""
        return str(job_entry.get("state") or "")

    async def _read_camera(self) -> None:
        """Read from the front's settings which camera to use."""
        try:
            webcam = (await self.client.settings())["webcam"]
        except (ClientError, KeyError) as error:
            log.warning("timelapse.front_away", reason=str(error))
            return
        name = self._config.camera or webcam.get("snapshotWebcam")
        camera: Mapping[str, Any] = next(
            (each for each in webcam.get("webcams", []) if name in (each["name"], each["displayName"])), {}
        )
        url = self._config.snapshot_url or camera.get("compat", {}).get("snapshot") or ""
        if self._config.camera and camera:
            url = url or camera.get("extras", {}).get("proxied", {}).get("snapshot", "")
        is_of_front = url.startswith("/")
        turns = {ours: bool(camera.get(theirs)) for ours, theirs in TURN_SETTINGS.items()}
        self._recorder.camera = FilmCamera(
            f"{self.client.url}{url}" if is_of_front else url,
            tuple(self.client.headers.items()) if is_of_front else (),
            str(camera.get("displayName", "")),
            **turns,
        )
        self._film_queue.look = FilmLook(self._config.height, **turns)
        self._report_changes()

    # -- requests ----------------------------------------------------------------------------------------------

    async def handle(self, do: str, parameters: Mapping[str, Any], scope: str) -> Answer:
        """List, change the plan, delete, or queue a film."""
        if do == "list":
            return Answer(200, await self._list_all())
        if do == "configure":
            await self._configure(parameters, may_save=scope == "admin")
        elif do == "delete":
            if not await self._on_disk(self._films.delete, str(parameters.get("name", ""))):
                raise Refusal(404, "no such film")
        elif do == "delete_unrendered":
            await self._drop(self._recording_of(parameters))
        elif do == "render":
            if not self._film_queue.is_idle:
                raise Refusal(409, "Printer is currently printing, cannot render timelapse: try again after the print")
            recording = self._recording_of(parameters)
            recording.wanted, recording.failed = True, ""
            recording.outcome = recording.outcome or "interrupted"
            try:
                await self._on_disk(self._films.note, recording)
            except OSError as error:
                raise Refusal(
                    507, f"the film cannot be queued: the disk cannot be written ({error.strerror})"
                ) from error
            self._film_queue.add(recording)
        else:
            raise Refusal(400, f"timelapse cannot do {do[:40]!r}")
        self._report_changes()
        return DONE

    async def _configure(self, parameters: Mapping[str, Any], *, may_save: bool) -> None:
        plan = apply_request(self._plan, parameters)
        was_off = self._plan.type == "off"
        self._set_plan(plan)
        if was_off:
            await self._update()  # a print may be running
        self.send_message("timelapse", plan.as_push_message())
        if may_save and str(parameters.get("save", "")).lower() in ("true", "yes", "y", "1"):
            try:
                text = json.dumps(asdict(plan))
                await self._on_disk(lambda: write_private(self.folder / PLAN, text, replace=True))
            except OSError as error:
                raise Refusal(
                    500, f"the change cannot be saved, and is lost at the next start: {error.strerror}"
                ) from error

    def _set_plan(self, plan: FilmPlan) -> None:
        self._plan = self._recorder.plan = plan
        self._report_changes()

    def _recording_of(self, parameters: Mapping[str, Any]) -> Recording:
        for each in self._recordings:
            if each.name == parameters.get("name"):
                if each is self._recorder.recording:
                    raise Refusal(409, "this print is still being recorded")
                return each
        raise Refusal(404, "no such recording")

    async def _drop(self, recording: Recording) -> None:
        if recording is self._film_queue.recording_being_rendered:
            raise Refusal(409, "a film of this recording is being made")
        if recording in self._film_queue.waiting_recordings:
            self._film_queue.waiting_recordings.remove(recording)
        await self._on_disk(self._films.drop, recording)
        self._forget(recording)

    # -- state -------------------------------------------------------------------------------------------------

    def _forget(self, recording: Recording) -> None:
        if recording in self._recordings:
            self._recordings.remove(recording)
        self._report_changes()

    def _report_changes(self) -> None:
        """Report the state, with a new `revision`: the lists of films and recordings may have changed."""
        self._revision += 1
        recorder, queue = self._recorder, self._film_queue
        recording = recorder.recording
        self.report_state({
            "revision": self._revision,
            "config": self._plan.as_json(),
            "pushed": self._plan.as_push_message() if self._plan.type != "off" else None,
            "camera": recorder.camera.name or recorder.camera.url.partition("?")[0],
            "trouble": recorder.trouble or ("" if recorder.camera.url else "no camera delivers single pictures"),
            "recording": None if recording is None else {
                "name": recording.name, "pictures": recording.frames,
                "skipped": recorder.skip_count, "missed": recorder.miss_count,
            },
            "rendering": queue.recording_being_rendered.name if queue.recording_being_rendered is not None else None,
            "waiting": len(queue.waiting_recordings),
        })  # fmt: skip

    async def _list_all(self) -> dict[str, Any]:
        return {
            "files": await self._on_disk(self._films.list_films),
            "unrendered": [
                self._as_json(each) for each in sorted(self._recordings, key=lambda each: each.name)[:MAX_LISTED]
            ],
        }

    def _as_json(self, recording: Recording) -> dict[str, Any]:
        is_being_recorded = recording is self._recorder.recording
        is_being_rendered = recording is self._film_queue.recording_being_rendered
        return {
            "name": recording.name,
            "size": size_of(recording.bytes),
            "bytes": recording.bytes,
            "date": date_of(recording.began),
            "recording": is_being_recorded,
            "rendering": is_being_rendered,
            "processing": is_being_recorded or is_being_rendered,
            "pictures": recording.frames,
            "failed": recording.failed,
        }

    async def _expire(self) -> None:
        while True:
            without_film = [each for each in self._recordings if not each.wanted]
            try:
                for each in await self._on_disk(self._films.expire, without_film, self._wall()):
                    self._forget(each)
            except OSError as error:
                log.warning("timelapse.nothing_expired", reason=str(error), again_s=EXPIRE_INTERVAL)
            self._report_changes()
            await asyncio.sleep(EXPIRE_INTERVAL)

    def _on_disk(self, function: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().run_in_executor(self._disk, function, *args)
