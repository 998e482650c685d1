"""Theorem E.5, the lemmas and the closed forms: exact criteria, counter-examples to the digit, and the table."""

import numpy as np
import pytest

from modeseek.bandit.categorical import closed_forms, criteria, lemmas
from modeseek.bandit.categorical.dynamics import trajectory_numpy
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.problem import Knobs, from_rewards
from modeseek.bandit.categorical.search import simplex_points
from modeseek.bandit.categorical.statements import STATEMENTS
from modeseek.bandit.categorical.theorem_statements import _criterion, one_step_gaps
from modeseek.bandit.categorical.theory import examine, table


def test_means_agree_with_their_definitions_and_order():
    a, b = np.array([0.5, 0.3, 1e-300]), np.array([0.1, 0.2, 0.9])
    np.testing.assert_allclose(closed_forms.logarithmic_mean(a, b), (a - b) / (np.log(a) - np.log(b)), rtol=1e-12)
    powers = np.exp((a * np.log(a) - b * np.log(b)) / (a - b) - 1)
    np.testing.assert_allclose(closed_forms.identric_mean(a, b), powers, rtol=1e-12)
    geometric, arithmetic = np.sqrt(a * b), (a + b) / 2
    logarithmic, identric = closed_forms.logarithmic_mean(a, b), closed_forms.identric_mean(a, b)
    assert (geometric < logarithmic).all() and (logarithmic < identric).all() and (identric < arithmetic).all()


@pytest.mark.parametrize("mean", [closed_forms.logarithmic_mean, closed_forms.identric_mean])
def test_means_of_equals_and_near_equals(mean):
    assert mean(0.3, 0.3) == pytest.approx(0.3, abs=1e-16)
    assert mean(0.3, 0.3 * (1 + 1e-12)) == pytest.approx(0.3, rel=1e-11)


def test_case_1_counter_example_of_ten_categories():
    # K = 10, uniform p, q1 = .5, q2 = .1: L = .4 / ln 5 = .2485 > .1, so reverse KL is the *less* aggressive one.
    p, q = np.full(10, 0.1), np.array([0.5, 0.1, *[0.05] * 8])
    verdict = criteria.inspect_pair(p, q, 1, 0)
    assert verdict.case == "case 1"
    assert verdict.threshold == pytest.approx(0.4 / np.log(5))
    assert round(verdict.threshold, 4) == 0.2485
    assert not verdict.reverse_larger
    # Δr - Δf = (q1 - q2)(p/L - 1)
    assert verdict.reverse - verdict.forward == pytest.approx(0.4 * (0.1 / verdict.threshold - 1))


def test_case_3_counter_example():
    p, q = np.array([0.6, 0.399, 0.001]), np.array([0.01, 0.01, 0.98])
    verdict = criteria.inspect_pair(p, q, 0, 1)
    assert verdict.case == "cases 2 and 3"
    assert q[0] / p[1] == pytest.approx(0.025, abs=1e-4)
    assert verdict.reverse_larger  # the paper's case 3 says it is not
    assert q[0] > verdict.threshold


def test_equal_gap_prefers_the_larger():
    verdict = criteria.inspect_pair(np.array([0.3, 0.1, 0.6]), np.array([0.4, 0.2, 0.4]), 1, 0)
    assert verdict.case == "equal gap"
    assert verdict.forward == pytest.approx(0)
    assert verdict.reverse > 0
    falling = criteria.inspect_pair(np.array([0.3, 0.15, 0.55]), np.array([0.2, 0.05, 0.75]), 0, 1)
    assert falling.reverse > 0


def test_lemma_e4_is_one_step_of_the_simulator():
    rng = np.random.default_rng(0)
    p, q = simplex_points(rng, 200, 8), simplex_points(rng, 200, 8)
    for eta in (0.01, 1.0, 5.0):  # exact for every step size, not only small ones
        for mine, simulated in zip(criteria.gaps(p, q), one_step_gaps(p, q, eta), strict=True):
            np.testing.assert_allclose(mine, simulated, atol=1e-12 / eta + 1e-13)


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.name)
def test_every_statement_is_as_expected(statement):
    finding = examine(statement, 7000, seed=1)
    assert finding.tried > 4000
    assert (finding.held == finding.tried) == statement.expected
    assert bool(finding.counter_example) != statement.expected


def test_an_instance_is_counted_where_the_claim_is_false():
    # The table can fail: case 1's criterion with the arithmetic mean in place of the logarithmic one is refuted.
    exact = next(s for s in STATEMENTS if s.name == "E.5 case 1, exact")
    wrong = exact._replace(check=_criterion(lambda p, q: p[..., 0] > 0.5 * (q[..., 0] + q[..., 1])))
    finding = examine(wrong, 7000, seed=1)
    assert finding.held < finding.tried
    assert finding.verdict == "NOT CONFIRMED"


def test_the_share_of_case_1_failures_on_uniform_targets():
    # About 40 % of random instances fail (p and q uniform on the simplex, K = 3..10).
    rng = np.random.default_rng(3)
    failed = []
    for k in range(3, 11):
        p, q = rng.dirichlet(np.ones(k), 4000), rng.dirichlet(np.ones(k), 4000)
        p[:, :2], q[:, :2] = p[:, :2].mean(-1, keepdims=True), -np.sort(-q[:, :2])
        failed.append(~criteria.case_1(p, q))
    assert 0.33 < np.mean(failed) < 0.5


def test_the_same_seed_gives_the_same_table():
    once, again = table(70, seed=4), table(70, seed=4)
    assert once == again
    with pytest.raises(ValueError, match="instances must be a whole number"):
        table(0)
    with pytest.raises(ValueError, match="seed must be"):
        table(70, seed=-1)


def test_alignment_is_the_dot_product_of_score_vectors():
    rng = np.random.default_rng(0)
    p = simplex_points(rng, 50, 6)
    chosen, rejected = rng.integers(6, size=50), rng.integers(6, size=50)
    scores = np.eye(6)
    expected = ((scores[chosen] - p) * (scores[rejected] - p)).sum(-1)
    np.testing.assert_allclose(lemmas.alignment(p, chosen, rejected), expected, atol=1e-14)


def test_the_wrong_sign_of_eq_6_fails_the_identity():
    rng = np.random.default_rng(0)
    p, reference = simplex_points(rng, 20, 5), simplex_points(rng, 20, 5)
    rewards, beta = rng.normal(size=(20, 5)), np.full(20, 0.5)
    assert lemmas.rl_identity(p, reference, rewards, beta).max() < 1e-12
    assert lemmas.rl_identity(p, reference, rewards, -beta).max() < 1e-12  # an identity in β …
    printed = -(p * rewards).sum(-1) - beta * criteria.reverse_divergence(p, reference)
    right = -(p * rewards).sum(-1) + beta * criteria.reverse_divergence(p, reference)
    assert np.abs(printed - right).min() > 1e-3  # … but not in the sign of one term


def test_dpo_moves_the_unseen_answer_along_its_closed_form():
    # Three answers, only y1 and y2 are compared: along the whole trajectory π₃ = p₃/(p₃ + p₁e^s + p₂e^-s).
    reference = np.array([0.1, 0.7, 0.2])
    problem = from_rewards(reference, [2.0, 0.0, 1.0], Knobs(beta=0.3), behavior=[0.5, 0.5, 0.0])
    path = trajectory_numpy(problem, np.log(reference), Settings(step_size=5.0), objective="offline_dpo", steps=300)
    ratios = path - np.log(reference)
    s = 0.5 * (ratios[:, 0] - ratios[:, 1])
    closed = closed_forms.unseen_mass(*reference, s)
    np.testing.assert_allclose(np.exp(path[:, 2]), closed, atol=1e-12)
    assert closed.max() == pytest.approx(closed_forms.unseen_peak(*reference), abs=2e-3)  # 0.2/(0.2 + 2√.07) = .274
    assert closed.max() > reference[2] > closed[-1]
    # KL-regularised RL gives it its due instead.
    due = closed_forms.regularised_mass(reference, np.array([2.0, 0.0, 1.0]), 0.3)
    np.testing.assert_allclose(due, np.exp(problem.log_target), atol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.5], [0.5, 0.5], 0, 0), "two different categories"),
        (([0.5, 0.5], [0.5, 0.5], 0, 2), "two different categories"),
        (([0.5, 0.5], [1.0, 0.0], 0, 1), "strictly positive"),
        (([0.5, 0.6], [0.5, 0.5], 0, 1), "sum to 1"),
        (([0.5, 0.5], [0.5, 0.3, 0.2], 0, 1), "2 categories"),
    ],
)
def test_the_pair_inspector_refuses_bad_input(arguments, message):
    p, q, first, second = arguments
    with pytest.raises(ValueError, match=message):
        criteria.inspect_pair(np.array(p), np.array(q), first, second)
