"""Write a Hugging Face folder of the Llama architecture as a GGUF file in float32, for llama.cpp.

    python3 -m venv venv && venv/bin/pip install gguf numpy
    venv/bin/python write_gguf.py FOLDER OUT.gguf

llama.cpp turns neighbouring numbers of a head against each other, Hugging Face its two halves: the rows of q_proj and
k_proj are put in that order. Scaled rotations are refused: nothing here is checked with them.
"""
import json, pathlib, sys
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, SpecialVocab, TokenType


def read_tensors(folder):
    """Every stored tensor as float32; bfloat16 by way of its bits, which numpy does not know."""
    for path in sorted(folder.glob('*.safetensors')):
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], 'little')
        header = json.loads(raw[8:8 + length])
        header.pop('__metadata__', None)
        for name, entry in header.items():
            begin, end = (8 + length + at for at in entry['data_offsets'])
            yield name, to_float32(raw[begin:end], entry['dtype']).reshape(entry['shape'])


def to_float32(data, dtype):
    if dtype == 'BF16':
        return (np.frombuffer(data, '<u2').astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, {'F32': '<f4', 'F16': '<f2'}[dtype]).astype(np.float32)


def interleave(weight, heads):
    """[heads x D, ..]: row i of the first half of a head next to row i of its second."""
    rows, *rest = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, *rest).swapaxes(1, 2).reshape(weight.shape)


def layer_names(layer):
    hugging_face, ours = f'model.layers.{layer}.', f'blk.{layer}.'
    parts = {
        'input_layernorm': 'attn_norm', 'post_attention_layernorm': 'ffn_norm',
        'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v',
        'self_attn.o_proj': 'attn_output', 'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up',
        'mlp.down_proj': 'ffn_down',
    }
    return {f'{hugging_face}{name}.weight': f'{ours}{other}.weight' for name, other in parts.items()}


def add_vocabulary(writer, folder, size):
    """Byte-pair encoding; ids are fed, so that which rule splits words does not matter."""
    tokenizer = json.loads((folder / 'tokenizer.json').read_text())
    added = {entry['id']: entry['content'] for entry in tokenizer.get('added_tokens', [])}
    tokens = {number: text for text, number in tokenizer['model']['vocab'].items()} | added
    writer.add_tokenizer_model('gpt2')
    writer.add_tokenizer_pre('default')
    writer.add_token_list([tokens.get(number, f'[unused {number}]') for number in range(size)])
    writer.add_token_types([
        TokenType.CONTROL if number in added else TokenType.NORMAL if number in tokens else TokenType.UNUSED
        for number in range(size)
    ])
    SpecialVocab(folder, load_merges=True, n_vocab=size).add_to_gguf(writer, quiet=True)


def main(folder, out):
    config = json.loads((folder / 'config.json').read_text())
    if config['model_type'] != 'llama' or config.get('rope_scaling'):
        raise SystemExit(f'{folder}: needs model_type llama without rope_scaling, '
                         f'found {config["model_type"]} with {config.get("rope_scaling")}')
    heads = config['num_attention_heads']
    groups = config.get('num_key_value_heads', heads)
    head_dim = config.get('head_dim') or config['hidden_size'] // heads
    writer = GGUFWriter(out, 'llama')
    writer.add_name(folder.name)
    writer.add_vocab_size(config['vocab_size'])
    writer.add_context_length(config['max_position_embeddings'])
    writer.add_embedding_length(config['hidden_size'])
    writer.add_block_count(config['num_hidden_layers'])
    writer.add_feed_forward_length(config['intermediate_size'])
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config.get('rope_theta', 10000.0))
    writer.add_layer_norm_rms_eps(config['rms_norm_eps'])
    writer.add_file_type(0)  # all float32
    add_vocabulary(writer, folder, config['vocab_size'])
    names = {'model.embed_tokens.weight': 'token_embd.weight', 'model.norm.weight': 'output_norm.weight'}
    if not config.get('tie_word_embeddings', False):
        names['lm_head.weight'] = 'output.weight'
    for layer in range(config['num_hidden_layers']):
        names |= layer_names(layer)
    for name, weight in read_tensors(folder):
        if name not in names:
            if name == 'lm_head.weight':
                continue
            raise SystemExit(f'{folder}: no place in GGUF for the tensor {name}')
        target = names.pop(name)
        if '.attn_q.' in target or '.attn_k.' in target:
            weight = interleave(weight, heads if '.attn_q.' in target else groups)
        writer.add_tensor(target, np.ascontiguousarray(weight), raw_dtype=GGMLQuantizationType.F32)
    if names:
        raise SystemExit(f'{folder}: lacks {", ".join(names)}')
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main(pathlib.Path(sys.argv[1]), sys.argv[2])
