"""Measures windows with Hugging Face transformers on torch CPU, for bench/evaluation-peers.mjs.

    python3 -m venv venv && venv/bin/pip install torch==2.13.0 transformers numpy
    venv/bin/python run_transformers.py FOLDER THREADS

Standard input, a JSON object a line: { ids, windowLength }. Standard output, one a line: { seconds, cpuSeconds, nll }, with the
negative log-likelihood of each window. float32, scaled dot-product attention, all windows in one batch.
"""
import json, os, sys, time
os.environ['HF_HUB_OFFLINE'] = '1'
import torch
from transformers import AutoModelForCausalLM

folder, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation='sdpa').eval()
print(json.dumps({'ready': True}), flush=True)

for line in sys.stdin:
    request = json.loads(line)
    windows = torch.tensor(request['ids']).view(-1, request['windowLength'])
    started, started_cpu = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        logits = model(windows, use_cache=False).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), windows[:, 1:].flatten(), reduction='none').view(len(windows), -1)
        nll = losses.double().sum(1).tolist()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    print(json.dumps({'seconds': seconds, 'cpuSeconds': cpu_seconds, 'nll': nll}), flush=True)
