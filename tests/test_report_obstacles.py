"""What stands in the way of conversion: by operator or error, what stops the most types first."""

from harness.records import Attempt, Cell
from harness.report.model import MatrixCell
from harness.report.obstacles import obstacles
from miniatures import cell


def attempt(route: str = "convert_model", operators: tuple[str, ...] = (), error_class: str = "Refused") -> Attempt:
    return Attempt(
        route=route,
        stage="export",
        outcome="unsupported",
        error_class=error_class,
        message=f"no rule for {', '.join(operators)}",
        frame="frontend.py:1 in convert",
        operators=operators,
        seconds=1.0,
    )


def judged(one: Cell) -> MatrixCell:
    fields = {name: getattr(one, name) for name in type(one).model_fields if name != "kind"}
    return MatrixCell(**fields, shard="cpu/current/1of1", judgement="as expected", best=True)


def test_what_stops_most_types_is_first_and_what_another_route_took_through_is_told_apart() -> None:
    cells = [
        judged(cell("bert", outcome="unsupported", attempts=(attempt(operators=("aten::a", "aten::b")),))),
        judged(cell("gpt2", outcome="unsupported", attempts=(attempt("torch.export", ("aten::b",)),))),
        judged(cell("vit", attempts=(attempt(operators=("aten::a",)), attempt(operators=("aten::c",))))),
    ]
    found = obstacles(cells)
    assert [(one.what, one.stops, one.passed_otherwise) for one in found] == [
        ("aten::b", ("bert", "gpt2"), ()),
        ("aten::a", ("bert",), ("vit",)),
        ("aten::c", (), ("vit",)),
    ]
    assert found[0].routes == ("convert_model", "torch.export")
    assert all(one.operator for one in found)


def test_an_error_without_an_operator_is_told_with_its_place_and_an_exporter_that_was_never_asked_is_none() -> None:
    unknown = attempt("optimum-intel", error_class="NotExportedError")
    (found,) = obstacles([judged(cell("bert", outcome="failed", attempts=(unknown, attempt())))])
    assert (found.what, found.operator) == ("Refused at frontend.py:1 in convert", False)
