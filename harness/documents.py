"""Reading the TOML and JSON files that people write, and naming every mistake at its place."""

import json
import tomllib
import types
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict

from harness.errors import UsageError, suggest

Model = TypeVar("Model", bound=BaseModel)


class Document(BaseModel):
    """A frozen table of a configuration file; a key that nobody reads is a mistake, not a comment."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def read_document(path: Path, model: type[Model]) -> Model:
    """The file as a ``model``; ``UsageError`` with all its mistakes where it is not one."""
    return check_document(read_data(path), model, path)


def read_data(path: Path) -> Any:
    """The parsed content of a .toml or .json file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    try:
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{path}: not valid {path.suffix[1:].upper()}: {error}") from error


def check_document(data: Any, model: type[Model], path: Path, *, also: Iterable[str] = ()) -> Model:
    """``data``, read from ``path``, as a ``model``; ``also`` are mistakes that the caller found in it."""
    mistakes: list[str] = []
    document = None
    try:
        # TOML has arrays where our records have tuples, so the check runs in JSON mode: strict on
        # scalars (no "8" for 8), lenient on the kind of sequence.
        document = model.model_validate_json(json.dumps(data, default=str))
    except pydantic.ValidationError as error:
        mistakes += [_told(mistake, model) for mistake in error.errors(include_url=False)]
    mistakes += also
    if document is None or mistakes:
        raise UsageError(f"{path}: {counted(mistakes)}", mistakes=mistakes)
    return document


def counted(mistakes: Sequence[str]) -> str:
    """'1 mistake', '2 mistakes'."""
    return "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"


def _told(mistake: Any, model: type[BaseModel]) -> str:
    """One line: the place as a dotted path, what is wrong there, and the nearest right key."""
    location: tuple[str | int, ...] = mistake["loc"]
    place = ".".join(str(step) for step in location) or "the whole file"
    match mistake["type"]:
        case "extra_forbidden":
            return f"{place}: unknown key{suggest(str(location[-1]), _keys_at(model, location[:-1]))}"
        case "missing":
            return f"{place}: required, and not there"
        case "too_short":  # pydantic's words for it name Python's types
            return f"{place}: needs at least {mistake['ctx']['min_length']}, and has {len(mistake['input'])}"
        case _:
            message = mistake["msg"].removeprefix("Value error, ")
            return f"{place}: {message}, not {_shortened(mistake['input'])}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_at(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """The keys that the table at this place may have, found by walking the annotations."""
    annotation: Any = model
    for step in location:
        tables = _tables(annotation)
        if tables and step in tables[0].model_fields:
            annotation = tables[0].model_fields[str(step)].annotation
        else:  # a key of a mapping or an index of an array: what it holds stands last in the annotation
            arguments = [one for one in typing.get_args(annotation) if one is not Ellipsis]
            annotation = arguments[-1] if arguments else annotation
    return [field.alias or name for table in _tables(annotation) for name, field in table.model_fields.items()]


def _tables(annotation: Any) -> list[type[BaseModel]]:
    """The tables among the members of a union, or the annotation if it is one."""
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    members = typing.get_args(annotation) if is_union else (annotation,)
    return [one for one in members if isinstance(one, type) and issubclass(one, BaseModel)]
