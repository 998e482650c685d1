"""`modeseek kl` and `modeseek theory`: typed, documented, and quick to import; the work is imported when it runs."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeseek.bandit.categorical.options import KLOptions
from modeseek.markdown import markdown_table
from modeseek.progress import progress

if TYPE_CHECKING:
    import xarray as xr

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
        check_output(folder / "kl.nc")
        data = named_study(self, configuration=dataclasses.asdict(self), progress=progress("steps"))
        paths = [_save_dataset(data, folder / "kl.nc"), *self._draw(data, folder)]
        print(f"{self.problem if not self.target else 'given target'}: {shows}")
        print(_speed_table(data))
        if self.optimizer == "flow":
            for name in PAIR:
                error = flow_error(problem, start, settings_of(self), objective=name, steps=self.steps)
                print(f"flow of {name}: probabilities are within {error:.1e} of the exact flow (step doubling)")
        for name in ("curves", "bars", "regions", "simplex", "animation"):
            print(data.attrs[f"description_{name}"])
        print("Saved " + ", ".join(str(path) for path in paths))
        return 0

    def _draw(self, data: "xr.Dataset", folder: Path) -> list[Path]:
        from modeseek.bandit.figures.kl_animation import kl_animation
        from modeseek.bandit.figures.kl_bars import kl_bars
        from modeseek.bandit.figures.kl_curves import kl_curves
        from modeseek.bandit.figures.kl_regions import kl_regions
        from modeseek.bandit.figures.kl_simplex import kl_simplex
        from modeseek.bandit.figures.style import save_figure

        drawings = {"curves": kl_curves, "bars": kl_bars, "regions": kl_regions}
        if "simplex_prob" in data:
            drawings["simplex"] = kl_simplex
        paths = [path for name, draw in drawings.items() for path in save_figure(draw(data), folder / f"kl_{name}")]
        if self.animation:
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
        from modeseek.bandit.figures.style import save_figure
        from modeseek.bandit.figures.theory_table import theory_chart
        from modeseek.bandit.simulator.results import check_output
        from modeseek.files import replacing

        check_search(self.instances, self.seed)
        folder = output_folder(self.out, "theory")
        check_output(folder / "theory.nc")
        began = time.perf_counter()
        findings = table(self.instances, self.seed, progress=progress("statements"))
        seconds = time.perf_counter() - began
        data = _theory_dataset(findings, dataclasses.asdict(self))
        paths = [_save_dataset(data, folder / "theory.nc"), *save_figure(theory_chart(data), folder / "theory")]
        text = _markdown(findings)
        with replacing(folder / "theory.md") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        print(text)
        total = sum(finding.tried for finding in findings)
        print(f"\n{total:,} instances in {seconds:.1f} s. {data.attrs['description']}")
        print("Saved " + ", ".join(str(path) for path in [*paths, folder / "theory.md"]))
        return int(any(finding.expected and finding.held < finding.tried for finding in findings))


def _save_dataset(data: "xr.Dataset", path: Path) -> Path:
    from modeseek.files import replacing

    packed = {name: {"zlib": True} for name, array in data.data_vars.items() if array.size > 1000}
    with replacing(path) as temporary:
        data.to_netcdf(temporary, engine="h5netcdf", encoding=packed)
    return path


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
