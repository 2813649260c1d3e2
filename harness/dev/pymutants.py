"""Small breaks of Python source, one at a time: comparisons, constants, conditions, sums, calls that are left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARED: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_COUNTED: dict[type[ast.operator], str] = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*"}
_CALLED = {"max": "min", "min": "max", "any": "all", "all": "any"}


@dataclass(frozen=True)
class PyMutant:
    """One break: the text between two offsets of a file becomes another; line and function say where it is."""

    start: int
    end: int
    new: str
    old: str
    line: int
    function: str

    def applied(self, source: str) -> str:
        """The source with the break in it."""
        return source[: self.start] + self.new + source[self.end :]

    def __str__(self) -> str:
        return f"line {self.line}, {self.function}: {' '.join(self.old.split())} -> {' '.join(self.new.split())}"


def mutants(source: str) -> list[PyMutant]:
    """Every break of a module's functions and methods; texts, annotations, defaults and module level are left alone."""
    tree = ast.parse(source)
    offsets = [0]
    for line in source.encode().splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    raw = source.encode()

    def place(node: ast.AST) -> tuple[int, int]:
        """Character offsets; ast counts bytes."""
        start = offsets[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = offsets[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return len(raw[:start].decode()), len(raw[:end].decode())

    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in _own(function):
            for new in _breaks(node):
                start, end = place(node)
                found.append(PyMutant(start, end, new, source[start:end], node.lineno, function.name))
    return sorted(set(found), key=lambda mutant: (mutant.start, mutant.end, mutant.new))


def _own(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr | ast.stmt]:
    """The statements and expressions of a function's body, without those of functions in it and without annotations."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.expr | ast.stmt):
            yield node
        if isinstance(node, ast.JoinedStr):  # what is told in words
            continue
        annotation = node.annotation if isinstance(node, ast.AnnAssign) else None
        waiting += [child for child in ast.iter_child_nodes(node) if child is not annotation]


def _breaks(node: ast.expr | ast.stmt) -> Iterator[str]:
    yield from _statements(node) if isinstance(node, ast.stmt) else _expressions(node)


def _statements(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Break():
            yield "pass"
        case ast.Expr(value=ast.Yield() | ast.YieldFrom()):
            yield "yield from ()"
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "return None"


def _expressions(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            yield f"({ast.unparse(left)} {_COMPARED[type(op)]} {ast.unparse(right)})"
        case ast.Compare(left=left, ops=[one, other], comparators=[middle, right]):
            for first, second in ((_COMPARED[type(one)], _text(other)), (_text(one), _COMPARED[type(other)])):
                yield f"({ast.unparse(left)} {first} {ast.unparse(middle)} {second} {ast.unparse(right)})"
        case ast.BoolOp(op=op, values=values):
            for number in range(len(values)):
                rest = [ast.unparse(value) for at, value in enumerate(values) if at != number]
                yield f"({(' and ' if isinstance(op, ast.And) else ' or ').join(f'({each})' for each in rest)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"bool({ast.unparse(operand)})"
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _COUNTED and not (
            _is_text(left) or _is_text(right)
        ):
            yield f"({ast.unparse(left)} {_COUNTED[type(op)]} {ast.unparse(right)})"
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield f"({ast.unparse(orelse)} if {ast.unparse(test)} else {ast.unparse(body)})"
        case ast.Call(func=ast.Name(id=name)) if name in _CALLED:
            yield _CALLED[name] + ast.unparse(node).removeprefix(name)
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int() | float() as number):
            yield str(number + 1)


def _text(op: ast.cmpop) -> str:
    return ast.unparse(ast.Compare(ast.Name("a"), [op], [ast.Name("b")])).split(" ", 1)[1].rsplit(" ", 1)[0]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
