"""Mistakes in configuration files are named: file, place, what is wrong, the nearest right key, all at once."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from harness.documents import Document, read_document
from harness.errors import UsageError


class Engine(Document):
    kind: str
    power: Annotated[int, Field(ge=1)] = 1


class Car(Document):
    name: str
    engine: Engine
    wheels: tuple[Engine, ...] = ()
    spare: dict[str, Engine] = Field(default_factory=dict)
    towed: Engine | None = None


def told(tmp_path: Path, text: str, name: str = "car.toml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_document(path, Car)
    return str(caught.value).replace(str(path), name)


def test_a_right_file_is_a_frozen_record(tmp_path: Path) -> None:
    path = tmp_path / "car.toml"
    path.write_text('name = "one"\nwheels = [{ kind = "w" }]\n[engine]\nkind = "e"\npower = 3\n')
    car = read_document(path, Car)
    assert car == Car(name="one", engine=Engine(kind="e", power=3), wheels=(Engine(kind="w"),))
    with pytest.raises(ValueError, match="frozen"):
        car.name = "two"  # type: ignore[misc]


def test_a_wrong_key_is_told_with_its_place_and_the_nearest_right_key(tmp_path: Path) -> None:
    text = 'name = "one"\n[engine]\nkind = "e"\npwoer = 3\n'
    assert told(tmp_path, text) == ("car.toml: 1 mistake\n  - engine.pwoer: unknown key (did you mean 'power'?)")


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ('wheels = [{ kind = "w", knid = 1 }]', "wheels.0.knid"),
        ('spare = { left = { kind = "w", knid = 1 } }', "spare.left.knid"),
        ('towed = { kind = "w", knid = 1 }', "towed.knid"),
    ],
)
def test_the_nearest_right_key_is_found_in_arrays_mappings_and_unions(tmp_path: Path, rows: str, place: str) -> None:
    text = f'name = "one"\n{rows}\n[engine]\nkind = "e"\n'
    assert told(tmp_path, text) == f"car.toml: 1 mistake\n  - {place}: unknown key (did you mean 'kind'?)"


def test_a_key_like_no_other_gets_no_suggestion(tmp_path: Path) -> None:
    text = 'name = "one"\nzzz = 1\n[engine]\nkind = "e"\n'
    assert told(tmp_path, text) == "car.toml: 1 mistake\n  - zzz: unknown key"


def test_a_number_in_quotes_is_no_number(tmp_path: Path) -> None:
    text = 'name = "one"\n[engine]\nkind = "e"\npower = "8"\n'
    assert told(tmp_path, text) == ("car.toml: 1 mistake\n  - engine.power: Input should be a valid integer, not '8'")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = 'nmae = "one"\nwheels = 4\n[engine]\npower = 0\n'
    assert told(tmp_path, text) == (
        "car.toml: 5 mistakes\n"
        "  - name: required, and not there\n"
        "  - engine.kind: required, and not there\n"
        "  - engine.power: Input should be greater than or equal to 1, not 0\n"
        "  - wheels: Input should be a valid array, not 4\n"
        "  - nmae: unknown key (did you mean 'name'?)"
    )


def test_a_long_value_is_shortened(tmp_path: Path) -> None:
    message = told(tmp_path, f'name = ["{"x" * 5000}"]\n[engine]\nkind = "e"\n')
    assert len(message) < 200
    assert message.endswith("xxx...")


def test_broken_toml_is_told_with_its_line(tmp_path: Path) -> None:
    message = told(tmp_path, 'name = "one\n')
    assert message.startswith("car.toml: not valid TOML: ")
    assert "line 1" in message


def test_a_key_that_stands_twice_is_a_mistake(tmp_path: Path) -> None:
    assert told(tmp_path, 'name = "one"\nname = "two"\n').startswith("car.toml: not valid TOML: ")


def test_broken_json_is_told_as_json(tmp_path: Path) -> None:
    assert told(tmp_path, "{", name="car.json").startswith("car.json: not valid JSON: ")


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "car.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        read_document(path, Car)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_document(tmp_path / "car.toml", Car)
    assert str(caught.value) == f"{tmp_path / 'car.toml'}: no such file"


def test_wrong_configuration_exits_with_2(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_document(tmp_path / "car.toml", Car)
    assert caught.value.exit_code == 2
