"""The answers of the API, as types: the fields that this daemon shares with OctoPrint 1.11, and some of its own.

There may be more.
"""

from typing import Any, Literal, NotRequired, TypedDict

Origin = Literal["local", "sdcard"]


class JobFile(TypedDict):
    """The selected file; every value is None if none is selected."""

    name: str | None
    path: str | None
    origin: Origin | None
    size: int | None
    date: int | None


class JobDetails(TypedDict):
    """The print, or the selected file; times in seconds."""

    file: JobFile
    estimatedPrintTime: float | None
    lastPrintTime: float | None
    filament: dict[str, Any] | None
    user: str | None


class Progress(TypedDict):
    """The progress of the print, in percent, bytes and seconds."""

    completion: float | None
    filepos: int | None
    printTime: float | None
    printTimeLeft: float | None
    printTimeLeftOrigin: str | None


class UnprintedFile(TypedDict):
    """A file whose print was refused, and why."""

    name: str
    path: str
    reasons: list[str]


class JobInformation(TypedDict):
    """GET /api/job."""

    job: JobDetails
    progress: Progress
    state: str
    error: NotRequired[str]
    refused: NotRequired[UnprintedFile]


class References(TypedDict):
    """Absolute URLs; a folder has nothing to download."""

    resource: str
    download: NotRequired[str]


class Picture(TypedDict):
    """A picture in a file: width and height in pixels, size in bytes as PNG, and its path on the server."""

    width: int
    height: int
    size: int
    relative_path: str


class FileAnalysis(TypedDict, total=False):
    """What is known of a file, in seconds, mm, °C and g. OctoPrint has the first two keys; the others are ours."""

    estimatedPrintTime: float
    filament: dict[str, dict[str, Any]]
    slicer: str | None
    slicer_version: str | None
    estimated_time: float | None
    layer_height: float | None
    first_layer_height: float | None
    first_layer_extr_temp: float | None
    first_layer_bed_temp: float | None
    chamber_temp: float | None
    nozzle_diameter: float | None
    printer_model: str | None
    filament_type: str | None
    filament_name: str | None
    filament_colors: list[str]
    filament_weights: list[float]
    filament_weight_total: float | None
    filament_cost_total: float | None
    layers: int
    objects: list[str]
    thumbnails: list[Picture]
    errors: list[str]
    warnings: list[str]


class FileEntry(TypedDict):
    """A file or a folder."""

    name: str
    path: str
    origin: Origin
    refs: References
    display: NotRequired[str]
    type: NotRequired[Literal["machinecode", "model", "folder"]]
    size: NotRequired[int | None]
    date: NotRequired[int | None]
    hash: NotRequired[str | None]
    gcodeAnalysis: NotRequired[FileAnalysis]
    children: NotRequired[list["FileEntry"]]


class FileList(TypedDict):
    """GET /api/files; free and total are bytes."""

    files: list[FileEntry]
    free: NotRequired[int]
    total: NotRequired[int]


class UploadAnswer(TypedDict):
    """The answer to an upload: where the file is, and whether it was selected and printed."""

    files: dict[str, FileEntry]
    done: bool
    effectiveSelect: bool
    effectivePrint: bool
    notPrinted: NotRequired[str]


class Temperature(TypedDict):
    """One heater, in °C; `target` is None if the firmware has not reported it."""

    actual: float | None
    target: float | None
    offset: NotRequired[float]


class PrinterFlags(TypedDict):
    """The printer's state, for programs."""

    operational: bool
    printing: bool
    cancelling: bool
    pausing: bool
    resuming: bool
    finishing: bool
    closedOrError: bool
    error: bool
    paused: bool
    ready: bool
    sdReady: bool


class PrinterState(TypedDict):
    """The printer's state, for users and for programs."""

    text: str
    error: str
    flags: PrinterFlags


class PrinterInformation(TypedDict):
    """GET /api/printer, without the excluded parts. `temperature` may have a list `history` besides the heaters."""

    temperature: NotRequired[dict[str, Any]]
    sd: NotRequired[dict[str, bool]]
    state: NotRequired[PrinterState]


class CurrentConnection(TypedDict):
    """The present connection to the printer."""

    state: str
    port: str | None
    baudrate: int | None
    printerProfile: str


class ConnectionOptions(TypedDict):
    """The ports, baudrates and profiles to choose from."""

    ports: list[str]
    baudrates: list[int]
    printerProfiles: list[dict[str, str]]
    portPreference: str | None
    baudratePreference: int | None
    printerProfilePreference: str | None


class ConnectionInformation(TypedDict):
    """GET /api/connection."""

    current: CurrentConnection
    options: ConnectionOptions


class Version(TypedDict):
    """GET /api/version."""

    api: str
    server: str
    text: str
