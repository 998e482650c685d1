"""The work unit of `modeseek bench` beside a vectorised PyTorch program for the same step, in one run.

    python -m pip install torch==2.13.0 && python benchmarks/against_torch.py

One gradient step of on-policy IPO (10 prompts x 10 responses x 10 tokens, all pairs of a prompt), Adam, then the
evaluation: 100 responses sampled token by token, exact expected reward and KL(policy ‖ reference) along them. PyTorch
runs it as a careful user would write it: batched, fused attention, no gradient where none is needed, no cache (a cache
does not pay at ten tokens; both are timed). Each side is measured alone, one after the other.
"""

import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from modeseek.bandit.commands.bench import measure
from modeseek.bandit.simulator.devices import use_host_devices
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import reference_probs, token_rewards

LAYERS, HEADS, WIDTH, V, T = 3, 3, 48, 100, 10


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.expand, self.contract = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = (
            a.view(batch, length, HEADS, -1).transpose(1, 2)
            for a in self.qkv(self.norm_attention(x)).split(WIDTH, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.contract(F.gelu(self.expand(self.norm_mlp(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(V, WIDTH), nn.Embedding(T, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, V, bias=False)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(x)))


@torch.no_grad()
def sample(policy, prompts):
    tokens, distributions = prompts[:, None], []
    for _ in range(T):
        log_probs = F.log_softmax(policy(tokens)[:, -1], dim=-1)
        distributions.append(log_probs)
        tokens = torch.cat([tokens, torch.multinomial(log_probs.exp(), 1)], dim=1)
    return tokens, torch.stack(distributions, dim=1)


def torch_unit(threads, repeats=30):
    """Median milliseconds of the gradient step, and of step and evaluation."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    policy = GPT()
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    experiment = Experiment()
    reference = torch.tensor(np.log(reference_probs(experiment.reference, "clip", V)), dtype=torch.float32)
    rewards = torch.tensor(token_rewards("R1", V), dtype=torch.float32)
    data, _ = sample(policy, torch.randint(V, (10,)).repeat_interleave(10))
    gold = rewards[data[:, 1:]].mean(-1).view(10, 10)
    chosen = gold[:, :, None] > gold[:, None, :]
    reference_log_probs = reference[data[:, 1:]].sum(-1)
    steps, units = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        log_probs = F.log_softmax(policy(data[:, :-1]), dim=-1).gather(-1, data[:, 1:, None])[..., 0].sum(-1)
        ratios = (log_probs - reference_log_probs).view(10, 10)
        losses = (ratios[:, :, None] - ratios[:, None, :] - 10.0) ** 2
        losses[chosen].mean().backward()
        optimizer.step()
        steps.append(time.perf_counter() - start)
        _, distributions = sample(policy, torch.arange(V))
        probs = distributions.exp()
        float((probs @ rewards).mean()), float((probs * (distributions - reference)).sum(-1).sum(-1).mean())
        units.append(time.perf_counter() - start)
    return statistics.median(steps[5:]) * 1e3, statistics.median(units[5:]) * 1e3


def main():
    print(f"torch {torch.__version__}")
    for threads in (1, 2):
        step, unit = torch_unit(threads)
        print(f"PyTorch, {threads} thread(s): gradient step {step:6.1f} ms, with evaluation {unit:6.1f} ms")
    use_host_devices()
    rows, _ = measure(20)
    for row in rows:
        print(f"modeseek: {row.name:60s} {row.median:6.1f} ms")


if __name__ == "__main__":
    main()
