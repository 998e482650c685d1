"""The course: the notebooks in their order, what each needs and gives, and the lines at its head and foot.

`notebooks/build.py` puts these lines into the notebooks, `docs/notebooks.md` has them as a table (a test compares), and
`docs/decisions/0113-the-order-of-the-course.md` gives the reasons for the order.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Stop(NamedTuple):
    """A notebook of the course.

    Attributes:
        name: of its file, without an ending.
        title: as its first line has it.
        question: that it answers.
        minutes: to read it, predict, explore and do its exercises, for who has met such ideas before; `reading_time`
            says how they are estimated.
        needs: numbers of the notebooks whose words it uses.
        knows: what else it needs; empty if nothing.
        afterwards: what its reader can do, without giving a prediction away.
    """

    name: str
    title: str
    question: str
    minutes: int
    needs: tuple[str, ...]
    knows: str
    afterwards: str

    @property
    def number(self) -> str:
        """`07` of `07_kl_explorer`."""
        return self.name[:2]

    @property
    def link(self) -> str:
        """To it, from another notebook."""
        return f"[{self.number} {self.title}]({self.name}.ipynb)"


COURSE = (
    Stop(
        "00_start_here",
        "Which method, when?",
        "Which method, when? One recorded run, and whether everything is installed.",
        15,
        (),
        "nothing: what it does not explain, 01 does",
        "work an explorer, and say what this course is about",
    ),
    Stop(
        "01_first_steps",
        "First steps",
        "Preference, reward, KL, and six methods: what does each word mean?",
        50,
        (),
        "softmax and logarithm",
        "say in a sentence and an equation what each of six methods does, and on whose samples",
    ),
    Stop(
        "02_dpo_out_of_distribution",
        "DPO out of distribution",
        "Three answers, one comparison: what happens to the one never seen?",
        20,
        ("01",),
        "",
        "work out what a comparison does to an answer that it does not mention",
    ),
    Stop(
        "03_negative_gradient",
        "The negative gradient",
        "Push this answer down: who gets the mass?",
        20,
        ("01",),
        "",
        "tell, before a step, which answers gain when one is pushed down",
    ),
    Stop(
        "04_likelihood_displacement",
        "Likelihood displacement",
        "The loss says up; why does log π(y_w) fall?",
        25,
        ("01", "03"),
        "",
        "tell from three numbers, in a model of one table, which way a preferred response will go",
    ),
    Stop(
        "05_bandit_explorer",
        "A bandit in training",
        "What does training look like, token by token?",
        25,
        ("01",),
        "",
        "read a training run token by token, and train one of your own",
    ),
    Stop(
        "06_on_policy",
        "A thousand samples",
        "You may draw 1 000 samples: how often do you refresh the policy?",
        25,
        ("01",),
        "",
        "weigh fresh samples against used ones",
    ),
    Stop(
        "07_kl_explorer",
        "Forward against reverse KL",
        "Forward and reverse KL have the same optimum: who gets there first, and through what?",
        20,
        ("01",),
        "",
        "say where each of the two divergences pushes, and check the paper's theorem on an example",
    ),
    Stop(
        "08_phase_diagram",
        "When does the winner change?",
        "Slide the reward's peak away from the reference: when does the winner change?",
        25,
        ("05", "06"),
        "",
        "read a map of winners, ties included",
    ),
    Stop(
        "09_reproduce_paper",
        "The paper, reproduced",
        "Every bandit figure and Table 3: which claims stand, and what does that depend on?",
        25,
        ("05", "06"),
        "",
        "judge a claim by an interval, and say under which convention it stands",
    ),
    Stop(
        "10_llm_length",
        "The bandit's lessons, on language models",
        "Does the bandit's story survive in a language model?",
        25,
        ("03", "06", "09"),
        "for its last part a language model's packages",
        "say which of the bandit's lessons were tried on a language model, and train a small one yourself",
    ),
    Stop(
        "11_make_your_own",
        "Make your own",
        "Draw a reward, write a method, spend a budget: what do yours do that you did not expect?",
        25,
        ("01", "05"),
        "a little Python",
        "try a reward and a method of your own, trust its gradient, and plan what samples are spent on",
    ),
)

PATHS = {30: ("00", "02"), 90: ("00", "01", "03", "06")}
"""Minutes → the notebooks that they suffice for, without exercises."""


def stop(number: str) -> Stop:
    """The notebook of that number, such as `07`.

    Raises:
        KeyError: there is none.
    """
    return {each.number: each for each in COURSE}[number]


def way(name: str) -> str:
    """Links to the notebook before and to the one after."""
    at = [each.name for each in COURSE].index(name)
    before = f"← {COURSE[at - 1].link}" if at else ""
    after = f"{COURSE[at + 1].link} →" if at + 1 < len(COURSE) else ""
    return " · ".join(each for each in (before, after) if each)


def head(name: str) -> str:
    """Where a notebook stands, what it takes and what it gives."""
    here = {each.name: each for each in COURSE}[name]
    links = [f"[{number}]({stop(number).name}.ipynb)" for number in here.needs]
    needs = ", ".join([*links, *([here.knows] if here.knows else [])])
    minutes = f"{here.minutes} minutes, twice that if it is all new to you"
    return f"{way(name)}\n\n*{minutes} · needs {needs} · afterwards you can {here.afterwards}.*"


READING = 200
"""Words a minute."""
EACH = {"prediction": 1, "explorer": 3, "exercise": 3}
"""Minutes."""


def reading_time(words: int, counted: Mapping[str, int]) -> float:
    """Minutes that a notebook takes whoever has met such ideas before: a rule of thumb, no reader has been timed.

    One to whom all was new guessed two to almost three times as many, of two notebooks.

    Args:
        words: of its text.
        counted: how many predictions, explorers and exercises it has, by their names in `EACH`.
    """
    return words / READING + sum(EACH[name] * count for name, count in counted.items())
