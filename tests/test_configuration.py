"""Settings: file < environment < options, and what is said of each mistake."""

from pathlib import Path

import msgspec
import pytest

from gateway.commands.settings import _AT_LEAST, Settings, environment_with, settings_from
from gateway.configuration import SettingsError, load
from gateway.setting import settings_of

NO_FILE = "/dev/null"
"""A file without settings: whatever lies in the present directory is nothing to these tests."""


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something nested."""

    power: int = 5
    """How strong
    it is."""
    ratio: float = 0.5


class Wheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something of which there are several, by name."""

    size: int | None = None
    tags: tuple[str, ...] | None = None


class Car(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All kinds of settings."""

    names: tuple[str, ...] = ("one", "two")
    """What it is called."""
    quiet: bool = False
    engine: Engine = Engine()
    wheel: dict[str, Wheel] = {}


def _file(directory: Path, text: str) -> Path:
    path = directory / "car.toml"
    path.write_text(text)
    return path


def test_defaults_hold_where_nothing_is_set() -> None:
    assert load(Car, None, {}, {}) == Car()


def test_options_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = _file(tmp_path, 'names = ["file"]\nquiet = true\n[engine]\npower = 1\nratio = 0.1\n')
    environ = {"TICKGATE_NAMES": "a, b,", "TICKGATE_ENGINE_POWER": "2"}
    car = load(Car, file, environ, {"engine.power": "3", "engine.ratio": None})
    assert car == Car(names=("a", "b"), quiet=True, engine=Engine(power=3, ratio=0.1))


def test_named_tables_come_from_file_and_environment_together(tmp_path: Path) -> None:
    file = _file(tmp_path, "[wheel.front_left]\nsize = 3\n[wheel.spare]\n")
    environ = {"TICKGATE_WHEEL_FRONT_LEFT_TAGS": "x,y", "TICKGATE_WHEEL_REAR_SIZE": "4"}
    car = load(Car, file, environ, {})
    assert car.wheel == {"front_left": Wheel(3, ("x", "y")), "rear": Wheel(4)}


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(Car, None, {"TICKGATE_ENGINE_POWER": "", "TICKGATE_NAMES": ""}, {}) == Car()


def test_other_peoples_variables_and_our_own_that_are_no_settings_are_left_alone() -> None:
    assert (
        load(Car, None, {"PATH": "/bin", "TICKGATE_KEY": "tg_x", "XTICKGATE_Y": "1"}, {}) == Car()
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names = [", "car.toml is not valid TOML: "),
        ("a = 1\nb = = 2", "(at line 2, column 5)"),
        ("engin.power = 1", "engin.power is no setting (in "),
        ("engine.pwer = 1", "; did you mean engine.power?"),
        ("wheel.spare.sice = 1", "; did you mean wheel.spare.size?"),
        ("[engines]", "engines is no setting (in "),
        ("names = 'one'", "names: expected a list, got a text (from "),
        ("names = ['one', 2]", "names: expected a text, got a whole number as number 2 (from "),
        ("engine.power = '1'", "engine.power: expected a whole number, got a text (from "),
        ("engine.power = 1.5", "engine.power: expected a whole number, got a number (from "),
        ("engine.power.x = 1", "engine.power: expected a whole number, got a table (from "),
        ("engine.power = {}", "engine.power: expected a whole number, got a table (from "),
        ("engine = 5", "engine: expected a table (from "),
        ("quiet = 1", "quiet: expected true or false, got a whole number (from "),
    ],
)
def test_a_mistake_in_the_file_is_named_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Car, _file(tmp_path, text), {}, {})
    assert said in str(caught.value)
    assert "car.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "TICKGATE_ENGINE_POWER",
            "much",
            "engine.power: expected a whole number, got 'much' (from TICKGATE_ENGINE_POWER)",
        ),
        (
            "TICKGATE_WHEEL_REAR_SIZE",
            "x",
            "wheel.rear.size: expected a whole number, got 'x' (from TICKGATE_WHEEL_REAR_SIZE)",
        ),
        (
            "TICKGATE_QUIET",
            "maybe",
            "quiet: expected true or false, got 'maybe' (from TICKGATE_QUIET)",
        ),
        (
            "TICKGATE_ENGIN_POWER",
            "1",
            "TICKGATE_ENGIN_POWER (in the environment) is no setting;"
            " did you mean TICKGATE_ENGINE_POWER?",
        ),
        (
            "TICKGATE_POWER",
            "1",
            "TICKGATE_POWER (in the environment) is no setting;"
            " did you mean TICKGATE_ENGINE_POWER?",
        ),
        ("TICKGATE_XYZZY", "1", "TICKGATE_XYZZY (in the environment) is no setting"),
    ],
)
def test_a_mistake_in_the_environment_is_named(variable: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Car, None, {variable: value}, {})
    assert str(caught.value) == said


def test_a_mistake_in_an_option_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Car, None, {}, {"engine.power": "x"})
    assert str(caught.value) == "engine.power: expected a whole number, got 'x' (from --power)"


@pytest.mark.parametrize(
    ("make", "said"),
    [(lambda path: path.mkdir(), "Is a directory"), (lambda path: None, "No such file")],
)
def test_a_file_that_cant_be_read_is_named(tmp_path: Path, make: object, said: str) -> None:
    assert callable(make)
    make(tmp_path / "car.toml")
    with pytest.raises(SettingsError, match=f"car.toml can't be read: {said}"):
        load(Car, tmp_path / "car.toml", {}, {})


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "car.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not valid TOML: it is not UTF-8"):
        load(Car, tmp_path / "car.toml", {}, {})


def test_a_check_names_the_key_and_the_source_of_the_value_that_counts(tmp_path: Path) -> None:
    def refuse(value: object) -> None:
        raise ValueError(f"{value} is too much")

    file = _file(tmp_path, "[engine]\npower = 9")
    with pytest.raises(SettingsError, match=r"^engine.power: 7 is too much \(from --power\)$"):
        load(Car, file, {}, {"engine.power": "7"}, {"engine.power": refuse})
    environ = {"TICKGATE_WHEEL_REAR_SIZE": "1"}
    with pytest.raises(SettingsError, match=r"^wheel.rear.size: rear is too much \(from TICKGATE_"):
        load(Car, None, environ, {}, {"wheel": refuse})


def test_settings_are_described_by_the_docstrings_under_their_fields() -> None:
    told = {setting.key: setting for setting in settings_of(Car)}
    assert list(told) == [
        "names",
        "quiet",
        "engine.power",
        "engine.ratio",
        "wheel.<name>.size",
        "wheel.<name>.tags",
    ]
    assert told["engine.power"].description == "How strong it is."
    assert told["engine.power"].default == 5
    assert told["wheel.<name>.size"].variable == "TICKGATE_WHEEL_<NAME>_SIZE"


# The product's own settings -------------------------------------------------------------------


def test_every_setting_has_a_variable_of_its_own() -> None:
    variables = [setting.variable for setting in settings_of(Settings)]
    assert len(set(variables)) == len(variables)


def test_redis_url_is_an_alias_and_ours_wins() -> None:
    assert settings_from({"REDIS_URL": "redis://a"}, NO_FILE, {}).redis_url == "redis://a"
    environ = {"REDIS_URL": "redis://a", "TICKGATE_REDIS_URL": "redis://b"}
    assert settings_from(environ, NO_FILE, {}).redis_url == "redis://b"


def test_what_kubernetes_tells_of_a_service_named_tickgate_is_no_setting() -> None:
    environ = {
        "TICKGATE_SERVICE_HOST": "10.0.0.1",
        "TICKGATE_SERVICE_PORT": "8787",
        "TICKGATE_SERVICE_PORT_HTTP": "8787",
        "TICKGATE_PORT": "tcp://10.0.0.1:8787",
        "TICKGATE_PORT_8787_TCP": "tcp://10.0.0.1:8787",
        "TICKGATE_PORT_8787_TCP_ADDR": "10.0.0.1",
        "TICKGATE_GATEWAY_PORT": "tcp://10.0.0.2:8787",
        "TICKGATE_GATEWAY_HOST": "0.0.0.0",
    }
    settings = settings_from(environ, NO_FILE, {})
    assert (settings.gateway.host, settings.gateway.port) == ("0.0.0.0", 8787)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"TICKGATE_LOGS_LEVEL": "warn"}, "expected debug, error, info or warning, got 'warn'"),
        ({"TICKGATE_GATEWAY_PORT": "65536"}, "gateway.port: must be from 0 to 65535, is 65536"),
        ({"TICKGATE_GATEWAY_WORKERS": "0"}, "gateway.workers: must be from 1 to 64, is 0"),
        ({"TICKGATE_SIM_TICKS_PER_S": "nan"}, "sim.ticks_per_s: must be more than 0, is nan"),
        (
            {"TICKGATE_PUBLISHER_LEASE_S": "0.0001"},
            "publisher.lease_s: must be at least 0.5, is 0.0001",
        ),
        ({"TICKGATE_CONNECTION_KEEPALIVE_S": "inf"}, "connection.keepalive_s: must be at least 1"),
        ({"TICKGATE_GATEWAY_HEARTBEAT_MS": "1"}, "gateway.heartbeat_ms: must be at least 100"),
        ({"TICKGATE_VENUES": "sim,krakn"}, "there is no venue krakn; did you mean kraken?"),
        ({"TICKGATE_VENUE_KRAKN_URL": "ws://x"}, "venue.krakn.url: there is no venue krakn"),
        ({"REDIS_URL": "http://x"}, "redis_url: is not the URL of a Redis"),
        ({"REDIS_URL": "redis://:secret@h:port"}, "redis_url: is not the URL of a Redis"),
    ],
)
def test_values_out_of_range_are_refused_at_the_start(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from(environ, NO_FILE, {})
    assert said in str(caught.value)
    assert next(iter(environ)) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_is_asked_of_durations_is_asked_of_settings_that_there_are() -> None:
    defaults = {setting.key: setting.default for setting in settings_of(Settings)}
    assert all(defaults[key] >= least for key, least in _AT_LEAST.items())


def test_a_child_process_has_the_same_settings_whatever_else_is_set() -> None:
    settings = settings_from({"TICKGATE_VENUES": "sim", "REDIS_URL": "redis://a"}, NO_FILE, {})
    environ = environment_with(settings, {"TICKGATE_VENUES": "kraken", "HOME": "/root"})
    assert settings_from(environ, NO_FILE, {}) == settings
    assert environ["HOME"] == "/root"
