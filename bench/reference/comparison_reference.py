"""KL divergence from the dense model and top-1 agreement with it, of the tiny models under the policies of their
reference files: transformers wholly in float64.
usage: comparison_reference.py MODELS REFERENCE OUT.json"""
import json, math, os, sys, torch
from reference import Policy, bias, calibrate
from transformers import AutoModelForCausalLM

models, reference, out = sys.argv[1:4]


@torch.no_grad()
def log_probabilities(model, ids, T):
    """[windows, T - 1, vocabulary], of the tokens that are predicted"""
    return model(torch.tensor(ids).reshape(-1, T)).logits[:, :-1].log_softmax(-1)


found = {}
for name in sorted(os.listdir(models)):
    r = json.load(open(f'{reference}/{name}.json'))
    T = r['windowLength']
    model = AutoModelForCausalLM.from_pretrained(f'{models}/{name}', attn_implementation='eager', dtype=torch.float64).eval()
    # importance and biases as in reference.py; hooks multiply by float32 masks, which float64 holds exactly
    cal = calibrate(model, r['calibrationIds'], T, len(r['calibrationIds']) // T)
    ids = r['ids'][:len(r['cases'][0]['nll']) * T]
    p = log_probabilities(model, ids, T)
    found[name] = []
    for case in r['cases']:
        biases = (None, None)
        if case['compensation'] == 'mean':
            biases = [[b.double() for b in kind] for kind in bias(model, cal, case['keepGroups'], case['keepChannels'])]
        policy = Policy(model, case['keepGroups'], case['keepChannels'], *biases)
        q = log_probabilities(model, ids, T)
        policy.remove()
        # how far the two largest are apart, over all tokens: a tie within rounding would make the share ambiguous
        margin = min((x.topk(2).values[..., 0] - x.topk(2).values[..., 1]).min().item() for x in (p, q))
        found[name].append({
            'name': case['name'], 'compensation': case['compensation'],
            'klDivergence': (p.exp() * (p - q)).sum(-1).mean().item(),
            'top1Agreement': (p.argmax(-1) == q.argmax(-1)).double().mean().item(),
            'smallestMargin': margin,
        })
    print(name, [(round(c['klDivergence'], 4), round(c['top1Agreement'], 3), f"{c['smallestMargin']:.1e}") for c in found[name]], flush=True)
json.dump(found, open(out, 'w'))
