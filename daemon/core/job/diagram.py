"""`python -m daemon.core.job.diagram` prints docs/job-states.md, drawn from the table of transitions."""

from daemon.bridge.words import ENDED, JobState
from daemon.core.job.states import TRANSITIONS

HEAD = """# The states of a job

Generated from `daemon/core/job/states.py` by `make docs`; a test fails when it is stale.

```mermaid
stateDiagram-v2
    [*] --> STARTING
    [*] --> REATTACHING : the previous host left an unfinished job
"""

TAIL = """```

| from | trigger | to |
|---|---|---|
"""


def draw() -> str:
    """Return the page: a mermaid diagram and the same as a table."""
    steps = [(source, trigger, target) for trigger, sources, target in TRANSITIONS for source in sources]
    order = {state: place for place, state in enumerate(JobState)}
    steps.sort(key=lambda step: order[step[0]])
    arrows = "".join(f"    {source.name} --> {target.name} : {trigger}\n" for source, trigger, target in steps)
    ends = "".join(f"    {state.name} --> [*]\n" for state in JobState if state in ENDED)
    rows = "".join(f"| {source.name} | {trigger} | {target.name} |\n" for source, trigger, target in steps)
    return HEAD + arrows + ends + TAIL + rows


if __name__ == "__main__":
    print(draw(), end="")  # noqa: T201 - printing is what the module is run for
