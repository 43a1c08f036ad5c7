# SPDX-License-Identifier: MIT
"""What security.py prints, and what it keeps for doc/figures.md."""
import figures
import suite as postrider


def show(results):
    good = True
    print(f"{'process':15}{'denied':>12}  {'not on this kernel':>18}  {'its own rights':>14}  sandbox")
    for r in results:
        lacking = sum(1 for n in r.attempts if r.attempts[n][0] != "right" and r.lacks(n))
        rights = sum(1 for s in r.attempts.values() if s[0] == "right")
        print(f"{r.role:15}{len(r.made) - len(r.allowed):>5} of {len(r.made):<4}  {lacking:>18}  {rights:>14}  {r.level}")
        for name, seen in r.allowed.items():
            good = False
            print(f"    NOT DENIED: {name} ({' '.join(seen)})")
    print(f"\n{'process':15}{'conversation':20}{'abuses':>8}{'survived':>10}  how they ended, as the evil one saw it")
    for r in results:
        for channel, (tried, survived, bad, ends) in sorted(r.channels.items()):
            seen = ", ".join(f"{how} {times}" for how, times in ends.most_common())
            print(f"{r.role:15}{channel:20}{tried:>8}{survived:>10}  {seen}")
            for text in bad:
                good = False
                print(f"    {text}")
    print(f"\n{'process':15}{'killed by master':>18}{'log lines on it':>17}{'mail meanwhile':>16}  verdict")
    for r in results:
        verdict = getattr(r, "verdict", None)
        print(f"{r.role:15}{r.killed:>18}{r.named:>17}{r.delivered:>16}  {verdict}")
        for text, times in r.refused.items():
            print(f"    not taken, {times} times: {text}")
        for text in r.problems:
            good = False
            print(f"    {text}")
    return good


def record(results, command):
    sandbox = [(f"{r.role}: denied of {len(r.made)} attempts", len(r.made) - len(r.allowed)) for r in results]
    sandbox += [(f"{r.role}: level", r.level) for r in results]
    figures.record(postrider.BUILD, "sandbox", command, sandbox)
    ipc = []
    for r in results:
        ipc += [(f"{r.role} to {channel}: survived of {tried} abuses", survived)
                for channel, (tried, survived, *_) in sorted(r.channels.items())]
        ipc.append((f"{r.role}: acknowledged messages lost, of {r.verdict.acked}", len(r.verdict.lost)))
    figures.record(postrider.BUILD, "ipc", command, ipc)
