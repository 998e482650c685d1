"""The reference of Python: one page a module, from its signatures and docstrings, and one of the front door."""

import ast
import importlib
import json
from pathlib import Path

from pages import docstring
from pages.tree import Definition, Module, assigned, documented_values, modules, public

DOOR = "modeseek"


def write(folder: Path) -> None:
    """Write the pages of all modules."""
    for name, module in modules().items():
        (folder / f"{name}.md").write_text(page(module), encoding="utf-8")


def page(module: Module) -> str:
    """A module's page: what it says of itself, what it defines and, of a package, what it holds."""
    names = [name for name in modules() if name.rpartition(".")[0] == module.name and public(name.rpartition(".")[2])]
    title = "Python" if module.name == DOOR else module.name.rpartition(".")[2]
    parts = [
        f"# {title}",
        f"`````{{py:module}} {module.name}\n`````",
        f"*`import {module.name}`, in `{module.path}`*",
        docstring.markdown(module.docstring),
        *(door() if module.name == DOOR else members(module)),
    ]
    if names:
        rows = [
            f"- [{name.rpartition('.')[2]}]({name}.md): {docstring.summary(modules()[name].docstring)}"
            for name in names
        ]
        listing = "\n".join(names)
        parts += ["## Modules", "\n".join(rows), f"```{{toctree}}\n:hidden:\n\n{listing}\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def door() -> list[str]:
    """The names of `modeseek` itself, each from where it is defined."""
    parts = []
    for name in importlib.import_module(DOOR).__all__:
        value = getattr(importlib.import_module(DOOR), name)
        node = next(n for n in modules()[value.__module__].tree.body if getattr(n, "name", None) == value.__qualname__)
        assert isinstance(node, ast.FunctionDef | ast.ClassDef)
        parts.append(member(node, 5))
    return parts


def members(module: Module) -> list[str]:
    """What a module defines for its readers, in its own order."""
    values = documented_values(module.tree.body)
    parts = []
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and public(node.name):
            parts.append(member(node, 5))
        elif (name := assigned(node)) in values and name is not None:
            parts.append(value(name, *values[name]))
    return parts


def member(node: Definition, ticks: int, within: bool = False) -> str:
    """A function, method, property or class as a directive of Sphinx's Python domain."""
    fence = "`" * ticks
    body = docstring.markdown(ast.get_docstring(node) or "")
    if isinstance(node, ast.ClassDef):
        return f"{fence}``{{py:class}} {node.name}\n\n{class_body(node, ticks)}\n{fence}``"
    decorators = [ast.unparse(d) for d in node.decorator_list]
    kind = "method" if within else "function"
    options = [f":{d}:" for d in decorators if d in ("classmethod", "staticmethod")]
    signature = node.name + arguments(node, skip_first=within and "staticmethod" not in decorators)
    if any(d.endswith("property") for d in decorators):
        kind, signature = "property", node.name
        options = [f":type: {quoted(ast.unparse(node.returns))}"] if node.returns else []
    elif node.returns:
        signature += f" -> {ast.unparse(node.returns)}"
    head = "\n".join([f"{{py:{kind}}} {signature}", *options])
    return f"{fence}{head}\n\n{body}\n{fence}"


def arguments(node: ast.FunctionDef, skip_first: bool) -> str:
    """A signature in brackets, without the `self` of a method."""
    given = node.args
    if skip_first and (given.posonlyargs or given.args):
        kept = (given.posonlyargs + given.args)[1:]
        given = ast.arguments([], kept, given.vararg, given.kwonlyargs, given.kw_defaults, given.kwarg, given.defaults)
    return f"({ast.unparse(given)})"


def class_body(node: ast.ClassDef, ticks: int) -> str:
    """What a class is, its fields with their types, defaults and meanings, and its methods."""
    bases = ", ".join(f"`{ast.unparse(base)}`" for base in node.bases)
    frozen = any("frozen=True" in ast.unparse(d) for d in node.decorator_list)
    dataclass = any("dataclass" in ast.unparse(d) for d in node.decorator_list)
    kind = ("A frozen dataclass" if frozen else "A dataclass" if dataclass else "") + (
        f" and a {bases}" if dataclass and bases else f"A {bases}" if bases else ""
    )
    text, sections = docstring.sections(ast.get_docstring(node) or "")
    meanings = dict(docstring.entries(sections.pop("Attributes", "")))
    meanings |= {name: said for name, (_, said) in documented_values(node.body).items()}
    fields = [
        docstring.item(declaration(field), meanings.pop(name, "")).rstrip(": ")
        for field in node.body
        if isinstance(field, ast.AnnAssign) and (name := assigned(field)) is not None
    ]
    fields += [docstring.item(f"`{name}`", said) for name, said in meanings.items()]
    methods = [
        member(method, ticks, within=True)
        for method in node.body
        if isinstance(method, ast.FunctionDef)
        and ast.get_docstring(method)
        and (public(method.name) or method.name == "__call__")
    ]
    parts = [
        f"*{kind}.*" if kind else "",
        docstring.prose(text),
        *(docstring.section(name, body) for name, body in sections.items()),
        "**Fields**\n\n" + "\n".join(fields) if fields else "",
        *methods,
    ]
    return "\n\n".join(part for part in parts if part)


def declaration(field: ast.AnnAssign) -> str:
    """`name: type = default`, as code."""
    code = f"{ast.unparse(field.target)}: {ast.unparse(field.annotation)}"
    if field.value is not None:
        code += f" = {ast.unparse(field.value)}"
    return f"`{code}`"


def value(name: str, statement: ast.Assign | ast.AnnAssign, said: str) -> str:
    """A documented constant; a long value is left to the source."""
    written = ast.unparse(statement.value) if statement.value is not None else ""
    option = f"\n:value: {quoted(written)}" if 0 < len(written) <= 60 and "\n" not in written else ""
    if isinstance(statement, ast.AnnAssign):
        option = f"\n:type: {quoted(ast.unparse(statement.annotation))}" + option
    return f"`````{{py:data}} {name}{option}\n\n{docstring.markdown(said)}\n`````"


def quoted(code: str) -> str:
    """Code as a directive's option, which is read as YAML."""
    return json.dumps(code, ensure_ascii=False)
