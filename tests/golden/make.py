"""Write the golden checkpoints and what transformers' torch modules make of them: python tests/golden/make.py [CASE …].

Weights are bfloat16, outputs were computed in float32 from them. Made with torch 2.13.0 and transformers 5.23.0.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[1]))

from llm_cases import AUTO, GOLDEN, golden, padded, torch_model, torch_outputs

for case in sys.argv[1:] or GOLDEN:
    head = GOLDEN[case]
    torch_model(case, head).to(torch.bfloat16).save_pretrained(golden(case))
    # Opened anew: the conversion above also rounded the rotary frequencies, which no file holds.
    model = getattr(transformers, AUTO[head]).from_pretrained(golden(case), dtype=torch.float32).eval()
    np.save(golden(case) / "outputs.npy", torch_outputs(model, padded()))
