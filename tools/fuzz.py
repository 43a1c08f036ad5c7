#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the fuzz targets of build-fuzz and says how far they got.

    tools/fuzz.py [--seconds 60] [--jobs 2] [TARGET...]

Each target runs for so many seconds on its corpus in tests/fuzz/corpus and on what earlier runs have
found (build-fuzz/corpus). Prints one line for each: executions, executions a second, inputs in the
corpus, and how much of the lines of the sources that it is about (cmake/fuzz.cmake) it has executed.
The same goes to build-fuzz/figures/fuzz.json, for tools/make_figures.py. A finding stops everything; its
input is kept in build-fuzz/findings. Exit status: 0 none, 1 a finding, 2 trouble.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'tests' / 'support'))
import figures  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = TOP / 'build-fuzz'
CALL = re.compile(r'^postrider_fuzz\((\w+)\s[^)]*?COVERS\s+([^)]*)\)', re.M)
MEMORY = 2048  # MiB that a target may take
PATIENCE = 30  # seconds that one input may take


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


class Runs:
    """The processes that run now, so that a finding in one ends the others."""

    def __init__(self, scratch):
        self.scratch = scratch  # what a target leaves behind when it dies is here
        self.lock = threading.Lock()
        self.running = {}
        self.stopped = False

    def run(self, name, command, environment, log):
        with self.lock:
            if self.stopped:
                return None
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=TOP)
            self.running[name] = process
        status = process.wait()
        with self.lock:
            self.running.pop(name)
            return None if self.stopped else status

    def stop(self):
        with self.lock:
            self.stopped = True
            for process in self.running.values():
                process.kill()


def fuzz(name, sources, seconds, runs):
    """One target. A dict of figures; with 'finding' set there was one; None: stopped before."""
    for folder in ('corpus/' + name, 'findings', 'profiles', 'logs', 'figures'):
        (BUILD / folder).mkdir(parents=True, exist_ok=True)
    program = BUILD / 'fuzz' / ('fuzz_' + name)
    raw = BUILD / 'profiles' / (name + '.profraw')
    raw.unlink(missing_ok=True)
    seeds = TOP / 'tests' / 'fuzz' / 'corpus' / name
    words = TOP / 'tests' / 'fuzz' / 'dict' / (name + '.dict')
    command = [str(program), f'-max_total_time={seconds}', f'-rss_limit_mb={MEMORY}',
               f'-timeout={PATIENCE}', '-print_final_stats=1',
               f'-artifact_prefix={BUILD}/findings/{name}-']
    if words.exists():
        command.append(f'-dict={words}')
    command += [str(BUILD / 'corpus' / name), str(seeds)]
    log_name = BUILD / 'logs' / (name + '.log')
    with open(log_name, 'wb') as log:
        status = runs.run(name, command, {**os.environ, 'LLVM_PROFILE_FILE': str(raw), 'TMPDIR': runs.scratch},
                          log)
    if status is None:
        return None
    text = log_name.read_text(errors='replace')
    if status != 0:
        runs.stop()
        kept = re.search(r'Test unit written to (\S+)', text)
        return {'target': name, 'finding': kept.group(1) if kept else str(log_name),
                'text': '\n'.join(text.splitlines()[-60:])}
    executions = int(re.search(r'number_of_executed_units: (\d+)', text).group(1))
    rate = int(re.search(r'average_exec_per_sec: +(\d+)', text).group(1))
    inputs, size = re.findall(r'corp: (\d+)/(\w+)', text)[-1]
    return {'target': name, 'executions': executions, 'per_second': rate, 'inputs': int(inputs),
            'bytes': size, 'seconds': seconds, 'coverage': coverage(program, raw, sources)}


def coverage(program, raw, sources):
    """source -> [lines executed, lines], of those that were asked for."""
    merged = raw.with_suffix('.profdata')
    subprocess.run([tool('llvm-profdata'), 'merge', '-sparse', raw, '-o', merged], check=True)
    out = subprocess.run([tool('llvm-cov'), 'export', '-summary-only', '-instr-profile', merged,
                          program], check=True, capture_output=True, text=True).stdout
    raw.unlink()
    found = {}
    for one in json.loads(out)['data'][0]['files']:
        path = os.path.relpath(os.path.realpath(BUILD / one['filename']), TOP)
        if path in sources:
            lines = one['summary']['lines']
            found[path] = [lines['covered'], lines['count']]
    return found


def percent(pair):
    return 100.0 * pair[0] / pair[1] if pair[1] else 100.0


def print_table(results):
    print(f'{"target":<16}{"executions":>12}{"exec/s":>8}{"inputs":>8}{"size":>8}{"lines":>8}  sources')
    for one in sorted(results, key=lambda r: r['target']):
        total = [sum(pair[i] for pair in one['coverage'].values()) for i in (0, 1)]
        print(f'{one["target"]:<16}{one["executions"]:>12,}{one["per_second"]:>8,}{one["inputs"]:>8,}'
              f'{one["bytes"]:>8}{percent(total):>7.1f}%  ' +
              ', '.join(f'{path} {percent(pair):.0f}%' for path, pair in one['coverage'].items()))


def save(results, command):
    """For tools/make_figures.py."""
    rows = [('targets', len(results)), ('executions', sum(one['executions'] for one in results))]
    for one in sorted(results, key=lambda r: r['target']):
        total = [sum(pair[i] for pair in one['coverage'].values()) for i in (0, 1)]
        rows.append((f'`{one["target"]}`: executions', one['executions']))
        rows.append((f'`{one["target"]}`: lines executed of ' + ', '.join(one['coverage']),
                     f'{percent(total):.1f} %'))
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
    names = given.target or list(known)
    memory = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix='postrider-fuzz-', dir=memory) as scratch:
        return run_all(names, known, given, Runs(scratch))


def run_all(names, known, given, runs):
    results = []
    finding = None
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        begun = [pool.submit(fuzz, name, known[name], given.seconds, runs) for name in names]
        for done in concurrent.futures.as_completed(begun):
            result = done.result()
            if result is None:
                continue
            if 'finding' in result:
                finding = result
                continue
            results.append(result)
            print(f'{len(results)}/{len(names)} {result["target"]}', file=sys.stderr, flush=True)
    if results:
        print_table(results)
        save(results, ' '.join([f'tools/fuzz.py --seconds {given.seconds}'] + given.target))
    if finding:
        print(f'\nfinding in {finding["target"]}: {finding["finding"]}\n{finding["text"]}')
        return 1
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        print(f'fuzz.py: {error}', file=sys.stderr)
        sys.exit(2)
