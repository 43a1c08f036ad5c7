#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the fuzz targets of build-fuzz and says how far they got.

    tools/fuzz.py [--seconds 60] [--jobs 2] [TARGET...]

Each target runs for so many seconds on its corpus in tests/fuzz/corpus and on what earlier runs have
found (build-fuzz/corpus). Prints one line for each: executions, executions a second, inputs in the
corpus, and how much of the lines of the sources that it is about (cmake/fuzz.cmake) it has executed;
a source that is below 90 % is named at the end. A finding ends its target, not the others; its input
is kept in build-fuzz/findings. build-fuzz/figures/fuzz.json, for tools/make_figures.py, has the last
run of every target. Exit status: 0 all is well, 1 a finding or a source below 90 %, 2 trouble.
"""
import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'tests' / 'support'))
import figures  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = TOP / 'build-fuzz'
CALL = re.compile(r'^postrider_fuzz\((\w+)\s[^)]*?COVERS\s+([^)]*)\)', re.M)
MEMORY = 2048  # MiB that a target may take
PATIENCE = 30  # seconds that one input may take
ENOUGH = 90  # per cent of the lines of a source


def targets():
    """name -> sources, from the calls of cmake/fuzz.cmake."""
    text = (TOP / 'cmake' / 'fuzz.cmake').read_text()
    return {name: covers.split() for name, covers in CALL.findall(text)}


def tool(name):
    """The compiler's release of an LLVM tool, else another one, which may do as well."""
    found = shutil.which(name + '-16') or shutil.which(name)
    if not found:
        sys.exit(f'fuzz.py: there is no {name}')
    return found


def fuzz(name, sources, seconds, scratch):
    """Runs one target. A dict of figures; with 'finding' set there was one."""
    program = BUILD / 'fuzz' / ('fuzz_' + name)
    raw = BUILD / 'profiles' / (name + '.profraw')
    raw.unlink(missing_ok=True)
    seeds = TOP / 'tests' / 'fuzz' / 'corpus' / name
    words = TOP / 'tests' / 'fuzz' / 'dict' / (name + '.dict')
    (BUILD / 'corpus' / name).mkdir(parents=True, exist_ok=True)
    command = [str(program), f'-max_total_time={seconds}', f'-rss_limit_mb={MEMORY}',
               f'-timeout={PATIENCE}', '-print_final_stats=1',
               '-entropic=0',  # whose sums take longer than a session of smtpd
               f'-artifact_prefix={BUILD}/findings/{name}-']
    if words.exists():
        command.append(f'-dict={words}')
    command += [str(BUILD / 'corpus' / name), str(seeds)]
    log_name = BUILD / 'logs' / (name + '.log')
    environment = {**os.environ, 'LLVM_PROFILE_FILE': str(raw), 'TMPDIR': scratch}
    with open(log_name, 'wb') as log:
        status = subprocess.run(command, env=environment, stdout=log, stderr=log, cwd=TOP,
                                check=False).returncode
    text = log_name.read_text(errors='replace')
    result = {'target': name, 'seconds': seconds, 'commit': figures.commit(),
              'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d')}
    if status != 0:
        kept = re.search(r'Test unit written to (\S+)', text)
        return {**result, 'finding': kept.group(1) if kept else str(log_name),
                'text': '\n'.join(text.splitlines()[-60:])}
    inputs, size = re.findall(r'corp: (\d+)/(\w+)', text)[-1]
    return {**result, 'executions': int(re.search(r'number_of_executed_units: (\d+)', text).group(1)),
            'per_second': int(re.search(r'average_exec_per_sec: +(\d+)', text).group(1)),
            'inputs': int(inputs), 'bytes': size, 'coverage': coverage(program, raw, sources)}


def coverage(program, raw, sources):
    """source -> [lines executed, lines], of those that were asked for."""
    merged = raw.with_suffix('.profdata')
    subprocess.run([tool('llvm-profdata'), 'merge', '-sparse', raw, '-o', merged], check=True)
    out = subprocess.run([tool('llvm-cov'), 'export', '-summary-only', '-instr-profile', merged,
                          program], check=True, capture_output=True, text=True).stdout
    raw.unlink()
    found = {}
    for one in json.loads(out)['data'][0]['files']:
        for source in sources:
            if one['filename'].endswith('/' + source):  # wherever a compiler cache has it from
                lines = one['summary']['lines']
                found[source] = [lines['covered'], lines['count']]
    return found


def percent(pair):
    return 100.0 * pair[0] / pair[1] if pair[1] else 100.0


def of_all(result):
    return percent([sum(pair[i] for pair in result['coverage'].values()) for i in (0, 1)])


def print_table(results):
    print(f'{"target":<16}{"executions":>12}{"exec/s":>8}{"inputs":>8}{"size":>8}{"lines":>8}  sources')
    for one in results:
        print(f'{one["target"]:<16}{one["executions"]:>12,}{one["per_second"]:>8,}{one["inputs"]:>8,}'
              f'{one["bytes"]:>8}{of_all(one):>7.1f}%  ' +
              ', '.join(f'{path} {percent(pair):.0f}%' for path, pair in one['coverage'].items()))


def too_little(results):
    """Lines about the sources that a target has not executed enough of."""
    return [f'{one["target"]}: {percent(pair):.1f} % of {path}, {pair[0]} of {pair[1]} lines'
            for one in results for path, pair in one['coverage'].items() if percent(pair) < ENOUGH]


def save(known, command):
    """The last run of every target, for tools/make_figures.py; of another commit where it says so."""
    last = [json.loads(file.read_text()) for file in sorted((BUILD / 'results').glob('*.json'))]
    last = [one for one in last if one['target'] in known]
    good = [one for one in last if 'finding' not in one]
    rows = [('targets', len(known)), ('targets with an open finding', len(last) - len(good)),
            ('executions', sum(one['executions'] for one in good))]
    now = figures.commit()
    for one in good:
        when = '' if one['commit'] == now else f', {one["date"]} at {one["commit"]}'
        rows.append((f'`{one["target"]}`: executions in {one["seconds"]} s{when}', one['executions']))
        rows.append((f'`{one["target"]}`: lines executed of ' +
                     ', '.join(f'{path} ({percent(pair):.0f} %)' for path, pair in one['coverage'].items()),
                     f'{of_all(one):.1f} %'))
    figures.record(BUILD, 'fuzz', command, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=int, default=60, help='for each target')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='targets at a time')
    parser.add_argument('target', nargs='*', help='default: all')
    given = parser.parse_args()
    known = targets()
    unknown = [name for name in given.target if name not in known]
    if unknown:
        sys.exit(f'fuzz.py: no such target: {" ".join(unknown)}')
    for folder in ('findings', 'profiles', 'logs', 'results'):
        (BUILD / folder).mkdir(parents=True, exist_ok=True)
    memory = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix='postrider-fuzz-', dir=memory) as scratch:
        return run_all(given.target or list(known), known, given, scratch)


def run_all(names, known, given, scratch):
    results = []
    command = ' '.join([f'tools/fuzz.py --seconds {given.seconds}'] + given.target)
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        begun = [pool.submit(fuzz, name, known[name], given.seconds, scratch) for name in names]
        for done in concurrent.futures.as_completed(begun):
            results.append(done.result())
            name = results[-1]['target']
            (BUILD / 'results' / (name + '.json')).write_text(json.dumps(results[-1], indent=1) + '\n')
            save(known, command)  # each time: whoever ends this keeps what was done
            print(f'{len(results)}/{len(names)} {name}', file=sys.stderr, flush=True)
    results.sort(key=lambda one: one['target'])
    findings = [one for one in results if 'finding' in one]
    good = [one for one in results if 'finding' not in one]
    print_table(good)
    little = too_little(good)
    if little:
        print(f'\nbelow {ENOUGH} %:\n  ' + '\n  '.join(little))
    for one in findings:
        print(f'\nfinding in {one["target"]}: {one["finding"]}\n{one["text"]}')
    return 1 if findings or little else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        print(f'fuzz.py: {error}', file=sys.stderr)
        sys.exit(2)
