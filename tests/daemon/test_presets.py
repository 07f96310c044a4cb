import tomllib
from dataclasses import replace

import pytest

from daemon.config import Config, ProfileConfig, load, merge
from daemon.config.presets import find, presets, suggest
from daemon.config.writing import render
from daemon.errors import ConfigError
from daemon.front.analysis.file_analysis import machine
from gcode.outgoing import check_command


def test_every_preset_is_a_valid_profile():
    for name, preset in presets().items():
        config = merge(Config(), {"profile": {"preset": name}}, "test")
        assert config.profile == preset.profile
        assert config.profile.has_size
        assert all(check_command(each) for each in preset.profile.motion)
        values = {key: value for key, value in vars_of(preset.profile).items() if key != "preset"}
        assert merge(Config(), {"profile": values}, "test").profile.width_mm == preset.profile.width_mm


def vars_of(profile: ProfileConfig) -> dict[str, object]:
    return {name: getattr(profile, name) for name in profile.__slots__}


@pytest.mark.parametrize(
    ("preset", "reach"),
    [
        # Prusa-Firmware: Firmware/variants
        ("mk3s", (0, 255, -4, 212.5)),
        ("mk2-5s", (0, 250, -4, 210)),
        # Prusa-Firmware-Buddy: include/marlin/Configuration_*.h
        ("mk3-5", (-1, 251, -4, 211)),
        ("mk4", (-1, 251, -4, 211)),
        ("core-one", (-2, 252, -19, 221)),
        # Creality's and Sovol's firmwares: Marlin/Configuration.h, printer.cfg
        ("ender-2-pro", (-18, 165, -2, 165)),
        ("ender-3-v2", (0, 220, 0, 220)),
        ("ender-3-s1", (-10, 230, -8, 220)),
        ("creality-k1", (-5, 229, -0.5, 227)),
        ("creality-k1-max", (-2, 306.5, -2, 306)),
        ("sovol-sv08", (0, 355, 0, 364)),
    ],
)
def test_the_nozzle_reaches_as_far_as_the_firmware_lets_it(preset, reach):
    x, y, _z = machine(find(preset).profile).volume
    assert (*x, *y) == reach


@pytest.mark.parametrize(
    ("preset", "height"),
    [
        # printer.cfg of Voron-2 and Voron-1, Configuration_MINI.h of Prusa-Firmware-Buddy, Snapmaker's own slicer
        ("voron-2-250", 230),
        ("voron-2-300", 280),
        ("voron-2-350", 330),
        ("voron-1-300", 230),
        ("prusa-mini", 185),
        ("snapmaker-u1", 272),
    ],
)
def test_the_nozzle_rises_as_high_as_the_firmware_lets_it(preset, height):
    assert machine(find(preset).profile).volume[2] == (0, height)


@pytest.mark.parametrize(
    ("preset", "hotend", "bed"),
    # HEATER_0_MAXTEMP and BED_MAXTEMP of the firmware, less its margin; max_temp of a printer.cfg
    [
        ("prusa-mini", 280, 100),
        ("mk3-5", 290, 120),
        ("mk4", 290, 120),
        ("ender-2-pro", 275, 80),
        ("cr-10-smart-pro", 300, 110),
        ("creality-k1", 300, 115),
        ("sovol-sv08", 300, 105),
    ],
)
def test_a_preset_is_as_hot_as_the_firmware_lets_it(preset, hotend, bed):
    profile = find(preset).profile
    assert (profile.max_hotend_c, profile.max_bed_c) == (hotend, bed)


def test_the_nozzle_of_every_preset_reaches_all_of_its_bed():
    for name, preset in presets().items():
        profile = preset.profile
        beds = replace(profile, x_min_mm=0, x_max_mm=0, y_min_mm=0, y_max_mm=0, z_min_mm=0, z_max_mm=0)
        for (low, high), (edge, far_edge) in zip(machine(profile).volume, machine(beds).volume, strict=True):
            assert low <= edge, name
            assert high >= far_edge, name


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("mk3s", "mk3s"),
        ("Prusa MK3S", "mk3s"),
        ("Original Prusa i3 MK3S", "mk3s"),
        ("ENDER3V2", "ender-3-v2"),
        ("Creality Ender-3 V2", "ender-3-v2"),
        ("ender 3", "ender-3"),
        ("MK3SMMU2S", "mk3s-mmu2s"),
        ("Bambu Lab X1 Carbon", "bambu-x1c"),
    ],
)
def test_a_preset_is_found_however_its_name_is_written(name, preset):
    assert find(name).id == preset


def test_an_unknown_name_lists_similar_ones():
    with pytest.raises(ConfigError, match=r"no preset 'ender-33'; did you mean ender-3"):
        find("ender-33")


@pytest.mark.parametrize(
    ("called", "preset"),
    [
        ("Ender-3 V2", "ender-3-v2"),
        ("Ender-3", "ender-3"),
        ("Prusa i3 MK3S", "mk3s"),
        ("Prusa-MK4", "mk4"),
        ("FLSUN QQS-Pro", "flsun-qqs-pro"),
        ("Ender-3 V3 Plus", "ender-3-v3-plus"),  # not the smaller Ender-3 V3
        ("Neptune 3 Max", "elegoo-neptune-3-max"),
        ("Original Prusa MK3.5 MMU3", "mk3-5-mmu3"),
        ("Ender-3 V2 4.2.2", "ender-3-v2"),  # the version of the board
        ("Prusa i3 MK3S+", "mk3s"),
        ("Original Prusa MINI+", "prusa-mini"),
        ("Ender-5 Max", None),  # larger than an Ender-5
        ("Kobra Max", None),
        ("Kobra 3", None),
        ("Mini Kossel", None),
        ("3D Printer", None),
        ("Marlin", None),
        ("", None),
    ],
)
def test_a_printer_is_recognised_by_its_reported_name(called, preset):
    suggestion = suggest(called)
    assert (suggestion.id if suggestion else None) == preset


def test_the_configuration_overrides_the_preset(tmp_path):
    config = merge(Config(), {"profile": {"preset": "MK3S", "height_mm": 400}}, "test")
    assert (config.profile.height_mm, config.profile.y_min_mm, config.profile.preset) == (400, -4, "mk3s")
    text = render(config)
    assert 'preset = "mk3s"' in text
    assert "\nheight_mm = 400" in text
    assert "\n# width_mm = 250" in text
    assert merge(Config(), tomllib.loads(text), "test") == config
    path = tmp_path / "nozzled.toml"
    path.write_text('[profile]\npreset = "nothing like it"\n')
    with pytest.raises(ConfigError, match=r"nozzled\.toml: profile\.preset: there is no preset"):
        load(path, {})
