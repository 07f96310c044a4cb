"""The settings in OctoPrint's shape: every section and key that its clients know.

A setting without a counterpart here has the value that fits how nozzled behaves.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.camera.addresses import (
    FIRST,
    cameras_of,
    client_snapshot,
    client_stream,
    mask_secrets,
    own_address,
    snapshot_of,
    stream_of,
)
from daemon.config import CameraConfig, Config, ScriptsConfig, WebcamConfig
from daemon.front.uploads.filenames import EXTENSIONS

BAUDRATES = (250000, 230400, 115200, 57600, 38400, 19200, 9600)
CAMERA_KEYS = {
    "name": "name",
    "streamUrl": "stream_url",
    "snapshotUrl": "snapshot_url",
    "webrtcUrl": "webrtc_url",
    "hlsUrl": "hls_url",
    "flipH": "flip_horizontally",
    "flipV": "flip_vertically",
    "rotate90": "rotate_90",
}
"""A camera's settings, and the keys of the configuration behind them."""

_SCRIPTS = {
    "connected": "afterPrinterConnected",
    "before_start": "beforePrintStarted",
    "after_pause": "afterPrintPaused",
    "before_resume": "beforePrintResumed",
    "after_cancel": "afterPrintCancelled",
    "after_finish": "afterPrintDone",
}


def sections(
    config: Config, webcam: WebcamConfig, name: str, uuid: str, *, timelapse: Path | None = None
) -> dict[str, Any]:
    """Return all sections but `temperature`; `timelapse` is the companion's folder, if it is switched on."""
    return {
        "accessControl": {"autologinHeadsupAcknowledged": False, "autologinLocal": False},
        "api": {"key": None, "allowCrossOrigin": bool(config.http.allow_origins)},
        "appearance": _appearance(name),
        "controls": [],
        "devel": {"pluginTimings": False},
        "feature": _feature(),
        "folder": {"timelapse": str(timelapse / "movies") if timelapse else "", "uploads": "", "watched": ""},
        "gcodeAnalysis": {"runAt": "always" if config.analysis.enabled else "never", "bedZ": 0.0},
        "plugins": _plugins(webcam, uuid),
        "scripts": {"gcode": _scripts(config.scripts)},
        "serial": _serial(config),
        "server": _server(config),
        "slicing": {"defaultSlicer": None},
        "system": {"actions": [], "events": None},
        "terminalFilters": _filters(),
        "webcam": _webcam(webcam, timelapse=timelapse is not None),
    }


def _appearance(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "color": "default",
        "colorTransparent": False,
        "colorIcon": True,
        "closeModalsWithClick": True,
        "defaultLanguage": "_default",
        "fuzzyTimes": True,
        "showFahrenheitAlso": False,
        "showInternalFilename": True,
    }


def _feature() -> dict[str, Any]:
    return {
        "sdSupport": False,
        "temperatureGraph": True,
        "modelSizeDetection": False,
        "autoUppercaseBlacklist": ["M117", "M118"],
        "enableDragDropUpload": True,
        "fileDeleteConfirmation": True,
        "g90InfluencesExtruder": False,
        "keyboardControl": False,
        "pollWatched": False,
        "printCancelConfirmation": True,
        "printStartConfirmation": False,
        "rememberFileFolder": False,
        "uploadOverwriteConfirmation": True,
    }


def _plugins(webcam: WebcamConfig, uuid: str) -> dict[str, Any]:
    """Return the settings of the OctoPrint plug-ins that nozzled stands in for."""
    shown = public_camera(FIRST, webcam)
    return {
        "discovery": {"upnpUuid": uuid},
        "action_command_notification": {"enable": True, "enable_popups": False, "filter": ""},
        "action_command_prompt": {
            "command": "M876",
            "enable": "always",
            "enable_emergency_sending": True,
            "enable_signal_support": True,
        },
        "classicwebcam": {
            "stream": shown["streamUrl"],
            "snapshot": shown["snapshotUrl"],
            "flipH": webcam.flip_horizontally,
            "flipV": webcam.flip_vertically,
            "rotate90": webcam.rotate_90,
            "snapshotSslValidation": True,
            "snapshotTimeout": 5,
            "snapshotAuth": "none",
            "snapshotUsername": "",
            "snapshotPassword": "",
            "snapshotBearerToken": "",
            **_streaming(),
        },
    }


def power(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that make apps show a power switch; `state` is the power companion's."""
    return {
        "switchingMethod": "PLUGIN",
        "switchingPlugin": "nozzled",
        "sensingMethod": "PLUGIN",
        "sensingPlugin": "nozzled",
        "sensePollingInterval": 5,
        "autoOn": state.get("connects") is True,
        "connectOnPowerOn": True,
        "disconnectOnPowerOff": False,
        "powerOffWhenIdle": state.get("auto") is True,
        "turnOffWhenError": False,
        "enablePowerOffWarningDialog": True,
    }


def _streaming() -> dict[str, Any]:
    return {"streamRatio": "16:9", "streamTimeout": 5, "streamWebrtcIceServers": [], "cacheBuster": False}


def _scripts(scripts: ScriptsConfig) -> dict[str, str]:
    """Return the configured scripts, by OctoPrint's names."""
    texts = {name: "\n".join(getattr(scripts, key)) for key, name in _SCRIPTS.items()}
    return {name: text for name, text in texts.items() if text}


def _serial(config: Config) -> dict[str, Any]:
    printer, link = config.printer, config.link
    long = sorted(
        {*("G4", "G28", "G29", "M109", "M190", "M400", "M600"), *(each.split()[0] for each in link.long_commands)}
    )
    return {
        "port": None,
        "baudrate": printer.baudrate or None,
        "autoconnect": bool(printer.address),
        "portOptions": [],
        "baudrateOptions": [*BAUDRATES],
        "additionalPorts": [*printer.extra_ports],
        "additionalBaudrates": [],
        "blacklistedPorts": [],
        "blacklistedBaudrates": [],
        "exclusive": True,
        "encoding": "utf-8",
        "log": bool(link.record),
        "lowLatency": False,
        "useParityWorkaround": "never",
        "ignoreEmptyPorts": False,
        "waitForStart": False,
        "firmwareDetection": True,
        "helloCommand": "M110 N0",
        "alwaysSendChecksum": True,
        "neverSendChecksum": False,
        "sendChecksumWithUnknownCommands": True,
        "unknownCommandsNeedAck": False,
        "checksumRequiringCommands": ["M110"],
        "emergencyCommands": ["M112", "M108", "M410", "M876"],
        "longRunningCommands": long,
        "pausingCommands": ["M0", "M1", "M25", "M226"],
        "blockedCommands": ["M110", "M28", "M29", "M575", "M999"],
        "ignoredCommands": [],
        "notifySuppressedCommands": "warn",
        "blockWhileDwelling": False,
        "abortHeatupOnCancel": True,
        "externalHeatupDetection": True,
        "disconnectOnErrors": True,
        "ignoreErrorsFromFirmware": printer.on_error == "ignore",
        "sendM112OnError": True,
        "enableShutdownActionCommand": False,
        "logPositionOnPause": True,
        "logPositionOnCancel": False,
        "sanityCheckTools": True,
        "repetierTargetTemp": False,
        "supportResendsWithoutOk": "detect",
        "ignoreIdenticalResends": True,
        "swallowOkAfterResend": True,
        "triggerOkForM29": False,
        "resendRatioStart": 100,
        "resendRatioThreshold": 10,
        "ackMax": 1,
        **_capabilities(),
        **_card(),
        **_timeouts(config),
    }  # fmt: skip


def _capabilities() -> dict[str, bool]:
    return {
        "capAutoreportTemp": True,
        "capAutoreportPos": False,
        "capAutoreportSdStatus": False,
        "capBusyProtocol": True,
        "capEmergencyParser": True,
        "capExtendedM20": False,
        "capLfnWrite": False,
    }


def _card() -> dict[str, Any]:
    """Return the settings of the printer's SD card, which is not supported."""
    return {
        "sdAlwaysAvailable": False,
        "sdCancelCommand": "M25",
        "sdLowerCase": False,
        "sdRelativePath": False,
        "waitToLoadSdFileList": False,
        "disableSdPrintingDetection": False,
    }


def _timeouts(config: Config) -> dict[str, float]:
    printer, answer = config.printer, config.link.answer_timeout_s
    return {
        "timeoutConnection": printer.connect_timeout_s,
        "timeoutDetectionFirst": printer.connect_timeout_s,
        "timeoutDetectionConsecutive": printer.connect_timeout_s,
        "timeoutBaudrateDetectionPause": 1.0,
        "timeoutCommunication": answer,
        "timeoutCommunicationBusy": answer,
        "timeoutTemperature": printer.poll_idle_s,
        "timeoutTemperatureAutoreport": printer.poll_active_s,
        "timeoutTemperatureTargetSet": printer.poll_active_s,
        "timeoutPosAutoreport": 0.0,
        "timeoutPositionLogWait": 10.0,
        "timeoutSdStatus": 0.0,
        "timeoutSdStatusAutoreport": 0.0,
        "maxTimeoutsIdle": 0,
        "maxTimeoutsPrinting": 0,
        "maxTimeoutsLong": 0,
    }


def _server(config: Config) -> dict[str, Any]:
    system = config.system
    commands = {
        "serverRestartCommand": system.restart,
        "systemRestartCommand": system.reboot,
        "systemShutdownCommand": system.shutdown,
    }
    return {
        "allowedExtensions": list(EXTENSIONS),
        "allowFraming": False,
        "commands": {name: " ".join(words) or None for name, words in commands.items()},
        "diskspace": {"warning": 500 * 1024 * 1024, "critical": 200 * 1024 * 1024},
        "onlineCheck": {"enabled": False, "host": "", "port": 0, "interval": 0, "name": ""},
        "pluginBlacklist": {"enabled": False, "ttl": 0, "url": ""},
    }


def _filters() -> list[dict[str, str]]:
    """Return the filters of a client's terminal, as JavaScript regular expressions."""
    kinds = {
        "Suppress temperature messages": r"^Send:.*\bM105\b|^Recv:( ok)?.*\b[TB]\d*: ?-?\d",
        "Suppress SD status messages": r"^Send:.*\bM27\b|^Recv:.*SD printing",
        "Suppress position messages": r"^Send:.*\bM114\b|^Recv:( ok)? X:-?[\d.]+ Y:",
        "Suppress wait responses": r"^Recv: wait$",
        "Suppress processing responses": r"^Recv:.*\bbusy: *processing",
    }
    return [{"name": name, "regex": pattern} for name, pattern in kinds.items()]


def _webcam(webcam: WebcamConfig, *, timelapse: bool) -> dict[str, Any]:
    cameras = cameras_of(webcam)
    snapping = next((name for name, each in cameras.items() if client_snapshot(name, each)), None)
    first = public_camera(FIRST, webcam)
    return {
        "webcamEnabled": bool(cameras),
        "timelapseEnabled": timelapse,
        **first,
        "snapshotSslValidation": True,
        "snapshotTimeout": 5,
        **_streaming(),
        "defaultWebcam": next(iter(cameras), None),
        "snapshotWebcam": snapping,
        "webcams": [_camera(name, each) for name, each in cameras.items()],
        "cameras": [public_camera(name, each) for name, each in cameras.items() if name != FIRST],
        **_movies(timelapse=timelapse),
    }


def public_camera(name: str, camera: CameraConfig | WebcamConfig) -> dict[str, Any]:
    """Return a camera as any client may see it: without passwords, and without addresses that only we can open."""
    shown = {ours: getattr(camera, key) for ours, key in CAMERA_KEYS.items()}
    only = cameras_of(camera).get(FIRST, CameraConfig()) if isinstance(camera, WebcamConfig) else camera
    return shown | {
        "streamUrl": client_stream(name, only),
        "snapshotUrl": client_snapshot(name, only) if camera.snapshot_url else "",
        "webrtcUrl": mask_secrets(camera.webrtc_url),
        "hlsUrl": mask_secrets(camera.hls_url),
    }


def _movies(*, timelapse: bool) -> dict[str, Any]:
    """Return the settings of timelapse films."""
    return {
        "bitrate": "10000k",
        "ffmpegPath": "ffmpeg" if timelapse else None,
        "ffmpegCommandline": "",
        "ffmpegThreads": 1,
        "ffmpegVideoCodec": "libx264",
        "renderAfterPrintDelay": 0,
        "watermark": False,
    }


def _camera(name: str, camera: CameraConfig) -> dict[str, Any]:
    shown = public_camera(name, camera)
    snapshot = client_snapshot(name, camera)
    stream = {"stream": shown["streamUrl"], **_streaming()}
    still = {"snapshot": snapshot, "snapshotSslValidation": True, "snapshotTimeout": 5}
    return {
        "name": name,
        "displayName": camera.name,
        "provider": "classicwebcam",
        "canSnapshot": bool(snapshot),
        "snapshotDisplay": snapshot,
        "flipH": camera.flip_horizontally,
        "flipV": camera.flip_vertically,
        "rotate90": camera.rotate_90,
        "extras": {
            **stream,
            "webrtc": shown["webrtcUrl"],
            "hls": shown["hlsUrl"],
            "proxied": {
                "stream": own_address(name, "stream") if stream_of(camera) else "",
                "snapshot": own_address(name, "snapshot") if snapshot_of(camera) else "",
            },
        },
        "compat": {**stream, **still},
    }
