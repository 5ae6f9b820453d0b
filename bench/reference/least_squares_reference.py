"""Least-squares compensation in float64, without torch, from numpy alone.

usage: least_squares_reference.py MODEL_DIR TEXT_DIR OUT.json

Llama architecture, plain rotary embedding, tied embeddings, no biases. Covariances are taken from the centred inputs of
o_proj and down_proj themselves; the fit is numpy.linalg.solve of
W' = (W C[:, K] + r W[:, K]) (C[K, K] + r I)^-1, rounded to the precision of the weights, bias = W m - W' m_K;
r = rho / (1 - rho) mean(diag C) with rho by oracle approximating shrinkage (Chen et al. 2010, eq. 23).
"""
import json, sys
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

model_dir, text_dir, out = sys.argv[1:4]
T, CALIBRATION_WINDOWS, WINDOWS = 256, 8, 3
config = json.load(open(f"{model_dir}/config.json"))
stored = load_file(f"{model_dir}/model.safetensors")
weight = lambda name: stored[name].astype(np.float64)
layers, hidden = config["num_hidden_layers"], config["hidden_size"]
heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
dim, rep, channels = config.get("head_dim") or hidden // heads, heads // groups, config["intermediate_size"]
theta = config.get("rope_parameters", config).get("rope_theta", 10000.0)
single = np.float32
frequencies = 1 / single(theta) ** (np.arange(0, dim, 2, dtype=single) / single(dim))
angles = np.outer(np.arange(T, dtype=single), frequencies).astype(np.float64)
cos, sin, mask = np.cos(angles), np.sin(angles), np.triu(np.full((T, T), -np.inf), 1)
output_name = lambda m: f"model.layers.{m // 2}." + ("mlp.down_proj.weight" if m % 2 else "self_attn.o_proj.weight")


def norm(x, name):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weight(name)


def rotate(x):
    a, b = x[..., : dim // 2], x[..., dim // 2 :]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def run(ids, project):
    """`project(m, x)` gives the output of module m from the inputs x [T, inputs] of its o_proj or down_proj."""
    x = weight("model.embed_tokens.weight")[ids]
    for l in range(layers):
        p = f"model.layers.{l}."
        n = norm(x, p + "input_layernorm.weight")
        split = lambda name, count: (n @ weight(p + f"self_attn.{name}_proj.weight").T).reshape(T, count, dim).swapaxes(0, 1)
        q, k, v = rotate(split("q", heads)), rotate(split("k", groups)), split("v", groups)
        mixed = np.zeros((T, heads * dim))
        for h in range(heads):
            s = q[h] @ k[h // rep].T / np.sqrt(dim) + mask
            s = np.exp(s - s.max(-1, keepdims=True))
            mixed[:, h * dim : (h + 1) * dim] = s / s.sum(-1, keepdims=True) @ v[h // rep]
        x = x + project(2 * l, mixed)
        n = norm(x, p + "post_attention_layernorm.weight")
        gate, up = (n @ weight(p + f"mlp.{name}_proj.weight").T for name in ("gate", "up"))
        x = x + project(2 * l + 1, gate / (1 + np.exp(-gate)) * up)
    return norm(x, "model.norm.weight") @ weight("model.embed_tokens.weight").T


def window_nll(ids, project):
    logits = run(ids, project)
    top = logits.max(-1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(-1))
    return float((total[:-1] - logits[np.arange(T - 1), ids[1:]]).sum())


def covariance_and_ridge(x):
    centred = x - x.mean(0)
    n, p = x.shape
    c = centred.T @ centred / n
    squares, trace = (c * c).sum(), np.trace(c)
    rho = ((1 - 2 / p) * squares + trace**2) / ((n + 1 - 2 / p) * (squares - trace**2 / p))
    return c, rho / (1 - rho) * trace / p


def fit(m, x, kept):
    w, mean = weight(output_name(m)), x.mean(0)
    c, r = covariance_and_ridge(x)
    a = c[np.ix_(kept, kept)] + r * np.eye(len(kept))
    fitted = np.linalg.solve(a, (w @ c[:, kept] + r * w[:, kept]).T).T if len(kept) else w[:, kept]
    if len(kept) < w.shape[1]:
        fitted = fitted.astype(stored[output_name(m)].dtype).astype(np.float64)
    return fitted, w @ mean - fitted @ mean[kept]


tokenizer = Tokenizer.from_file(f"{model_dir}/tokenizer.json")
read = lambda name: np.array(tokenizer.encode(open(f"{text_dir}/{name}.txt", encoding="utf8").read(), add_special_tokens=False).ids)
calibration, test = read("calibration"), read("test")
inputs = [[] for _ in range(2 * layers)]


def record(m, x):
    inputs[m].append(x)
    return x @ weight(output_name(m)).T


for w in range(CALIBRATION_WINDOWS):
    run(calibration[w * T : (w + 1) * T], record)
inputs = [np.concatenate(x) for x in inputs]
probe = np.random.default_rng(5).standard_normal(max(channels, heads * dim)).round(6)
rng = np.random.default_rng(11)
cases = []
for name in ("half", "uneven"):
    keep = []
    for m in range(2 * layers):
        units = channels if m % 2 else groups
        count = units // 2 if name == "half" else int(rng.integers(0, units + 1))
        keep.append(sorted(rng.choice(units, max(count, 1) if name == "half" else count, replace=False).tolist()))
    spread = lambda m: [u * rep * dim + i for u in keep[m] for i in range(rep * dim)] if m % 2 == 0 else keep[m]
    fits = [(np.array(spread(m), dtype=int), *fit(m, inputs[m], np.array(spread(m), dtype=int))) for m in range(2 * layers)]
    project = lambda m, x: x[:, fits[m][0]] @ fits[m][1].T + fits[m][2]
    nll = [window_nll(test[w * T : (w + 1) * T], project) for w in range(WINDOWS)]
    cases.append({"name": name, "keptIndices": keep, "nll": nll})
    print(name, float(np.exp(sum(nll) / (WINDOWS * (T - 1)))))
# v^T (sum x x^T) v of a fixed v tells one Gram matrix from another in one number
gram = [float(((x @ probe[: x.shape[1]]) ** 2).sum()) for x in inputs]
settings = {"windowLength": T, "calibrationWindows": CALIBRATION_WINDOWS, "windows": WINDOWS}
json.dump({**settings, "probe": probe.tolist(), "gramForms": gram, "cases": cases}, open(out, "w"))
