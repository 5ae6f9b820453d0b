"""Load pruned models outside Espalier and print their perplexity: a Hugging Face folder with transformers (float32),
an ONNX file with Python's onnxruntime. Also checks the ONNX model and that it uses standard operators alone.

    python3 -m venv venv && venv/bin/pip install torch==2.13.0 transformers tokenizers numpy onnx onnxruntime
    venv/bin/python check_pruned.py FOLDER_OR_ONNX TEXT_OR_IDS.json WINDOW WINDOWS

The text is tokenised by the tokenizer.json of the folder; ids are a JSON array.
"""
import json, math, pathlib, sys
import numpy as np


def windows_of(source, folder, length, count):
    if source.suffix == '.json':
        ids = json.loads(source.read_text())
    else:
        from tokenizers import Tokenizer
        ids = Tokenizer.from_file(str(folder / 'tokenizer.json')).encode(source.read_text(), add_special_tokens=False).ids
    return [np.array(ids[i * length:(i + 1) * length], dtype=np.int64)[None] for i in range(count)]


def transformers_logits(folder):
    import torch
    from transformers import AutoModelForCausalLM
    model, loading = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation='eager', output_loading_info=True)
    problems = {k: v for k, v in loading.items() if v}
    if problems:
        raise SystemExit(f'transformers did not take every tensor: {problems}')
    model.eval()
    with torch.no_grad():
        return lambda x: model(torch.from_numpy(x)).logits[0].detach().numpy()


def onnx_logits(path):
    import onnx, onnxruntime
    onnx.checker.check_model(str(path), full_check=True)
    domains = {o.domain for o in onnx.load(str(path), load_external_data=False).opset_import}
    if domains != {''}:
        raise SystemExit(f'operators beyond the standard: {domains}')
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return lambda x: session.run(['logits'], {'input_ids': x})[0][0]


def negative_log_likelihood(logits, ids):
    x = logits.astype(np.float64)[:-1]
    top = x.max(-1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(x - top).sum(-1))
    return float((log_sum - x[np.arange(len(x)), ids[0, 1:]]).sum())


def main(target, source, length, count):
    target = pathlib.Path(target)
    run = onnx_logits(target) if target.suffix == '.onnx' else transformers_logits(target)
    folder = target.parent if target.suffix == '.onnx' else target
    nll = [negative_log_likelihood(run(w), w) for w in windows_of(pathlib.Path(source), folder, length, count)]
    print(json.dumps({'perplexity': math.exp(sum(nll) / (count * (length - 1))), 'nll': nll}))


if __name__ == '__main__':
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
