"""A sampler of Optuna that is asked and told, for bench/search-peers.mjs.

    python3 -m venv venv && venv/bin/pip install optuna==5.0.0 cmaes==0.13.1 numpy==2.4.6
    venv/bin/python run_optuna.py tpe|nsga2|cmaes SEED

Standard input, a JSON object a line: first { first, evaluations }, the shares of the first trial and how many there
will be; then { value } for each { shares } on standard output, lower is better.
"""
import json, sys, warnings
import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)
# x0 and sigma0 of CMA-ES go in version 6; the version above still has them.
warnings.simplefilter('ignore', FutureWarning)
# The usual 50 a generation would be more than all evaluations.
NSGA2_POPULATION = 8
CMAES_SIGMA = 0.2

def create_sampler(name, seed, first):
    if name == 'tpe':
        return optuna.samplers.TPESampler(seed=seed)
    if name == 'nsga2':
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=NSGA2_POPULATION)
    if name == 'cmaes':
        return optuna.samplers.CmaEsSampler(seed=seed, x0=first, sigma0=CMAES_SIGMA)
    raise SystemExit(f'No sampler {name}; there are tpe, nsga2 and cmaes')

name, seed = sys.argv[1], int(sys.argv[2])
start = json.loads(sys.stdin.readline())
first = {f'module{index:03}': share for index, share in enumerate(start['first'])}
distributions = {key: optuna.distributions.FloatDistribution(0, 1) for key in first}
study = optuna.create_study(sampler=create_sampler(name, seed, first))
study.enqueue_trial(first)
for _ in range(start['evaluations']):
    trial = study.ask(distributions)
    print(json.dumps({'shares': [trial.params[key] for key in first]}), flush=True)
    study.tell(trial, json.loads(sys.stdin.readline())['value'])
