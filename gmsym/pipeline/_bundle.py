"""One text from a module of gmsym and all that it imports from gmsym, which runs where gmsym is not installed.

Each module becomes a function that returns its names, so that no two of them meet; imports of gmsym become assignments from those, and
equinox and jaxtyping, of which the engines that can be bundled need little, have stand-ins in the text.
"""

import ast
import textwrap
from collections.abc import Iterable, Mapping
from importlib import util
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from gmsym.errors import InputError

_ROOT = "gmsym"
_STAND_INS = {"equinox": "_equinox", "jaxtyping": "_jaxtyping"}
_PRELUDE = '''
class _Shape:
    """Stands for the types of arrays in annotations."""

    def __class_getitem__(cls, item):
        return cls


class _Static:
    """An argument that is not traced, by its identity or its value."""

    def __init__(self, value):
        self.value = value

    def __hash__(self):
        return hash(self.value)

    def __eq__(self, other):
        return isinstance(other, _Static) and self.value == other.value


def _filter_jit(function=None, donate=None, compiler_options=None):
    """jax.jit that traces the arrays among the arguments and takes everything else as it is."""
    if function is None:
        return _filter_jit

    @functools.partial(jax.jit, static_argnums=0, compiler_options=compiler_options)
    def traced(fixed, arrays):
        tree, static = fixed
        leaves = [x.value if isinstance(x, _Static) else array for x, array in zip(static, arrays)]
        args, kwargs = jax.tree.unflatten(tree, leaves)
        return function(*args, **kwargs)

    @functools.wraps(function)
    def call(*args, **kwargs):
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays = [x if isinstance(x, (jax.Array, np.ndarray, np.generic)) else None for x in leaves]
        static = tuple(None if array is not None else _Static(x) for x, array in zip(leaves, arrays))
        return traced((tree, static), arrays)

    return call


def _module(name, names):
    module = types.ModuleType(name)
    module.__dict__.update(names)
    return module


class _Record:
    """Stands for equinox.Module: a frozen dataclass whose fields are traced unless they are static."""

    def __init_subclass__(cls):
        dataclasses.dataclass(frozen=True, eq=False)(cls)
        names = [[x.name for x in dataclasses.fields(cls) if x.metadata.get("static", False) is static] for static in (False, True)]
        jax.tree_util.register_dataclass(cls, *names)


def _field(static=False):
    return dataclasses.field(metadata={"static": static})


_equinox = _module("equinox", {"filter_jit": _filter_jit, "Module": _Record, "field": _field})
_jaxtyping = _module("jaxtyping", {name: _Shape for name in ("Array", "ArrayLike", "Bool", "Float", "Inexact", "Int", "Complex")})
'''


class _Import(NamedTuple):
    line: int
    end: int
    module: str
    names: tuple[tuple[str | None, str], ...]  # attribute, or None for the module itself, and the name that it takes


def bundled(root: str, texts: Iterable[tuple[str, str]] = (), stand_ins: Mapping[str, str] = MappingProxyType({})) -> str:
    """The text of a module, after those that it imports, with the names of modules (dots as underscores) to take functions from.

    Args:
        root: module of gmsym.
        texts: further modules, by name and text, behind it.
        stand_ins: modules whose text is taken in place of others'.

    Raises:
        InputError: one of the modules needs a package that is neither JAX, NumPy, SciPy nor Python's own.
    """
    parts: dict[str, str] = {}
    _add(root, None, parts, stand_ins)
    for name, text in texts:
        _add(name, text, parts, stand_ins)
    return _PRELUDE + "".join(parts.values())


def namespace(module: str) -> str:
    """The variable that holds a module in a bundled text."""
    return "_" + module.replace(".", "_")


def _add(module: str, text: str | None, parts: dict[str, str], stand_ins: Mapping[str, str]) -> None:
    if module in parts:
        return
    text = _text_of(stand_ins.get(module, module)) if text is None else text
    imports = _imports(ast.parse(text))
    for found in imports:
        if found.module.split(".")[0] == _ROOT:
            for inner in _modules(found):
                _add(inner, None, parts, stand_ins)
        elif found.module.split(".")[0] in ("diffrax", "optimistix", "lineax"):
            raise InputError(f"{module} needs {found.module.split('.')[0]}: it does not run on JAX, NumPy and SciPy alone")
    lines = text.splitlines()
    for found in reversed(imports):
        replaced = _replaced(found)
        if replaced is not None:
            lines[found.line - 1 : found.end] = replaced
    body = textwrap.indent("\n".join(lines), "    ", lambda line: bool(line.strip()))
    function = f"{namespace(module)}_module"
    parts[module] = f'\n\ndef {function}():\n{body}\n\n    return _module("{module}", locals())\n\n\n{namespace(module)} = {function}()\n'


def _modules(found: _Import) -> list[str]:
    """The modules that an import needs: the one it names, or those that it takes from a package."""
    inner = [f"{found.module}.{attribute}" if attribute else "" for attribute, _ in found.names]
    return [name if name and _exists(name) else found.module for name in inner]


def _replaced(found: _Import) -> list[str] | None:
    """Lines in place of an import; None where it stays."""
    top = found.module.split(".")[0]
    if top == "__future__":
        return []
    if top in _STAND_INS:
        return [f"{name} = {_STAND_INS[top]}" + (f".{attribute}" if attribute else "") for attribute, name in found.names]
    if top != _ROOT:
        return None
    lines = []
    for (attribute, name), module in zip(found.names, _modules(found), strict=True):
        whole = attribute is None or module != found.module
        lines.append(f"{name} = {namespace(module)}" + ("" if whole else f".{attribute}"))
    return lines


def _imports(tree: ast.Module) -> list[_Import]:
    """Imports at the top of a module, in its order; what only a type checker reads has none of the run's."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            found.append(_Import(node.lineno, node.end_lineno, node.module, tuple((x.name, x.asname or x.name) for x in node.names)))
        elif isinstance(node, ast.Import):
            found.extend(_Import(node.lineno, node.end_lineno, x.name, ((None, x.asname or x.name),)) for x in node.names)
        elif isinstance(node, ast.If):
            found.append(_Import(node.lineno, node.end_lineno, "__future__", ()))
    return found


def _exists(module: str) -> bool:
    return util.find_spec(module.rpartition(".")[0]) is not None and _path(module) is not None


def _path(module: str) -> Path | None:
    spec = util.find_spec(module.split(".")[0])
    if spec is None or not spec.submodule_search_locations:
        return None
    base = Path(spec.submodule_search_locations[0]).joinpath(*module.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _text_of(module: str) -> str:
    path = _path(module)
    if path is None:
        raise InputError(f"module {module!r}: its text is not on this machine, so it cannot be put into a file")
    return path.read_text(encoding="utf-8")
