"""A compiled model in the place of a module's forward pass, so that ``generate`` and pipelines run on it unawares.

The forward pass converts itself for what it is asked with: once, where the converted model takes other shapes too;
else once for each. Nothing falls back to PyTorch: what cannot be converted or run raises.
"""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from harness.cell.openvino.traced import Traced

Runner = Callable[[tuple[torch.Tensor, ...]], list[torch.Tensor]]
Convert = Callable[[Traced], Runner]
Shapes = tuple[tuple[int, ...], ...]


@dataclasses.dataclass
class Graph:
    """One converted form of a forward pass."""

    traced: Traced
    run: Runner
    template: Any
    """An output of the eager model, whose structure the results are put into."""
    shapes: Shapes
    """What it was converted with."""

    def __call__(self, values: Mapping[str, Any]) -> Any:
        found = self.run(self.traced.tensors_of(values))
        # Converters widen and narrow integers as they like; that is no difference.
        typed = [one.to(dtype) for one, dtype in zip(found, self.traced.dtypes, strict=True)]
        return _refilled(self.template, iter(typed))


class Forward:
    """What stands in the place of ``forward`` (or of another method) of a module."""

    def __init__(self, module: Any, swap: "Swap", method: str) -> None:
        self.module, self.swap, self.method = module, swap, method
        self.__signature__ = inspect.signature(getattr(module, method))
        self.graphs: dict[Any, list[Graph]] = {}

    def __call__(self, *positional: Any, **named: Any) -> Any:
        generator = torch.get_rng_state()
        try:
            with self.swap.lifted(), torch.no_grad():
                return self._answered(self._values(positional, named))
        except Exception:
            if not self.swap.in_parts:
                raise
        # What does not convert as a whole runs as PyTorch does, and what it is made of takes its place.
        torch.set_rng_state(generator)
        self.swap.give_up(self)
        return getattr(self.module, self.method)(*positional, **named)

    def _answered(self, values: dict[str, Any]) -> Any:
        shapes = _shapes(values)
        graphs = self.graphs.setdefault(_layout(values), [])
        for graph in graphs:
            if graph.shapes == shapes:
                return graph(values)
        if graphs and graphs[0].traced.draws:
            self.swap.fixed = "random numbers are drawn in one shape"
        elif self.swap.fixed is None or self.swap.in_parts:
            like = next((graph for graph in graphs if _ones(graph.shapes) == _ones(shapes)), None)
            try:
                if like is not None:
                    return like(values)
            except RuntimeError as error:
                self.swap.fixed = _last_line(error)
        self.swap.count()
        traced = Traced(self.module, values, self.method, draws_are_inputs=self.swap.draws_are_inputs).eval()
        template = traced.called(values)
        with torch.random.fork_rng(devices=[]):  # a tracer runs the model; the numbers that it draws are not counted
            run = self.swap.convert(traced)
        graphs.append(Graph(traced, run, template, shapes))
        return graphs[-1](values)

    def _values(self, positional: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        """All arguments by name, without those that say nothing: None, and caches with nothing in them."""
        bound = dict(self.__signature__.bind(*positional, **named).arguments)
        for parameter in self.__signature__.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL and bound.get(parameter.name):
                msg = f"arguments without a name ({parameter.name})"
                raise TypeError(msg)
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                bound |= bound.pop(parameter.name, {})
        given = {name: value for name, value in bound.items() if value is not None}
        for name, value in list(given.items()):
            if hasattr(value, "get_seq_length"):
                # An empty one is left out where the whole may do without; a part's is read by others in the model.
                if self.swap.in_parts or value.get_seq_length():
                    msg = f"asked to go on from a cache ({name}), which a converted forward pass does not take"
                    raise RuntimeError(msg)
                del given[name]
        return given


_MOST_PARTS = 200
"""Conversions of a model in parts: beyond that it is not OpenVINO that runs a model, but PyTorch that calls it."""


class Swap:
    """A model whose forward pass, and whose encoder's, which ``generate`` calls by itself, are converted ones.

    ``in_parts``: in its place those of the largest modules in it that convert; the model itself only calls them.
    """

    def __init__(
        self,
        model: Any,
        convert: Convert,
        method: str | None,
        *,
        in_parts: bool = False,
        draws_are_inputs: bool = False,
    ) -> None:
        self.convert, self.in_parts, self.draws_are_inputs = convert, in_parts, draws_are_inputs
        self.conversions = 0
        self.fixed: str | None = None
        """Why other shapes than the converted ones need a conversion of their own."""
        places = _parts_of(model) if in_parts else _whole(model, method)
        self._swapped = [(module, name, Forward(module, self, name)) for module, name in places]
        self.put()

    def put(self) -> None:
        for module, name, forward in self._swapped:
            setattr(module, name, forward)

    def lift(self) -> None:
        """The model is its own again."""
        for module, name, _ in self._swapped:
            module.__dict__.pop(name, None)

    def give_up(self, forward: Forward) -> None:
        """The module runs as PyTorch does from now on; those in it are converted instead."""
        forward.module.__dict__.pop(forward.method, None)
        self._swapped = [one for one in self._swapped if one[2] is not forward]

    def count(self) -> None:
        """One conversion more; ``RuntimeError`` where a model is in too many pieces."""
        self.conversions += 1
        if self.in_parts and self.conversions > _MOST_PARTS:
            msg = f"more than {_MOST_PARTS} conversions of parts"
            raise RuntimeError(msg)

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """While a converter runs the model, and while a conversion runs, all that they call is the original."""
        self.lift()
        try:
            yield
        finally:
            self.put()


def _whole(model: Any, method: str | None) -> list[tuple[Any, str]]:
    encoder = _encoder_of(model)
    return [(model, method or "forward"), *([(encoder, "forward")] if encoder is not None else [])]


def _parts_of(model: Any) -> list[tuple[Any, str]]:
    """All modules in it that compute; whichever is called first converts, with all that it calls.

    The model without its head is as much of a whole as the model with it.
    """
    whole = (model, getattr(model, "base_model", model))
    modules = [module for module in model.modules() if not any(module is one for one in whole)]
    return [
        (module, name)
        for module in modules
        for name in ("forward", "encode", "decode")
        if callable(found := getattr(type(module), name, None)) and found is not torch.nn.Module.forward
    ]


def _encoder_of(model: Any) -> Any:
    if not getattr(model.config, "is_encoder_decoder", False) or not hasattr(model, "get_encoder"):
        return None
    encoder = model.get_encoder()
    return encoder if isinstance(encoder, torch.nn.Module) and encoder is not model else None


def _layout(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Which arguments are tensors, and the others' values: what a conversion is bound to."""
    return tuple(
        (name, f"{one.dtype} {one.dim()}" if isinstance(one, torch.Tensor) else repr(_without_tensors(one)))
        for name, one in sorted(values.items())
    )


def _without_tensors(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} {value.dim()}"
    if isinstance(value, Mapping):
        return {key: _without_tensors(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(one) for one in value]
    return value


def _shapes(values: Mapping[str, Any]) -> Shapes:
    leaves = torch.utils._pytree.tree_leaves(dict(values))  # noqa: SLF001 -- torch's only one
    return tuple(tuple(one.shape) for one in leaves if isinstance(one, torch.Tensor))


def _ones(shapes: Shapes) -> list[list[bool]]:
    """Which dimensions are one: what a model makes of a single token is not what it makes of several."""
    return [[size == 1 for size in shape] for shape in shapes]


def _refilled(template: Any, tensors: Iterator[torch.Tensor]) -> Any:
    """The template with these tensors in the places of its own, in the order of ``outputs.flatten``."""
    if isinstance(template, torch.Tensor):
        return next(tensors)
    if isinstance(template, Mapping):
        made: Any = type(template)
        of_fields = dataclasses.is_dataclass(template)
        filled = {
            key: None if "past_key_values" in str(key) else _refilled(one, tensors) for key, one in template.items()
        }
        return made(**filled) if of_fields else made(filled)
    if dataclasses.is_dataclass(template) and not isinstance(template, type):
        return dataclasses.replace(template, **{k: _refilled(one, tensors) for k, one in vars(template).items()})
    if isinstance(template, list | tuple):
        refilled = [_refilled(one, tensors) for one in template]
        return type(template)(*refilled) if hasattr(template, "_fields") else type(template)(refilled)
    return template


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:200]
