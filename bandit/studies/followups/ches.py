"""arXiv 2410.08847, "Unintentional Unalignment: Likelihood Displacement in Direct Preference Optimization".

**Claim.** That log π of the preferred response falls, though the loss asks for more of it, is driven by preferences
whose two responses have similar hidden embeddings, as CHES (its definition 2) measures it. CHES orders data by what
becomes of log π(y_w), and edit distance and the inner product of last embeddings do so less (its section 5).

**Set-up.** See `displaced_pairs`: GPT-Nano, each pair trained by itself. The paper sorts data sets by CHES and trains
on a part of each, and its theory lets every prefix have an embedding of its own. Beside its scores stand two that
CHES is an approximation of: `first_order`, ⟨∇ log π(y_w), ∇m⟩ with its sign turned, and `shared_table`, the same in
closed form for a table of logits that all positions share (`categorical.closed_forms`). Of the paper its abstract, a
review and the released code were read.
"""

from matplotlib.figure import Figure

from modeseek.bandit.figures.style import BLACK, BLUE, GREEN, PURPLE, VERMILLION, LineStyle, new_figure, style
from modeseek.bandit.studies.cells import Results, fresh_runs
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import Contrast, Term, level
from modeseek.bandit.studies.followups.displaced_pairs import PACES, SCORES, Displacing, displacing
from modeseek.bandit.studies.followups.followup import TWENTY, Followup, FollowupCell
from modeseek.bandit.studies.measures import Measure, Unit

CELLS = {
    kind: FollowupCell(f"ches-{kind}", Displacing(kind), displacing, protocols=frozenset({TWENTY}))
    for kind in ("reference", "chain")
}
KINDS = {"reference": "Network at the bandit's reference", "chain": "Network at a Markov chain"}
NAMED = {
    "ches": "CHES",
    "last_embedding": "last embeddings",
    "edit_similarity": "edit distance",
    "first_order": "first order",
    "shared_table": "shared table",
}
ORDER = Unit("rank correlation", 0.05)


def _order(score: str, pace: str) -> Measure:
    name = f"order-{score}-{pace}"
    return Measure(name, lambda data: data["order"].sel(of=score, pace=pace), "Spearman's rank correlation", ORDER)


def _more(kind: str, better: str, worse: str, pace: str) -> Contrast:
    """By how much one score orders better than another."""
    return Contrast((Term(1.0, CELLS[kind], _order(better, pace)), Term(-1.0, CELLS[kind], _order(worse, pace))))


def _claims(kind: str) -> tuple[Claim, ...]:
    def claim(name: str, text: str, contrast: Contrast, source: str, quote: str = "") -> Claim:
        return Claim(f"ches-{kind}-{name}", f"{KINDS[kind]}: {text}", source, contrast, quote=quote)

    section = "its section 5, by summaries of others"
    driven = "likelihood displacement is driven by preferences that induce similar embeddings"
    steps, margins = PACES
    return (
        claim(
            "steps",
            "at equal steps, the larger CHES the less log π(y_w) gains.",
            level(_order("ches", steps), CELLS[kind]),
            "abstract",
            driven,
        ),
        claim(
            "margins",
            "at equal margins as well.",
            level(_order("ches", margins), CELLS[kind]),
            "abstract, read strictly",
            driven,
        ),
        claim(
            "over-edit-distance",
            "at equal steps, CHES orders better than edit distance.",
            _more(kind, "ches", "edit_similarity", steps),
            section,
        ),
        claim(
            "over-last-embedding",
            "at equal steps, CHES orders better than the inner product of last embeddings.",
            _more(kind, "ches", "last_embedding", steps),
            section,
        ),
        claim(
            "closed-form",
            "at equal steps, the closed form of a shared table orders better than CHES.",
            _more(kind, "shared_table", "ches", steps),
            "ours",
        ),
        claim(
            "first-order",
            "at equal margins, the first step's slope orders better than CHES.",
            _more(kind, "first_order", "ches", margins),
            "ours",
        ),
    )


CLAIMS = tuple(claim for kind in CELLS for claim in _claims(kind))

LINES = dict(
    zip(
        SCORES,
        (
            LineStyle(VERMILLION, "s"),
            LineStyle(GREEN, "^"),
            LineStyle(BLUE, "o"),
            LineStyle(BLACK, "D"),
            LineStyle(PURPLE, "*"),
        ),
        strict=True,
    )
)


def draw(results: Results) -> Figure:
    """Change of log π(y_w) against CHES, a point a pair; and each score's rank correlation, a point a network."""
    with style():
        figure, axes = new_figure(2, 3, panel=(3.6, 2.7))
        for row, (kind, cell) in zip(axes, CELLS.items(), strict=True):
            runs = fresh_runs(results[cell])
            for panel, pace in zip(row, PACES, strict=False):
                change = runs["change"].sel(pace=pace).values.ravel()
                panel.plot(
                    runs["score"].sel(of="ches").values.ravel(),
                    change,
                    LINES["ches"].marker,
                    color=LINES["ches"].color,
                    markersize=2,
                    alpha=0.35,
                    rasterized=True,
                )
                panel.axhline(0, color="#8C8C8C", linewidth=1)
                panel.set(title=f"{kind}: {pace.replace('_', ' ')}", xlabel="CHES", ylabel="change of log π(y_w), nats")
            for at, pace in enumerate(PACES):
                for i, score in enumerate(SCORES):
                    order = runs["order"].sel(of=score, pace=pace)
                    height = [len(SCORES) - 1 - i + 0.16 * (1 - 2 * at)] * order.size
                    filled = LINES[score].color if at == 0 else "white"
                    row[2].plot(
                        order,
                        height,
                        LINES[score].marker,
                        color=LINES[score].color,
                        markerfacecolor=filled,
                        markersize=3.5,
                        alpha=0.7,
                    )
            row[2].axvline(0, color="#8C8C8C", linewidth=1)
            row[2].set_yticks(range(len(SCORES))[::-1], [NAMED[score] for score in SCORES])
            row[2].set(title="filled: steps, open: margins", xlabel="rank correlation", xlim=(-0.65, 1.05))
        figure.suptitle("What foretells that a preferred response falls", fontsize=10)
    return figure


def describe(results: Results) -> str:
    """What the picture shows."""
    parts = []
    for kind, cell in CELLS.items():
        runs = fresh_runs(results[cell])
        order = runs["order"].mean("seed")
        each = ", ".join(
            f"{NAMED[score]} {float(order.sel(of=score, pace=PACES[0])):+.2f} and "
            f"{float(order.sel(of=score, pace=PACES[1])):+.2f}"
            for score in SCORES
        )
        change = runs["change"].sel(pace=PACES[1])
        fell = float((change < 0).sum() / change.notnull().sum())
        parts.append(f"{KINDS[kind]}: {each}; {100 * fell:.0f} % of the preferred fell at equal margins")
    return (
        f"Mean rank correlation with the fall of log π(y_w), at equal steps and at equal margins. {'. '.join(parts)}."
    )


FOLLOWUP = Followup(
    "2410.08847",
    "Is a preferred response pushed down where chosen and rejected have similar hidden embeddings? "
    '"Unintentional Unalignment: Likelihood Displacement in Direct Preference Optimization".',
    tuple(CELLS.values()),
    protocols=(TWENTY,),
    default=TWENTY,
    claims=CLAIMS,
    deviations="The paper's theory lets each prefix have an embedding of its own, and its networks are pretrained on "
    "text. A network at the bandit's reference gives all prefixes nearly one embedding, which is the farthest from "
    "that; one at a Markov chain tells the last token apart. Each pair is trained by itself, where the paper trains on "
    "subsets. A network is a seed, and there are twenty of each kind. Few of the preferred responses fall at all.",
    draw=draw,
    describe=describe,
)
