"""`python -m gcode.recovery_diagram` prints docs/link-states.md, drawn from the table of transitions."""

from gcode.recovery import TRANSITIONS, Phase

HEAD = """# The phases of a conversation

Generated from `gcode/recovery.py` by `make docs`; a test fails when it is stale. [link.md](link.md) describes what the
link does in each phase.

| phase | means |
|---|---|
"""

DIAGRAM = """
```mermaid
stateDiagram-v2
    [*] --> CLEAR
"""

TAIL = """```

| from | what happens | to |
|---|---|---|
"""


def draw() -> str:
    """Return the page: the meaning of the phases, a mermaid diagram, and the transitions as a table."""
    steps = [(source, trigger, target) for trigger, sources, target in TRANSITIONS for source in sources]
    order = {phase: place for place, phase in enumerate(Phase)}
    steps.sort(key=lambda step: order[step[0]])
    meanings = "".join(f"| {phase.name} | {phase.value} |\n" for phase in Phase)
    arrows = "".join(f"    {source.name} --> {target.name} : {trigger}\n" for source, trigger, target in steps)
    rows = "".join(f"| {source.name} | {trigger} | {target.name} |\n" for source, trigger, target in steps)
    return HEAD + meanings + DIAGRAM + arrows + TAIL + rows


if __name__ == "__main__":
    print(draw(), end="")  # noqa: T201 - printing is what the module is run for
