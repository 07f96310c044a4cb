import pytest

from gcode.halt_kind import halt_kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("the firmware has halted: Heating failed, system stopped! Heater_ID: 0", "not_heating"),
        ("the firmware has halted: Thermal Runaway, system stopped! Heater_ID: bed", "runaway"),
        ("the firmware has halted:  HEATBED THERMAL RUNAWAY", "runaway"),
        ("the firmware has halted: MINTEMP triggered, system stopped! Heater_ID: bed", "too_cold"),
        ("0: Extruder switched off. MAXTEMP triggered !", "too_hot"),
        ("[Heater0] PREHEAT ERROR", "not_heating"),
        ("Heater extruder not heating at expected rate", "not_heating"),
        ("MCU 'mcu' shutdown: ADC out of range", "sensor"),
        ("the firmware has halted: Homing Failed", "homing"),
        ("No trigger on stepper_x after full movement", "homing"),
        ("Endstop x still triggered after retract", "homing"),
        ("the firmware has halted: Printer halted. kill() called! (before that: Error:Homing Failed)", "homing"),
        ("the firmware has halted: Timer too close", None),
        ("emergency stop", None),
    ],
)
def test_the_kind_of_a_halt_is_read_from_the_firmwares_text(text, kind):
    assert halt_kind(text) == kind
