"""`modeseek kl` and `modeseek theory`: typed, documented, and quick to import; the work is imported when it runs."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeseek.bandit.categorical.options import KLOptions
from modeseek.files import parse_json
from modeseek.locks import alone_in
from modeseek.markdown import markdown_table
from modeseek.progress import progress
from modeseek.report import Report

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from modeseek.bandit.categorical.theory import Finding


@dataclasses.dataclass(frozen=True)
class KL(KLOptions):
    """Forward against reverse KL on a distribution over K categories, exactly.

    Attributes:
        animation: whether to write the GIF too.
        out: folder for kl.nc, the figures (PNG and SVG) and the GIF; without, the first free modeseek-results/kl-N.
    """

    animation: bool = True
    out: Path | None = None

    def run(self) -> int:
        """Check, compute, save, and say where; 0 on success.

        Raises:
            ValueError: any argument is not as described, before any work is done.
        """
        from modeseek.bandit.categorical.dynamics import PAIR, flow_error
        from modeseek.bandit.categorical.named import checked, named_study, settings_of
        from modeseek.bandit.commands.common import output_folder
        from modeseek.bandit.simulator.results import check_output

        problem, start, shows = checked(self)
        folder = output_folder(self.out, "kl")
        report = Report()
        with alone_in(folder):
            data = _finished(folder / "kl.nc", self)
            if data is None:
                check_output(folder / "kl.nc")
                data = named_study(self, configuration=dataclasses.asdict(self), progress=progress("steps"))
                _save_dataset(data, folder / "kl.nc")
            paths = [folder / "kl.nc", *self._draw(data, folder, report)]
        print(f"{self.problem if not self.target else 'given target'}: {shows}")
        print(_speed_table(data))
        if self.optimizer == "flow":
            for name in PAIR:
                error = flow_error(problem, start, settings_of(self), objective=name, steps=self.steps)
                print(f"flow of {name}: probabilities are within {error:.1e} of the exact flow (step doubling)")
        for name in ("curves", "bars", "regions", "simplex", "animation"):
            print(data.attrs[f"description_{name}"])
        print("Saved " + ", ".join(str(path) for path in paths))
        return report.code

    def _draw(self, data: "xr.Dataset", folder: Path, report: Report) -> list[Path]:
        paths: list[Path] = []
        with report.part("every figure"):
            from modeseek.bandit.commands.common import save_figures
            from modeseek.bandit.figures.kinds import figure_kinds

            figures = {f"kl_{name}": partial(draw, data) for name, draw in figure_kinds(data).items()}
            paths += save_figures(folder, report, figures)
        if self.animation:
            with report.part("the animation"):
                from modeseek.bandit.figures.kl_animation import kl_animation

                paths.append(kl_animation(data, folder / "kl.gif", progress=progress("frames")))
        return paths


@dataclasses.dataclass(frozen=True)
class Theory:
    """Try the paper's theorem, lemmas and closed forms on random instances, and show what breaks them.

    Attributes:
        instances: random instances a statement.
        seed: of the search.
        out: folder for theory.nc, the table (theory.md) and the chart (PNG and SVG); without, the first free
            modeseek-results/theory-N.
    """

    instances: int = 100_000
    seed: int = 0
    out: Path | None = None

    def run(self) -> int:
        """Check, search, print the table, save; 0 if every theorem held, 1 if one was not confirmed.

        Raises:
            ValueError: any argument is not as described, before any work is done.
        """
        import time

        from modeseek.bandit.categorical.theory import check_search, table
        from modeseek.bandit.commands.common import output_folder
        from modeseek.bandit.simulator.results import check_output

        check_search(self.instances, self.seed)
        folder = output_folder(self.out, "theory")
        report, took = Report(), ""
        with alone_in(folder):
            data = _finished(folder / "theory.nc", self)
            if data is None:
                check_output(folder / "theory.nc")
                began = time.perf_counter()
                data = _theory_dataset(
                    table(self.instances, self.seed, progress=progress("statements")), dataclasses.asdict(self)
                )
                took = f" in {time.perf_counter() - began:.1f} s"
                _save_dataset(data, folder / "theory.nc")
            findings = _findings(data)
            text = _markdown(findings)
            paths = [folder / "theory.nc", *self._save_table(text, data, folder, report)]
        print(text)
        total = sum(finding.tried for finding in findings)
        print(f"\n{total:,} instances{took}. {data.attrs['description']}")
        print("Saved " + ", ".join(str(path) for path in paths))
        return report.code or int(any(finding.expected and finding.held < finding.tried for finding in findings))

    def _save_table(self, text: str, data: "xr.Dataset", folder: Path, report: Report) -> list[Path]:
        from modeseek.bandit.commands.common import save_figures
        from modeseek.files import replacing

        def chart() -> "Figure":
            from modeseek.bandit.figures.theory_table import theory_chart

            return theory_chart(data)

        paths = save_figures(folder, report, {"theory": chart})
        with report.part("theory.md"):
            with replacing(folder / "theory.md") as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")
            paths.append(folder / "theory.md")
        return paths


ELSEWHERE = ("out", "animation")
"""Options that change no number."""


def _finished(path: Path, command: KL | Theory) -> "xr.Dataset | None":
    """What an earlier process of the same command computed, if it is there: it may have been killed since."""
    import json

    import xarray as xr

    from modeseek import __version__
    from modeseek.bandit.commands.common import say

    if not path.exists():
        return None
    try:
        data = xr.load_dataset(path, engine="h5netcdf")
        found = parse_json(data.attrs["configuration"])
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, IndexError):
        return None
    wanted = json.loads(json.dumps(dataclasses.asdict(command), default=str))
    numbers = lambda configuration: {k: v for k, v in configuration.items() if k not in ELSEWHERE}
    if numbers(found) != numbers(wanted) or data.attrs.get("modeseek_version") != __version__:
        return None
    say(f"{path} holds these very results: nothing is computed again")
    return data


def _save_dataset(data: "xr.Dataset", path: Path) -> None:
    from modeseek.bandit.simulator.results import write_netcdf4

    write_netcdf4(
        data, path, {str(name): {"zlib": True} for name, array in data.data_vars.items() if array.size > 1000}
    )


def _findings(data: "xr.Dataset") -> "list[Finding]":
    """The table that a dataset holds."""
    from modeseek.bandit.categorical.statements import STATEMENTS
    from modeseek.bandit.categorical.theory import Finding

    expected = {statement.name: statement.expected for statement in STATEMENTS}
    return [
        Finding(
            name=name,
            claim=str(row["claim"].item()),
            expected=expected[name],
            tried=int(row["tried"]),
            held=int(row["held"]),
            counter_example=str(row["counter_example"].item()),
            verdict=str(row["verdict"].item()),
        )
        for name in map(str, data["statement"].values)
        for row in [data.sel(statement=name)]
    ]


def _speed_table(data: "xr.Dataset") -> str:
    """Steps to 10, 50 and 90 % of the achievable reward, and where each objective ends."""
    lines = [f"{'objective':<22}{'10 %':>8}{'50 %':>8}{'90 %':>8}{'reward':>10}{'KL(p‖q)':>12}{'KL(q‖p)':>12}"]
    for name in data.objective.values:
        one = data.sel(objective=name)
        reached = "".join(f"{int(step) if step >= 0 else '-':>8}" for step in one["steps_to"].values)
        final = (float(one[variable][-1]) for variable in ("expected_reward", "reverse_kl", "forward_kl"))
        reward, reverse, forward = final
        lines.append(f"{name!s:<22}{reached}{reward:>10.4f}{reverse:>12.3e}{forward:>12.3e}")
    lines.append(f"{'target':<22}{'':>24}{float(data['achievable_reward']):>10.4f}")
    return "\n".join(lines)


def _markdown(findings: "list[Finding]") -> str:
    """The table; counter-examples in full, since they are the point."""
    return markdown_table(
        [
            ("statement", "left"),
            ("claim", "left"),
            ("tried", "right"),
            ("holds", "right"),
            ("smallest counter-example", "left"),
            ("verdict", "left"),
        ],
        [(f.name, f.claim, f"{f.tried:,}", f"{f.share:.2%}", f.counter_example or "-", f.verdict) for f in findings],
    )


def _theory_dataset(findings: "list[Finding]", configuration: dict[str, Any]) -> "xr.Dataset":
    import json

    import xarray as xr

    from modeseek import __version__

    broken = [f.name for f in findings if f.held < f.tried]
    columns = ("claim", "tried", "held", "share", "counter_example", "verdict")
    return xr.Dataset(
        {column: ("statement", [getattr(f, column) for f in findings]) for column in columns},
        coords={"statement": [f.name for f in findings]},
        attrs={
            "configuration": json.dumps(configuration, sort_keys=True, default=str),
            "modeseek_version": __version__,
            "description": f"{len(findings) - len(broken)} of {len(findings)} statements held in every instance; "
            f"counter-examples were found to: {'; '.join(broken) or 'none'}.",
        },
    )
