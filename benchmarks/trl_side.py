"""TRL's side of `llm_trl.py`: a trainer on the same model, data and settings. It runs in an environment of its own.

    python trl_side.py FOLDER dpo SETTINGS

FOLDER holds `model/` (weights and tokenizer) and `pairs.jsonl`; SETTINGS is JSON. What is measured is printed as JSON.
"""

import itertools
import json
import os
import resource
import sys
import time
from pathlib import Path

import torch
import transformers
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()


class Watch(TrainerCallback):
    """When each gradient step ends, and the loss of each."""

    def __init__(self):
        self.times, self.losses = [], []

    def on_train_begin(self, *_, **__):
        self.times.append(time.perf_counter())

    def on_step_end(self, *_, **__):
        self.times.append(time.perf_counter())

    def on_log(self, args, state, control, logs=None, **_):
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])


def main():
    folder, work, how = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    load = lambda: AutoModelForCausalLM.from_pretrained(
        f"{folder}/model", dtype=torch.float32, attn_implementation="sdpa"
    )
    tokenizer = AutoTokenizer.from_pretrained(f"{folder}/model")
    rows = [json.loads(line) for line in Path(folder, "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    common = {
        "output_dir": f"{folder}/trl",
        "max_steps": how["steps"],
        "learning_rate": how["learning_rate"],
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": 0,
        "beta": how["beta"],
    }
    prompts = Dataset.from_list([{"prompt": row["prompt"]} for row in rows])
    shorter = lambda completions, **_: [-float(len(text)) for text in completions]
    watch = Watch()
    arguments = {"model": load(), "processing_class": tokenizer, "callbacks": [watch]}
    if work == "dpo":
        pairs = Dataset.from_list([{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in rows])
        config = trl.DPOConfig(per_device_train_batch_size=how["prompts"], max_length=how["length"], **common)
        trainer = trl.DPOTrainer(ref_model=load(), args=config, train_dataset=pairs, **arguments)
    elif work == "online-dpo":
        from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

        config = OnlineDPOConfig(
            per_device_train_batch_size=how["prompts"],
            max_new_tokens=how["new_tokens"],
            temperature=1.0,
            max_length=how["length"],
            **common,
        )
        trainer = OnlineDPOTrainer(
            ref_model=load(), reward_funcs=shorter, args=config, train_dataset=prompts, **arguments
        )
    else:
        config = trl.RLOOConfig(
            per_device_train_batch_size=how["prompts"] * how["responses"],
            num_generations=how["responses"],
            max_completion_length=how["new_tokens"],
            temperature=1.0,
            **common,
        )
        trainer = trl.RLOOTrainer(reward_funcs=shorter, args=config, train_dataset=prompts, **arguments)
    trainer.train()
    seconds = [b - a for a, b in itertools.pairwise(watch.times)]
    found = {
        "seconds": seconds,
        "losses": watch.losses[: how["steps"]],
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": f"trl {trl.__version__}, torch {torch.__version__}, transformers {transformers.__version__}",
    }
    print("RESULT " + json.dumps(found))


if __name__ == "__main__":
    main()
