"""A tiny model with what the others lack: biases everywhere, bfloat16, shards, and the older dialect of config.json.
usage: biased_models.py OUT_MODELS OUT_REFERENCE"""
import sys, json, os, torch, numpy as np
from reference import *
from transformers import LlamaConfig, AutoModelForCausalLM
om, orf = sys.argv[1:3]
name = 'llama-biases'
c = LlamaConfig(vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
                max_position_embeddings=256, initializer_range=0.15, tie_word_embeddings=False, bos_token_id=0, eos_token_id=0,
                attention_bias=True, mlp_bias=True,
                rope_parameters=dict(rope_type='llama3', rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64))
torch.manual_seed(77)
m = AutoModelForCausalLM.from_config(c, attn_implementation='eager').float().eval()
for p in m.parameters():
    if p.dim() == 1: p.data.copy_(p.data + 0.1 * torch.randn_like(p))
d = f'{om}/{name}'; os.makedirs(d, exist_ok=True)
m.to(torch.bfloat16).save_pretrained(d, max_shard_size='120KB')
# config.json as transformers 4 wrote it
config = json.load(open(f'{d}/config.json'))
rope = config.pop('rope_parameters'); config['rope_theta'] = rope.pop('rope_theta'); config['rope_scaling'] = rope
config['torch_dtype'] = config.pop('dtype'); config.pop('head_dim', None); config['transformers_version'] = '4.46.0'
json.dump(config, open(f'{d}/config.json', 'w'), indent=2)
m = AutoModelForCausalLM.from_pretrained(d, attn_implementation='eager', dtype=torch.float32).eval(); c = m.config
rng = np.random.default_rng(12)
T = 48; cal_ids = rng.integers(0, 512, T * 4).tolist(); ids = rng.integers(0, 512, T * 3).tolist()
cal = calibrate(m, cal_ids, T, 4); sc = scores(m, cal); L = c.num_hidden_layers
cases = [case(m, ids, T, 3, 'dense', [list(range(c.num_key_value_heads))] * L, [list(range(c.intermediate_size))] * L, cal, False)]
for i in range(3):
    g, f = random_counts(c, rng)
    for comp in (False, True):
        kg, kf = policy_from_counts(m, sc, g, f, ('wanda', 'fluctuation', 'magnitude')[i])
        cases.append(case(m, ids, T, 3, f'random-{i}-{("wanda","fluctuation","magnitude")[i]}', kg, kf, cal, comp))
kg = [list(range(c.num_key_value_heads)) for _ in range(L)]; kf = [list(range(c.intermediate_size)) for _ in range(L)]
kg[1] = []; kf[2] = []
cases.append(case(m, ids, T, 3, 'blocks-gone', kg, kf, cal, False)); cases.append(case(m, ids, T, 3, 'blocks-gone', kg, kf, cal, True))
kg = [[] for _ in range(L)]; kf = [[] for _ in range(L)]; cases.append(case(m, ids, T, 3, 'all-gone', kg, kf, cal, False))
json.dump(dict(model=name, windowLength=T, calibrationIds=cal_ids, ids=ids, importance=sc, cases=cases), open(f'{orf}/{name}.json', 'w'))
print(name, [round(x['perplexity'], 2) for x in cases], flush=True)
