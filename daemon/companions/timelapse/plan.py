"""When pictures are taken and how the film is made, in OctoPrint's terms. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from daemon.companions.companion import Refusal
from daemon.companions.timelapse.config import TimelapseConfig
from gcode.frozen import frozen

TYPES = ("off", "timed", "zchange")
RENDER = ("always", "success", "failure", "never")
MAX_VALUE = 1_000_000


@frozen
class FilmPlan:
    """When pictures are taken, and how the film is made.

    Attributes:
        z_hop: only stored for OctoPrint's clients; layers are detected without it.
    """

    type: str = "zchange"
    fps: int = 25
    post_roll: int = 0
    interval: int = 10
    min_delay: float = 0.5
    render: str = "always"
    z_hop: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the plan as in the answer to GET /api/timelapse."""
        if self.type == "off":
            return {"type": "off"}
        plan = {"type": self.type, "postRoll": self.post_roll, "fps": self.fps, "renderAfterPrint": self.render}
        if self.type == "timed":
            return {**plan, "interval": self.interval}
        return {**plan, "retractionZHop": self.z_hop, "minDelay": self.min_delay}

    def as_push_message(self) -> dict[str, Any]:
        """Return the plan as it is sent to push sockets."""
        options = {"timed": {"interval": self.interval}, "zchange": {"retractionZHop": self.z_hop}}
        return {"type": self.type, "options": options.get(self.type, {})}

    def wants_film(self, *, success: bool) -> bool:
        """Tell whether a film is made after a print with this outcome."""
        return self.render in ("always", "success" if success else "failure")


def plan_of(config: TimelapseConfig) -> FilmPlan:
    """Return the plan of the configuration."""
    return FilmPlan(config.type, config.fps, config.post_roll_s, config.interval_s, config.min_delay_s, config.render)


def apply_request(plan: FilmPlan, request: Mapping[str, Any]) -> FilmPlan:
    """Return the plan that a client requests.

    As in OctoPrint, if a request with a type leaves out post roll, frame rate or rendering, these get their defaults.

    Raises:
        Refusal: 400 for an invalid value.
    """
    if "type" not in request:
        return plan
    kind = request["type"]
    if kind not in TYPES:
        raise Refusal(400, "type is invalid")
    new = replace(plan, type=kind, post_roll=0, fps=25, render="always")
    new = replace(
        new,
        post_roll=_whole(request, "postRoll", new.post_roll, 0),
        fps=_whole(request, "fps", new.fps, 1),
        interval=_whole(request, "interval", new.interval, 1),
        z_hop=_number(request, "retractionZHop", new.z_hop, zero=True),
        min_delay=_number(request, "minDelay", new.min_delay, zero=False),
    )
    render = request.get("renderAfterPrint", new.render)
    if render not in RENDER:
        raise Refusal(400, "renderAfterPrint is invalid")
    return replace(new, render=render)


def _whole(request: Mapping[str, Any], name: str, default: int, low: int) -> int:
    value = request.get(name, default)
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        raise Refusal(400, f"{name} is invalid") from None
    if isinstance(value, bool) or not low <= number <= MAX_VALUE:
        raise Refusal(400, f"{name} is invalid")
    return number


def _number(request: Mapping[str, Any], name: str, default: float, *, zero: bool) -> float:
    value = request.get(name, default)
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        raise Refusal(400, f"{name} is invalid") from None
    if isinstance(value, bool) or not 0 <= number <= MAX_VALUE or (name in request and not zero and not number):
        raise Refusal(400, f"{name} is invalid")
    return number


class LayerPictures:
    """Decides when a picture is due: when a layer is finished, that is, when the next one begins."""

    def __init__(self, layer: int | None = None) -> None:
        """Start in this layer; None: in the first one that `is_due` gets."""
        self._layer = layer

    def is_due(self, layer: int | None) -> bool:
        """Set the current layer; return whether a layer was finished since the last call."""
        if layer is None:
            return False
        before, self._layer = self._layer, layer
        return before is not None and layer > max(before, 1)
