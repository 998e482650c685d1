"""The teacher's pages whose numbers are computed: misconceptions with their views, and the assessment."""

from pathlib import Path

MISCONCEPTIONS = """# Misconceptions

What many believe before, and the view that dissolves it. The numbers are computed from the view when this page is
built. `modeseek slides` draws all of them as SVG. A page is what opens without a kernel, at the preset's beginning; the
line of Python opens the state itself in a notebook.
"""

ASSESSMENT = """# Assessment

{questions} questions, {points} points; an hour with paper and a calculator. The answers are computed when this page is
built: each question is a function of its numbers, so that next year's class gets others.

```python
from modeseek.bandit.explore.teaching.assessment import push_down

question = push_down(p=(0.4, 0.3, 0.2, 0.1), rejected=1)
print(question.asks, question.answer, sep="\\n")
```

Half of the points is a pass if no objective has none of its points; each criterion of a rubric is given or not, without
halves. A right number without a reason gets the point for the number alone; a consequence of an earlier slip counts as
right.
"""


def write(folder: Path) -> None:
    """Write both pages."""
    (folder / "misconceptions.md").write_text(misconceptions(), encoding="utf-8")
    (folder / "assessment.md").write_text(assessment(), encoding="utf-8")


def misconceptions() -> str:
    """Each belief with its view."""
    from modeseek.bandit.explore.teaching.misconceptions import MISCONCEPTIONS as VIEWS

    parts = [MISCONCEPTIONS]
    for view in VIEWS:
        model = view.kind.Model.from_state(view.state)
        page = f"../explorers/{view.kind.Model.kind}.html#preset-{model.values.preset}"
        parts.append(
            f"## “{view.belief}”\n\n**{view.title}.** {view.finds(model).says}\n\n"
            f'Look at {view.look}: <a href="{page}">the page</a>, or\n\n```text\n{view.again}\n```\n'
        )
    return "\n".join(parts)


def assessment() -> str:
    """Each question with its points; answer and rubric are folded."""
    from modeseek.bandit.explore.teaching.assessment import ASSESSMENT as QUESTIONS

    points = sum(question.points for question in QUESTIONS)
    parts = [ASSESSMENT.format(questions=len(QUESTIONS), points=points)]
    for number, question in enumerate(QUESTIONS, 1):
        rubric = "\n".join(f"- {points}: {what}" for points, what in question.rubric)
        parts.append(
            f"## {number}. ({question.points} points, objective {question.objective})\n\n{question.asks}\n\n"
            f":::{{dropdown}} Answer and rubric\n{question.answer}\n\n{rubric}\n:::\n"
        )
    return "\n".join(parts)
