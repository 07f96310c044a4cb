"""Eeprom: settings that outlive a reset. M500 stores them, M501 and a boot load them, M502 loads the defaults."""

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gcode.planner import MotionLimits
    from hal.simulated.board import Board

DEFAULT_STEPS = (80.0, 80.0, 400.0, 93.0)
"""Steps per mm of X, Y, Z and E, as recorded from Marlin 2.0.x (marlin-plain-basic.txt)."""


class Eeprom:
    """The settings stored by M500: limits and steps."""

    def __init__(self) -> None:
        self._stored: tuple[MotionLimits, list[float]] | None = None

    def store(self, board: "Board") -> None:
        """Store the board's present settings."""
        self._stored = copy.deepcopy((board.limits, board.modal.steps))

    def load(self, board: "Board") -> None:
        """Load the stored settings into the board, if there are any."""
        if self._stored is not None:
            self._apply(board, *copy.deepcopy(self._stored))

    def load_defaults(self, board: "Board") -> None:
        """Load the default settings into the board; the stored ones stay."""
        self._apply(board, copy.deepcopy(board.config.limits), list(DEFAULT_STEPS))

    def _apply(self, board: "Board", limits: "MotionLimits", steps: list[float]) -> None:
        board.limits = board.planner.limits = limits
        board.modal.steps = steps
