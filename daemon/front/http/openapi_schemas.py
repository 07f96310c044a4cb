"""The schemas of the API's answers, as JSON Schema."""

from typing import Any

Schema = dict[str, Any]


def obj(properties: dict[str, Schema], required: list[str] | None = None) -> Schema:
    """Return the schema of an object that has all these properties, or those in `required`; it may have more."""
    return {"type": "object", "properties": properties, "required": [*properties] if required is None else required}


def array(items: Schema, **more: Any) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **more}


def ref(name: str) -> Schema:
    """Return a reference to a schema in `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(kind: str) -> Schema:
    """Return the schema of a value that may be null."""
    return {"type": [kind, "null"]}


def one_of(*kinds: Schema) -> Schema:
    """Return the schema of a value that matches one of these."""
    return {"anyOf": [*kinds]}


_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_YES_NO: Schema = {"type": "boolean"}
_TEXTS = array(_TEXT)

_FLAGS = (
    "operational", "printing", "cancelling", "pausing", "resuming", "finishing",
    "closedOrError", "error", "paused", "ready", "sdReady",
)  # fmt: skip

_FILE = {name: nullable("string") for name in ("name", "display", "path", "origin")}
_REFS = obj({"resource": _TEXT, "download": _TEXT}, required=["resource"])
_ENTRY = {
    "name": _TEXT,
    "display": _TEXT,
    "path": _TEXT,
    "type": {"enum": ["machinecode", "folder"]},
    "typePath": _TEXTS,
    "size": _WHOLE,
    "date": _WHOLE,
    "origin": {"const": "local"},
    "user": _TEXT,
    "refs": _REFS,
}
_MORE_OF_FILE = {
    "hash": nullable("string"),
    "children": array(ref("File")),
    "prints": {"type": "object"},
    "statistics": {"type": "object"},
}
_AXIS = obj({"speed": _NUMBER, "inverted": _YES_NO})

SCHEMAS: dict[str, Schema] = {
    "Error": obj({"error": _TEXT}),
    "Version": obj({"api": _TEXT, "server": _TEXT, "text": {"type": "string", "pattern": "^OctoPrint "}}),
    "JobFilament": obj(
        {
            "job": nullable("integer"),
            "path": nullable("string"),
            "size": nullable("integer"),
            "known": {"type": "boolean"},
            "tools": array({"type": "object"}),
            "planned": array({"type": "object"}),
        }
    ),
    "KeyedPrint": obj({"print": nullable("object"), "last": nullable("object"), "behind": nullable("object")}),
    "Job": obj(
        {
            "job": obj(
                {
                    "file": obj({**_FILE, "size": nullable("integer"), "date": nullable("integer")}),
                    "estimatedPrintTime": nullable("number"),
                    "averagePrintTime": nullable("number"),
                    "lastPrintTime": nullable("number"),
                    "filament": nullable("object"),
                    "user": nullable("string"),
                }
            ),
            "progress": obj(
                {
                    "completion": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
                    "filepos": nullable("integer"),
                    "printTime": nullable("integer"),
                    "printTimeLeft": nullable("integer"),
                    "printTimeLeftOrigin": nullable("string"),
                }
            ),
            "state": _TEXT,
            "error": _TEXT,
            "warning": _TEXT,
            "pauseReason": _TEXT,
            "print": obj({"id": _WHOLE, "key": nullable("string"), "state": nullable("string")}),
            "refused": obj({"name": _TEXT, "path": _TEXT, "reasons": _TEXTS}),
        },
        required=["job", "progress", "state"],
    ),
    "Connection": obj(
        {
            "current": obj(
                {
                    "state": _TEXT,
                    "port": nullable("string"),
                    "baudrate": nullable("integer"),
                    "printerProfile": _TEXT,
                }
            ),
            "options": obj(
                {
                    "ports": _TEXTS,
                    "baudrates": array(_WHOLE),
                    "printerProfiles": array(obj({"id": _TEXT, "name": _TEXT})),
                    "portPreference": nullable("string"),
                    "baudratePreference": nullable("integer"),
                    "printerProfilePreference": _TEXT,
                }
            ),
        }
    ),
    "File": obj({**_ENTRY, **_MORE_OF_FILE}, required=[*_ENTRY]),
    "FileReference": obj({"name": _TEXT, "origin": _TEXT, "path": _TEXT, "refs": _REFS}),
    "Files": obj({"files": array(ref("File")), "free": _WHOLE, "total": _WHOLE}),
    "NoFiles": obj({"files": array({}, maxItems=0)}),
    "Uploaded": obj(
        {
            "files": obj({"local": ref("FileReference")}),
            "folder": ref("FileReference"),
            "done": _YES_NO,
            "effectiveSelect": _YES_NO,
            "effectivePrint": _YES_NO,
        },
        required=["done"],
    ),
    "Reading": obj(
        {"actual": nullable("number"), "target": nullable("number"), "offset": _NUMBER}, required=["actual", "target"]
    ),
    "Temperatures": {
        "type": "object",
        "properties": {"history": array({"type": "object"})},
        "additionalProperties": ref("Reading"),
    },
    "Printer": obj(
        {
            "temperature": ref("Temperatures"),
            "sd": obj({"ready": _YES_NO}),
            "state": obj({"text": _TEXT, "error": _TEXT, "flags": obj(dict.fromkeys(_FLAGS, _YES_NO))}),
            "safety": {"type": "object"},
            "age": {"type": "object"},
            "panel": obj({"message": _TEXT, "prompt": obj({"text": _TEXT, "choices": _TEXTS})}, required=[]),
        },
        required=[],
    ),
    "Queue": obj(
        {
            "revision": _WHOLE,
            "paused": _YES_NO,
            "bed": obj({"clear": _YES_NO, "by": nullable("string"), "at": nullable("number")}),
            "waiting": nullable("string"),
            "entries": array(ref("QueueEntry")),
        }
    ),
    "QueueEntry": obj(
        {
            "id": _WHOLE,
            "path": _TEXT,
            "name": _TEXT,
            "added": _NUMBER,
            "copies": _WHOLE,
            "done": _WHOLE,
            "notes": _TEXT,
            "material": nullable("string"),
            "force": _YES_NO,
            "state": {"enum": ["waiting", "beginning", "printing", "refused", "missing", "failed", "done"]},
            "reason": nullable("string"),
            "job": nullable("integer"),
            "user": nullable("string"),
            "key": nullable("string"),
        }
    ),
    "Printed": obj(
        {
            "id": _WHOLE,
            "name": _TEXT,
            "path": _TEXT,
            "state": _TEXT,
            "started": _NUMBER,
            "ended": nullable("number"),
            "printTime": nullable("number"),
            "reason": nullable("string"),
            "began": _YES_NO,
            "key": nullable("string"),
            "user": nullable("string"),
            "printer": _TEXT,
            "size": _WHOLE,
            "lines": _WHOLE,
            "offset": _WHOLE,
            "resends": nullable("integer"),
            "layers": nullable("integer"),
            "layersDone": nullable("integer"),
            "filament": array({"type": "object"}),
            "filamentLength": nullable("number"),
            "filamentWeight": nullable("number"),
            "material": nullable("string"),
            "energy": nullable("number"),
            "notes": _TEXT,
            "entry": nullable("integer"),
            "thumbnail": nullable("string"),
            "fileExists": _YES_NO,
        }
    ),
    "Resumption": obj(
        {
            "token": _TEXT,
            "expires": _WHOLE,
            "print": obj(
                {
                    "id": _WHOLE,
                    **dict.fromkeys(("name", "path", "state"), _TEXT),
                    "ended": _NUMBER,
                    "reason": nullable("string"),
                    **dict.fromkeys(("lines", "offset"), _WHOLE),
                    "filamentLength": nullable("number"),
                    "layer": nullable("integer"),
                }
            ),
            "layer": nullable("integer"),
            **dict.fromkeys(("layers", "line", "offset"), _WHOLE),
            "height": nullable("number"),
            "top": _NUMBER,
            "highest": _NUMBER,
            "at": {"type": "object", "additionalProperties": _NUMBER},
            "temperatures": {"type": "object", "additionalProperties": _NUMBER},
            **dict.fromkeys(("extruded", "lift", "prime"), _NUMBER),
            "sequence": array(_TEXT),
            "warnings": array(_TEXT),
            "hint": _TEXT,
            "file": _TEXT,
        }
    ),
    "Total": obj(
        {
            "name": nullable("string"),
            **dict.fromkeys(("prints", "completed", "failed", "cancelled", "interrupted"), _WHOLE),
            **dict.fromkeys(("printTime", "filamentLength", "filamentWeight", "energy"), nullable("number")),
        }
    ),
    "Health": obj(
        {
            "version": _TEXT,
            "link": obj({"sent": _WHOLE, "resends": _WHOLE, "figures": nullable("object")}),
            "protection": nullable("object"),
            "trouble": nullable("string"),
            "recordTrouble": nullable("string"),
            "memory": obj({"core": nullable("integer"), "front": nullable("integer")}),
            "machine": {"type": "object"},
            "recording": _YES_NO,
            "faults": array(ref("Recording")),
            "sessions": array(ref("Recording")),
        },
        required=["version", "link", "memory", "machine", "faults"],
    ),
    "Macro": obj({"name": _TEXT, "commands": _TEXTS, "whilePrinting": _YES_NO}),
    "Recording": obj({"name": _TEXT, "size": _WHOLE, "date": _WHOLE}),
    "Key": obj(
        {
            "name": _TEXT,
            "scope": {"enum": ["read", "control", "admin"]},
            "made": _WHOLE,
            "used": nullable("integer"),
            "app": _YES_NO,
            "own": _YES_NO,
        }
    ),
    "PrinterError": obj({"error": _TEXT, "reason": _TEXT}),
    "Settings": obj(
        {
            "appearance": obj({"name": _TEXT}),
            "feature": obj({"sdSupport": _YES_NO}),
            "gcodeAnalysis": obj({"runAt": _TEXT}),
            "plugins": obj({"discovery": obj({"upnpUuid": {"type": "string", "format": "uuid"}})}),
            "webcam": obj({"webcamEnabled": _YES_NO, "streamUrl": _TEXT, "snapshotUrl": _TEXT}),
        }
    ),
    "Profile": obj(
        {
            "id": _TEXT,
            "name": _TEXT,
            "model": _TEXT,
            "default": _YES_NO,
            "current": _YES_NO,
            "resource": _TEXT,
            "axes": obj(dict.fromkeys("xyze", _AXIS)),
            "extruder": obj({"count": _WHOLE, "offsets": array(array(_NUMBER)), "nozzleDiameter": _NUMBER}),
            "heatedBed": _YES_NO,
            "heatedChamber": _YES_NO,
            "volume": obj(
                {"width": _NUMBER, "depth": _NUMBER, "height": _NUMBER, "origin": _TEXT, "formFactor": _TEXT}
            ),
        }
    ),
    "Presets": obj(
        {
            "presets": array(
                obj(
                    {
                        "id": _TEXT,
                        "name": _TEXT,
                        "also": _TEXTS,
                        "width": _NUMBER,
                        "depth": _NUMBER,
                        "height": _NUMBER,
                        "origin": _TEXT,
                        "formFactor": _TEXT,
                        "extruders": _WHOLE,
                        "sharedNozzle": _YES_NO,
                        "heatedChamber": _YES_NO,
                        "firmware": _TEXT,
                    }
                )
            ),
            "current": nullable("string"),
            "suggested": nullable("string"),
            "machineType": nullable("string"),
            "area": nullable("object"),
        }
    ),
    "Profiles": obj({"profiles": {"type": "object", "additionalProperties": ref("Profile")}}),
    "SystemCommand": obj({"action": _TEXT, "name": _TEXT, "confirm": _TEXT, "source": _TEXT, "resource": _TEXT}),
    "CurrentUser": obj({"name": nullable("string"), "permissions": _TEXTS, "groups": _TEXTS}),
    "Login": obj(
        {
            "name": _TEXT,
            "session": _TEXT,
            "admin": _YES_NO,
            "groups": _TEXTS,
            "permissions": _TEXTS,
            "needs": obj({"role": _TEXTS, "group": _TEXTS}),
        },
        required=["groups", "permissions", "needs"],
    ),
}
