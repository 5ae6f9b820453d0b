"""The `magnitude` cases of a text reference in float64, without torch, from numpy alone.

usage: float64_reference.py MODEL_DIR TEXT_DIR REFERENCE.json OUT.json

Where a policy breaks a model (perplexities of millions), float32 arithmetic itself moves the perplexity by more than
2e-5, that of transformers too. This gives the number that both approximate. Needs no calibration: `magnitude` ranks
by the weights. Llama architecture, plain rotary embedding, tied embeddings. Angles of the rotary embedding are float32,
as they are in transformers whatever the dtype of the model.
"""
import json, sys
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

model_dir, text_dir, reference_file, out = sys.argv[1:5]
config = json.load(open(f"{model_dir}/config.json"))
reference = json.load(open(reference_file))
stored = load_file(f"{model_dir}/model.safetensors")
weight = lambda name: stored[name].astype(np.float64)
layers, hidden = config["num_hidden_layers"], config["hidden_size"]
heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
dim, rep, T = config.get("head_dim") or hidden // heads, heads // groups, reference["windowLength"]
theta = config.get("rope_parameters", config).get("rope_theta", 10000.0)
single = np.float32
frequencies = 1 / single(theta) ** (np.arange(0, dim, 2, dtype=single) / single(dim))
angles = np.outer(np.arange(T, dtype=single), frequencies).astype(np.float64)
cos, sin, hidden_from = np.cos(angles), np.sin(angles), np.triu(np.full((T, T), -np.inf), 1)


def norm(x, name):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weight(name)


def rotate(x):
    a, b = x[..., : dim // 2], x[..., dim // 2 :]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def top(importance, count):
    return np.sort(np.argsort(-importance, kind="stable")[:count])


def window_nll(ids, keep):
    embedding = weight("model.embed_tokens.weight")
    x = embedding[ids]
    for l in range(layers):
        p = f"model.layers.{l}."
        o, down = weight(p + "self_attn.o_proj.weight"), weight(p + "mlp.down_proj.weight")
        kept_groups = top(np.sqrt((o * o).sum(0)).reshape(groups, -1).sum(-1), keep[l]["kvGroups"])
        kept = top(np.sqrt((down * down).sum(0)), keep[l]["ffnChannels"])
        n = norm(x, p + "input_layernorm.weight")
        split = lambda name, count: (n @ weight(p + f"self_attn.{name}_proj.weight").T).reshape(T, count, dim).swapaxes(0, 1)
        q, k, v = rotate(split("q", heads)), rotate(split("k", groups)), split("v", groups)
        mixed = np.zeros((T, heads * dim))
        for h in (g * rep + r for g in kept_groups for r in range(rep)):
            s = q[h] @ k[h // rep].T / np.sqrt(dim) + hidden_from
            s = np.exp(s - s.max(-1, keepdims=True))
            mixed[:, h * dim : (h + 1) * dim] = s / s.sum(-1, keepdims=True) @ v[h // rep]
        x = x + mixed @ o.T
        n = norm(x, p + "post_attention_layernorm.weight")
        gate, up = (n @ weight(p + f"mlp.{name}_proj.weight")[kept].T for name in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ down[:, kept].T
    logits = norm(x, "model.norm.weight") @ embedding.T
    top_logit = logits.max(-1)
    total = top_logit + np.log(np.exp(logits - top_logit[:, None]).sum(-1))
    return float((total[:-1] - logits[np.arange(T - 1), ids[1:]]).sum())


tokenizer, cases = Tokenizer.from_file(f"{model_dir}/tokenizer.json"), []
for case in (case for case in reference["cases"] if case["metric"] == "magnitude"):
    text = open(f"{text_dir}/{case['split']}.txt", encoding="utf8").read()
    ids = np.array(tokenizer.encode(text, add_special_tokens=False).ids)
    nll = [window_nll(ids[w * T : (w + 1) * T], case["keep"]) for w in range(case["windows"])]
    perplexity = float(np.exp(sum(nll) / (len(nll) * (T - 1))))
    cases.append({"name": case["name"], "metric": "magnitude", "nll": nll, "perplexity": perplexity})
    print(case["name"], perplexity, "float32 transformers", case["perplexity"], case["perplexity"] / perplexity - 1)
json.dump({"model": reference["model"], "cases": cases}, open(out, "w"))
