"""The bandit's work unit in PyTorch, as a careful user would write it: for one run, and for many runs by `vmap`.

A unit is one gradient step of on-policy IPO on 10 prompts x 10 responses x 10 tokens, all pairs of a prompt, with Adam,
and then the evaluation: 100 responses sampled token by token, exact expected reward and KL(policy ‖ reference) along
them. Fused attention, no gradient where none is needed, no cache (a cache does not pay at ten tokens).
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import reference_probs, token_rewards

LAYERS, HEADS, WIDTH, V, T, P, N = 3, 3, 48, 100, 10, 10, 10
LEARNING_RATE, TARGET_MARGIN = 1e-3, 10.0


def fused_attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def plain_attention(q, k, v):
    """The same written out: the fused kernel of a CPU has no rule for `vmap`, which then runs it run by run."""
    length = q.shape[-2]
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(later, -torch.inf)
    return scores.softmax(-1) @ v


class Block(nn.Module):
    def __init__(self, width, attention):
        super().__init__()
        self.attention = attention
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (
            a.view(batch, length, HEADS, -1).transpose(1, 2)
            for a in self.qkv(self.norm_attention(x)).split(width, dim=-1)
        )
        mixed = self.attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.contract(F.gelu(self.expand(self.norm_mlp(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, width=WIDTH, attention=fused_attention):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(V, width), nn.Embedding(T, width)
        self.blocks = nn.Sequential(*(Block(width, attention) for _ in range(LAYERS)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, V, bias=False)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(x)))


class Data(NamedTuple):
    """What a unit reads beside the policy: sampled responses `[100, 11]`, which pairs, π_ref's log-probs of them."""

    tokens: torch.Tensor
    chosen: torch.Tensor
    reference_log_probs: torch.Tensor


def sample(policy, prompts, uniforms):
    """Responses and the distributions they were drawn from; one uniform a token, `[T, B]`."""
    tokens, distributions = prompts[:, None], []
    for t in range(T):
        log_probs = F.log_softmax(policy(tokens)[:, -1], dim=-1)
        cumulative = log_probs.exp().cumsum(-1)
        drawn = (cumulative <= uniforms[t][:, None] * cumulative[:, -1:]).sum(-1, keepdim=True)
        distributions.append(log_probs)
        tokens = torch.cat([tokens, drawn.clamp(max=V - 1)], dim=1)
    return tokens, torch.stack(distributions, dim=1)


def problem():
    """Rewards of tokens, and log π_ref."""
    recipe = Experiment().reference
    reference = torch.tensor(np.log(reference_probs(recipe, "clip", V)), dtype=torch.float32)
    return torch.tensor(token_rewards("R1", V), dtype=torch.float32), reference


@torch.no_grad()
def collect(policy, rewards, reference):
    """One collection: responses to random prompts, and which of a prompt's are preferred."""
    prompts = torch.randint(V, (P,)).repeat_interleave(N)
    tokens, _ = sample(policy, prompts, torch.rand(T, P * N))
    gold = rewards[tokens[:, 1:]].mean(-1).view(P, N)
    return Data(tokens, gold[:, :, None] > gold[:, None, :], reference[tokens[:, 1:]].sum(-1))


def ipo_loss(policy, data):
    """Mean over pairs of (margin - 1/(2τ))²."""
    scored = F.log_softmax(policy(data.tokens[:, :-1]), dim=-1)
    log_probs = scored.gather(-1, data.tokens[:, 1:, None])[..., 0].sum(-1)
    ratios = (log_probs - data.reference_log_probs).view(P, N)
    losses = (ratios[:, :, None] - ratios[:, None, :] - TARGET_MARGIN) ** 2
    return (losses * data.chosen).sum() / data.chosen.sum()


def evaluation(policy, rewards, reference, uniforms):
    """Expected reward and KL(policy ‖ reference), exact along sampled prefixes."""
    _, distributions = sample(policy, torch.arange(V), uniforms)
    probs = distributions.exp()
    return (probs @ rewards).mean(), (probs * (distributions - reference)).sum(-1).sum(-1).mean()


def one_run(width=WIDTH):
    """`(step, evaluate)` of one run with `torch.optim.Adam`."""
    policy = GPT(width)
    optimizer = torch.optim.Adam(policy.parameters(), lr=LEARNING_RATE)
    rewards, reference = problem()
    data = collect(policy, rewards, reference)

    def step():
        optimizer.zero_grad(set_to_none=True)
        ipo_loss(policy, data).backward()
        optimizer.step()

    @torch.no_grad()
    def evaluate():
        return [float(value) for value in evaluation(policy, rewards, reference, torch.rand(T, V))]

    return step, evaluate


def many_runs(runs, width=WIDTH, compiled=False):
    """A unit of all runs at once: `torch.func.vmap` over stacked parameters, optionally through `torch.compile`."""
    models = [GPT(width, plain_attention) for _ in range(runs)]
    params, _ = torch.func.stack_module_state(models)
    params = {name: value.detach() for name, value in params.items()}
    skeleton = GPT(width, plain_attention).to("meta")
    rewards, reference = problem()
    data = Data(
        *(torch.stack(leaves) for leaves in zip(*(collect(m, rewards, reference) for m in models), strict=True))
    )
    first = {name: torch.zeros_like(value) for name, value in params.items()}
    second = {name: torch.zeros_like(value) for name, value in params.items()}

    def unit(params, first, second, data, uniforms, count):
        call = lambda values: lambda tokens: torch.func.functional_call(skeleton, values, (tokens,))
        gradient = torch.func.grad(lambda values: ipo_loss(call(values), Data(*data)))(params)
        first = {n: 0.9 * first[n] + 0.1 * g for n, g in gradient.items()}
        second = {n: 0.999 * second[n] + 0.001 * g * g for n, g in gradient.items()}
        scale = LEARNING_RATE * (1 - 0.999**count).sqrt() / (1 - 0.9**count)
        params = {n: p - scale * first[n] / (second[n].sqrt() + 1e-8) for n, p in params.items()}
        return params, first, second, evaluation(call(params), rewards, reference, uniforms)

    batched = torch.func.vmap(unit, in_dims=(0, 0, 0, 0, 0, None))
    if compiled:
        batched = torch.compile(batched)
    state = [params, first, second, 0]

    @torch.no_grad()
    def turn():
        state[3] += 1
        count = torch.tensor(float(state[3]))
        *state[:3], measured = batched(*state[:3], tuple(data), torch.rand(runs, T, V), count)
        return [value.tolist() for value in measured]

    return turn
