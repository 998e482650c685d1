"""`modeseek llm demo`: preference fine-tuning of a language model from nothing, in five minutes on two cores."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from modeseek.llm.runs.sizes import DemoSizes
from modeseek.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]

COLUMNS = {"tokens": "length", "reward_gold": "gold", "reward_proxy": "proxy", "kl": "KL", "share_eos": "EOS"}
"""Number of an evaluation → its title in the table."""


@dataclasses.dataclass(frozen=True)
class Demo:
    """Train a small language model and fine-tune it by six methods, offline and on-policy, in about five minutes.

    A byte-pair tokenizer and a GPT-NeoX of 1.3 M parameters are trained from scratch on the docstrings of Python's own
    library. Its samples are judged by their length: Min Length prefers the shorter, Mode Length the one that is nearer
    to the average. A reward model learns these preferences; DPO, Pref-FT and RWR learn offline, RWR, DPO and PPO
    on-policy. Nothing is downloaded. Ctrl-C keeps the stages that are done, and the same command with --out goes on.

    Attributes:
        out: output folder; without, the first free modeseek-results/llm-demo-N.
        sizes: of model, data and training.
    """

    out: Path | None = None
    sizes: Annotated[DemoSizes, tyro.conf.arg(name="")] = dataclasses.field(default_factory=DemoSizes)

    def run(self) -> int:
        """Run what is not there yet, print the table, draw the figure; 0 on success, 130 if it was stopped."""
        import platform  # whose library's docstrings are the data
        import sys

        from modeseek.bandit.commands.common import save_figures
        from modeseek.bandit.simulator.devices import check_platform
        from modeseek.files import free_folder
        from modeseek.llm.runs.length_demo import run
        from modeseek.llm.runs.stages import Watch
        from modeseek.llm.training.run_folder import RunFolder
        from modeseek.progress import progress

        say = lambda text: print(text, file=sys.stderr, flush=True)
        check_platform()
        folder = free_folder(self.out, "llm-demo")
        say(
            "Sized down: the paper's policies have 1.4 B and 7 B parameters, write 256 tokens and are tuned over\n"
            f"whole data sets; this one fits two cores, and each method takes {self.sizes.collections} steps.\n"
            "Which way the methods go carries over, their numbers do not."
        )
        identity = {"command": "llm demo", "python": platform.python_version(), **dataclasses.asdict(self.sizes)}
        with RunFolder(folder, identity) as lines:
            try:
                results = run(folder, self.sizes, Watch(say, lines.append, progress))
            except KeyboardInterrupt:
                say(f"stopped; the stages that are done are kept. The same command with --out {folder} goes on")
                return 130
        report = Report()
        for scenario in results:
            print(f"\n{scenario.replace('_', ' ')}, held-out prompts, at the end of training:\n")
            with report.part("the table"):
                print(table(results[scenario]))
        saved = save_figures(folder, report, {"rewards": lambda: figure(results)})
        print(f"\nsaved in {folder}: {''.join(f'{path.name}, ' for path in saved)}and a folder for each stage")
        return report.code


def table(methods: Mapping[str, Mapping[str, Any]]) -> str:
    """The last evaluation of each method, one a line."""
    from modeseek.markdown import markdown_table

    last = {name: result["evaluations"][-1] for name, result in methods.items()}
    rows = [[_title(name), *(f"{round(point[key], 2) + 0.0:.2f}" for key in COLUMNS)] for name, point in last.items()]
    return markdown_table([("method", "left"), *((title, "right") for title in COLUMNS.values())], rows)


def _title(name: str) -> str:
    from modeseek.bandit.objectives.registry import variant

    return "SFT, the reference" if name == "sft" else variant(name).title


def figure(results: Results) -> "Figure":
    """Gold reward, proxy reward and length over gradient steps, and gold reward over KL; a row for each scenario."""
    from modeseek.bandit.figures.methods import method_line, styles_of
    from modeseek.bandit.figures.style import new_figure, style

    panels = (
        ("step", "reward_gold", "gradient step", "gold reward"),
        ("step", "reward_proxy", "gradient step", "proxy reward"),
        ("step", "tokens", "gradient step", "length, tokens"),
        ("kl", "reward_gold", "KL(policy ‖ reference), nats a response", "gold reward"),
    )
    with style():
        drawn, axes = new_figure(len(results), len(panels), panel=(3.4, 2.8))
        for row, (scenario, methods) in zip(axes, results.items(), strict=True):
            tuned = {name: result["evaluations"] for name, result in methods.items() if name != "sft"}
            styles = styles_of(list(tuned))
            for panel, (x, y, below, beside) in zip(row, panels, strict=True):
                for name, points in tuned.items():
                    look = {**method_line(name, styles[name]), "markevery": 1}
                    panel.plot([point[x] for point in points], [point[y] for point in points], **look)
                panel.set(xlabel=below, ylabel=beside, title=scenario.replace("_", " "))
        handles, labels = axes[0, 0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside lower center", ncols=6, handlelength=3.2, frameon=False)
        drawn.suptitle("A small language model under each method (one seed; offline methods have open markers)")
    return drawn
