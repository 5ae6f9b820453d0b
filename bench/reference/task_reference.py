"""What lm-evaluation-harness (0.4.13, its own task files, model "hf", float32, batch 1) gives on local documents.
usage: task_reference.py MODEL_DIR DOCUMENTS OUT.json TASK[,TASK...] [add_bos] [positions=N]
add_bos: the tokenizer puts its first token before every text. positions=N: the model is said to hold N positions."""
import json, os, shutil, sys, tempfile
import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

model_dir, documents, out, tasks = sys.argv[1:5]
settings = sys.argv[5:]
names = tasks.split(',')
yaml_of = {'hellaswag': 'hellaswag/hellaswag.yaml', 'arc_easy': 'arc/arc_easy.yaml', 'arc_challenge': 'arc/arc_challenge.yaml',
           'piqa': 'piqa/piqa.yaml', 'winogrande': 'winogrande/default.yaml', 'boolq': 'super_glue/boolq/default.yaml'}
work = tempfile.mkdtemp()
model = os.path.join(work, 'model')
shutil.copytree(model_dir, model)

def edit(name, change):
    path = os.path.join(model, name)
    value = json.load(open(path)); change(value); json.dump(value, open(path, 'w'))

if 'add_bos' in settings:
    def add_bos(tokenizer):
        first = tokenizer['added_tokens'][0]
        tokenizer['post_processor'] = {'type': 'TemplateProcessing', 'special_tokens': {first['content']: {'id': first['content'], 'ids': [first['id']], 'tokens': [first['content']]}},
            'single': [{'SpecialToken': {'id': first['content'], 'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 0}}],
            'pair': [{'Sequence': {'id': 'A', 'type_id': 0}}, {'Sequence': {'id': 'B', 'type_id': 1}}]}
    edit('tokenizer.json', add_bos)
for setting in settings:
    if setting.startswith('positions='):
        edit('config.json', lambda config: config.update(max_position_embeddings=int(setting.split('=')[1])))

root = os.path.join(os.path.dirname(lm_eval.__file__), 'tasks')
folder = os.path.join(work, 'tasks'); os.makedirs(folder)
for name in names:
    file = os.path.abspath(os.path.join(documents, f'{name}.jsonl'))
    splits = '\n'.join(f'    {split}: {file}' for split in ('train', 'validation', 'test'))
    with open(os.path.join(folder, f'{name}.yaml'), 'w') as yaml:
        yaml.write(f'include: {root}/{yaml_of[name]}\ntask: local_{name}\ndataset_path: json\ndataset_name: null\n'
                   f'dataset_kwargs:\n  data_files:\n{splits}\n')
lm = HFLM(pretrained=model, dtype='float32', batch_size=1, device='cpu')
results = lm_eval.simple_evaluate(model=lm, tasks=[f'local_{name}' for name in names], num_fewshot=0, log_samples=True,
    bootstrap_iters=1000, task_manager=TaskManager(include_path=folder))
report = {}
for name in names:
    found = results['results'][f'local_{name}']
    samples = []
    for sample in sorted(results['samples'][f'local_{name}'], key=lambda sample: sample['doc_id']):
        requests = []
        for (context, continuation), response in zip(sample['arguments'], sample['resps']):
            before, after = lm._encode_pair(context, continuation)
            seen = (before + after)[-(lm.max_length + 1):]
            requests.append(dict(context=context, continuation=continuation, ids=seen, continuationTokens=len(after),
                                 logLikelihood=float(response[0][0])))
        samples.append(dict(requests=requests, acc=sample['acc'], **({'acc_norm': sample['acc_norm']} if 'acc_norm' in sample else {})))
    report[name] = dict({key.split(',')[0]: value for key, value in found.items() if isinstance(value, float)}, samples=samples)
json.dump(dict(harness=lm_eval.__version__, maxLength=lm.max_length, tasks=report), open(out, 'w'), ensure_ascii=False)
for name in names: print(name, {key: value for key, value in report[name].items() if key != 'samples'})
shutil.rmtree(work)
