"""Tiny models with what those of tiny_models.py lack: layers of Qwen2 with and without a window, Phi-3 in shards of
bfloat16 with a window, caps of Gemma 2 low enough to matter, biases below its norms, scaled rotary embedding of
Gemma 3, and the older dialect of config.json. usage: window_models.py OUT_MODELS OUT_REFERENCE"""
import sys, json, os, torch, numpy as np
from reference import *
from transformers import Qwen2Config, Phi3Config, Gemma2Config, Gemma3TextConfig, AutoModelForCausalLM
om, orf = sys.argv[1:3]
base = dict(vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
            max_position_embeddings=256, initializer_range=0.15, tie_word_embeddings=False, bos_token_id=0, eos_token_id=0, sliding_window=16)
gemma = dict(tie_word_embeddings=True, pad_token_id=0, query_pre_attn_scalar=32)
def C(cls, **k): return cls(**{**base, **k})
models = {
    'qwen2-window': C(Qwen2Config, use_sliding_window=True, max_window_layers=2),
    'phi3-shards': C(Phi3Config, pad_token_id=0, num_key_value_heads=4),
    'gemma2-caps': C(Gemma2Config, **gemma, attention_bias=True, attn_logit_softcapping=1.5, final_logit_softcapping=4.0),
    'gemma3-linear': C(Gemma3TextConfig, **gemma, num_hidden_layers=4, sliding_window_pattern=2, final_logit_softcapping=4.0,
                       rope_parameters=dict(full_attention=dict(rope_type='linear', rope_theta=500000.0, factor=8.0), sliding_attention=dict(rope_type='default', rope_theta=5000.0))),
}
bfloat16 = ('phi3-shards', 'gemma2-caps')
def older(config, name):
    """config.json as transformers 4 wrote it"""
    rope = config.pop('rope_parameters')
    if name == 'gemma3-linear':
        full = rope['full_attention']; config['rope_theta'] = full.pop('rope_theta'); config['rope_scaling'] = full
        config['rope_local_base_freq'] = rope['sliding_attention']['rope_theta']; config['sliding_window_pattern'] = config.pop('_sliding_window_pattern')
    else: config['rope_theta'] = rope['rope_theta']; config['rope_scaling'] = None
    if name.startswith('gemma'): del config['tie_word_embeddings']; config.pop('use_bidirectional_attention')
    if name == 'gemma2-caps': config['hidden_act'] = config['hidden_activation']
    for key in ('layer_types',) if name.startswith(('gemma', 'qwen')) else ('head_dim',): config.pop(key)
    config['torch_dtype'] = config.pop('dtype'); config['transformers_version'] = '4.51.0'
    return config
rng = np.random.default_rng(13)
for name, c in models.items():
    torch.manual_seed(len(name) * 7)
    m = AutoModelForCausalLM.from_config(c, attn_implementation='eager').float().eval()
    for p in m.parameters():
        if p.dim() == 1: p.data.copy_(p.data + 0.1 * torch.randn_like(p))
    d = f'{om}/{name}'; os.makedirs(d, exist_ok=True)
    (m.to(torch.bfloat16) if name in bfloat16 else m).save_pretrained(d, max_shard_size='120KB' if name == 'phi3-shards' else '1GB')
    json.dump(older(json.load(open(f'{d}/config.json')), name), open(f'{d}/config.json', 'w'), indent=2)
    if os.path.exists(f'{d}/generation_config.json'): os.remove(f'{d}/generation_config.json')
    m = AutoModelForCausalLM.from_pretrained(d, attn_implementation='eager', dtype=torch.float32).eval(); c = m.config
    T = 48; cal_ids = rng.integers(0, 512, T * 4).tolist(); ids = rng.integers(0, 512, T * 3).tolist()
    cal = calibrate(m, cal_ids, T, 4); sc = scores(m, cal); L = c.num_hidden_layers
    kg = [list(range(c.num_key_value_heads))] * L; kf = [list(range(c.intermediate_size))] * L
    cases = [case(m, ids, T, 3, 'dense', kg, kf, cal, False)]
    g, f = random_counts(c, rng)
    for comp in (False, True):
        kg, kf = policy_from_counts(m, sc, g, f, 'wanda')
        cases.append(case(m, ids, T, 3, 'random-0-wanda', kg, kf, cal, comp))
    kg = [list(range(c.num_key_value_heads)) for _ in range(L)]; kf = [list(range(c.intermediate_size)) for _ in range(L)]
    kg[1] = []; kf[2] = []
    for comp in (False, True): cases.append(case(m, ids, T, 3, 'blocks-gone', kg, kf, cal, comp))
    cases.append(case(m, ids, T, 3, 'all-gone', [[] for _ in range(L)], [[] for _ in range(L)], cal, False))
    json.dump(dict(model=name, windowLength=T, calibrationIds=cal_ids, ids=ids, importance=sc, cases=cases), open(f'{orf}/{name}.json', 'w'))
    print(name, [round(x['perplexity'], 2) for x in cases], c.layer_types if hasattr(c, 'layer_types') else c.sliding_window, flush=True)
