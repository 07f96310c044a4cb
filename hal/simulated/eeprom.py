"""Settings that outlive a reset: M500 stores them, M501 and a boot bring them back, M502 forgets changes."""

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gcode.planner import MotionLimits
    from hal.simulated.board import Board


class Eeprom:
    """What M500 has stored: limits and steps."""

    def __init__(self) -> None:
        self._stored: tuple[MotionLimits, list[float]] | None = None

    def store(self, board: "Board") -> None:
        """Keep the board's settings as they are now."""
        self._stored = copy.deepcopy((board.limits, board.modal.steps))

    def load(self, board: "Board") -> None:
        """Give the board the stored settings; none are stored: its own."""
        if self._stored is not None:
            self._give(board, *copy.deepcopy(self._stored))

    def load_defaults(self, board: "Board") -> None:
        """Give the board the settings that it was made with; what is stored stays."""
        self._give(board, copy.deepcopy(board.config.limits), list(DEFAULT_STEPS))

    def _give(self, board: "Board", limits: "MotionLimits", steps: list[float]) -> None:
        board.limits = board.planner.limits = limits
        board.modal.steps = steps


DEFAULT_STEPS = (80.0, 80.0, 400.0, 93.0)
"""Steps per mm of X, Y, Z and E."""
