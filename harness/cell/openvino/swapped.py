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
        with self.swap.lifted(), torch.no_grad():
            return self._answered(self._values(positional, named))

    def _answered(self, values: dict[str, Any]) -> Any:
        shapes = _shapes(values)
        graphs = self.graphs.setdefault(_layout(values), [])
        for graph in graphs:
            if graph.shapes == shapes:
                return graph(values)
        if graphs and self.swap.fixed is None:
            try:
                return graphs[0](values)
            except RuntimeError as error:
                self.swap.fixed = _last_line(error)
        traced = Traced(self.module, values, self.method).eval()
        template = traced.called(values)
        graphs.append(Graph(traced, self.swap.convert(traced), template, shapes))
        self.swap.conversions += 1
        return graphs[-1](values)

    def _values(self, positional: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        """All arguments by name, without those that say nothing: None, and caches with nothing in them."""
        bound = dict(self.__signature__.bind(*positional, **named).arguments)
        for parameter in self.__signature__.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                bound |= bound.pop(parameter.name, {})
        given = {name: value for name, value in bound.items() if value is not None}
        for name, value in list(given.items()):
            if hasattr(value, "get_seq_length"):
                if value.get_seq_length():
                    msg = f"asked to go on from a cache ({name}), which a converted forward pass does not take"
                    raise RuntimeError(msg)
                del given[name]
        return given


class Swap:
    """A model whose forward pass, and whose encoder's, which ``generate`` calls by itself, are converted ones."""

    def __init__(self, model: Any, convert: Convert, method: str | None) -> None:
        self.convert = convert
        self.conversions = 0
        self.fixed: str | None = None
        """Why other shapes than the converted ones need a conversion of their own."""
        encoder = _encoder_of(model)
        places = [(model, method or "forward"), *([(encoder, "forward")] if encoder is not None else [])]
        self._swapped = [(module, name, Forward(module, self, name)) for module, name in places]
        self.put()

    def put(self) -> None:
        for module, name, forward in self._swapped:
            setattr(module, name, forward)

    def lift(self) -> None:
        """The model is its own again."""
        for module, name, _ in self._swapped:
            module.__dict__.pop(name, None)

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """While a converter runs the model, and while a conversion runs, all that they call is the original."""
        self.lift()
        try:
            yield
        finally:
            self.put()


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
