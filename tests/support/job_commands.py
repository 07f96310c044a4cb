"""The bodies of POST /api/job."""

COMMANDS = {
    "start": {"command": "start"},
    "restart": {"command": "restart"},
    "pause": {"command": "pause"},
    "toggle": {"command": "pause", "action": "toggle"},
    "pause:pause": {"command": "pause", "action": "pause"},
    "pause:resume": {"command": "pause", "action": "resume"},
    "pause:bogus": {"command": "pause", "action": "bogus"},
    "cancel": {"command": "cancel"},
    "bad": {"command": "explode"},
    "none": {},
}
