"""Recognises the feature of a part of the print (outer wall, infill, support) from the comments of slicers.

The words of each slicer come from its files and its published sources; the numbers are part of the format of toolpaths.
"""

import re
from enum import IntEnum
from functools import lru_cache

MAX_COMMENT = 60
"""Bytes of a comment that can name a feature."""


class Feature(IntEnum):
    """A feature of the print; toolpaths have these numbers plus one, because 0 means travel there."""

    OTHER = 0  # start code, or a part without a name
    OUTER_WALL = 1
    INNER_WALL = 2
    OVERHANG = 3
    INFILL = 4
    SOLID = 5
    TOP = 6
    BOTTOM = 7
    BRIDGE = 8
    GAP = 9
    IRONING = 10
    SKIRT = 11  # and brim
    RAFT = 12
    SUPPORT = 13
    INTERFACE = 14  # of supports
    TOWER = 15  # to wipe and prime


_NAMES = {
    Feature.OTHER: "custom, multiple, mixed, undefined, none, milling",
    Feature.OUTER_WALL: "external perimeter, outer wall, wall outer, outer perimeter, perimeter path, shell outer",
    Feature.INNER_WALL: "perimeter, internal perimeter, inner wall, wall inner, inner perimeter, loop, loop path, "
    "shell inner, shell, wall, crown path",
    Feature.OVERHANG: "overhang perimeter, overhang wall, overhang",
    Feature.INFILL: "internal infill, sparse infill, infill, fill, sparse infill path, stacked sparse infill path, "
    "innerhair, infill sparse, sparse",
    Feature.SOLID: "solid infill, internal solid infill, solid layer, solid fill, skin, solid path, hshell, "
    "infill solid, solid, floating vertical shell",
    Feature.TOP: "top solid infill, top surface, top solid fill, top",
    Feature.BOTTOM: "bottom surface, bottom solid infill, bottom",
    Feature.BRIDGE: "bridge infill, internal bridge infill, bridge, internal bridge, external bridge",
    Feature.GAP: "gap fill, gap infill, thin wall, thin walls, single extrusion",
    Feature.IRONING: "ironing, travel/ironing path",
    Feature.SKIRT: "skirt, brim, skirt/brim, skirt path, pre extrude",
    Feature.RAFT: "raft, raft path",
    Feature.SUPPORT: "support material, support, support (may stack) path, softsupport, support transition, "
    "dense support",
    Feature.INTERFACE: "support material interface, support interface, support interface path, supporttouch",
    Feature.TOWER: "wipe tower, prime tower, prime pillar, prime pillar path, pillar, pillar path, ooze shield",
}
_BY_NAME = {name.strip(): feature for feature, names in _NAMES.items() for name in names.split(",")}

_NAMED = re.compile(r"(?:TYPE:|FEATURE: ?|feature |structure:|segType:)(.+)", re.IGNORECASE)
_QUOTED = re.compile(r"'([^']+ Path)'")  # KISSlicer: `; 'Perimeter Path', 1.2 [feed mm/s], …`
_BARE = re.compile(  # Simplify3D 4
    r"(?:outer perimeter|inner perimeter|solid layer|infill|gap fill|bridge|skirt|support|dense support|raft"
    r"|prime pillar|ooze shield|single extrusion)$"
)


def feature_of(comment: bytes) -> Feature | None:
    """Return the feature that a comment, with its `;`, names; None: it names none."""
    return _feature_of(comment) if len(comment) <= MAX_COMMENT else None


@lru_cache(1024)  # slicers repeat themselves
def _feature_of(comment: bytes) -> Feature | None:
    text = comment[1:].decode("utf-8", "replace").strip("; \t")
    if match := _NAMED.match(text):
        return _BY_NAME.get(re.sub(r"[-_ ]+", " ", match[1].strip().lower()), Feature.OTHER)
    if match := _QUOTED.match(text) or _BARE.match(text):
        return _BY_NAME.get(match[match.lastindex or 0].lower(), Feature.OTHER)
    return None
