import tomllib

import pytest

from daemon.config import Config, ProfileConfig, load, merge
from daemon.config.presets import find, presets, suggest
from daemon.config.writing import render
from daemon.errors import ConfigError
from gcode.outgoing import check_command


def test_every_preset_is_a_valid_profile():
    for name, preset in presets().items():
        config = merge(Config(), {"profile": {"preset": name}}, "test")
        assert config.profile == preset.profile
        assert config.profile.sized
        assert all(check_command(each) for each in preset.profile.motion)
        values = {key: value for key, value in vars_of(preset.profile).items() if key != "preset"}
        assert merge(Config(), {"profile": values}, "test").profile.width_mm == preset.profile.width_mm


def vars_of(profile: ProfileConfig) -> dict[str, object]:
    return {name: getattr(profile, name) for name in profile.__slots__}


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
