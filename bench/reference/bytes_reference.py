"""Bits per byte of the bundled model, dense, from the likelihoods of demo.json and the offsets of Hugging Face's
tokenizers in Python. A window predicts every token but its first; its bytes are those of the text from the end of the
first token to the end of the last.
usage: bytes_reference.py MODEL_DIR TEXT_DIR demo.json OUT.json"""
import json, math, sys
from tokenizers import Tokenizer

model, texts, reference, out = sys.argv[1:5]
r = json.load(open(reference))
T = r['windowLength']
tokenizer = Tokenizer.from_file(f'{model}/tokenizer.json')
found = []
for case in r['cases']:
    if case['name'] != 'dense': continue
    text = open(f"{texts}/{case['split']}.txt", encoding='utf-8', newline='').read()
    ends = [end for _, end in tokenizer.encode(text, add_special_tokens=False).offsets]
    spans = [(ends[w * T], ends[(w + 1) * T - 1]) for w in range(case['windows'])]
    size = sum(len(text[a:b].encode()) for a, b in spans)
    found.append(dict(split=case['split'], windowLength=T, windows=case['windows'], bytes=size, bitsPerByte=sum(case['nll']) / math.log(2) / size))
print(found)
json.dump(found, open(out, 'w'))
