#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keeps two rules for coroutines that the compiler does not (doc/coroutines.md):

C4  a lambda with captures is never a coroutine: its captures die at the first suspension.
C5  a statement holds one co_await, as its whole right-hand side or whole co_return operand, and
    builds no aggregate and no lambda. None in conditions, ternaries, range-for heads, structured
    bindings.

  check_coroutines.py [FILE...]   all of lib/, the programs and tests/ without arguments
  check_coroutines.py --self-test
"""
import pathlib
import re
import sys

FOLDERS = ["lib", "master", "smtpd", "qmgr", "smtp", "lmtp", "bounce", "scache", "tlsmgr", "tlsrpt", "anvil", "ctl",
           "tests"]
# Keeps the bad forms on purpose, with a counter: it tells when a rule may be relaxed.
EXEMPT = {"tests/unit/ev/compiler_test.cpp"}


def blank(text):
    """The text with comments, strings and preprocessor lines blanked; line breaks stay."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^(\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|'
        r"'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.S | re.M)

    def keep(match):
        piece = match.group(0)
        if piece.startswith("'") and match.start() > 0 and text[match.start() - 1].isalnum():
            return piece  # a digit separator: 1'000'000
        filler = re.sub(r"[^\n]", " ", piece)
        return '""' + filler[2:] if piece[0] in "\"R" and len(piece) > 1 and "\n" not in piece else filler

    return pattern.sub(keep, text)


LAMBDA = re.compile(
    r"\[(?P<captures>[^\[\]]*)\]\s*(?:<[^<>]*>\s*)?(?:\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\s*)?"
    r"(?:mutable\b\s*|noexcept\b\s*|constexpr\b\s*|static\b\s*)*(?:->\s*[\w:<>,&*\s]+)?$")
HEAD = re.compile(r"^(?:else\s+)?(if|while|switch|for|do)\b")


class Checker:
    def __init__(self, name, text):
        self.name, self.text = name, blank(text)
        self.problems = []

    def problem(self, at, rule, what):
        self.problems.append(f"{self.name}:{self.text.count(chr(10), 0, at) + 1}: {rule}: {what}")

    def run(self):
        self.block(0)
        return self.problems

    # Walks one block from `i`; returns where it ended and whether its own statements make the
    # enclosing function a coroutine.
    def block(self, i):
        text, n = self.text, len(self.text)
        start, depth, statement, coroutine = i, 0, "", False
        while i < n:
            ch = text[i]
            if ch in "([":
                depth += 1
            elif ch in ")]":
                depth -= 1
            if ch == "{":
                head = statement
                is_lambda = LAMBDA.search(head)
                is_lambda = is_lambda if is_lambda and self.looks_like_lambda(head, is_lambda) else None
                end, inner = self.block(i + 1)
                if is_lambda:
                    if inner and is_lambda.group("captures").strip():
                        self.problem(i, "C4", "a lambda with captures is a coroutine")
                    statement += "{L}"
                elif depth > 0 or self.is_expression(head):
                    coroutine = coroutine or inner
                    statement += "{A}"
                else:
                    # A block, or the body of a function or class: its statements are its own.
                    self.statement(start, head, is_head=True)
                    coroutine = coroutine or re.search(r"\bco_(await|return|yield)\b", head) is not None
                    if not self.is_function(head):
                        coroutine = coroutine or inner
                    statement, start = "", end
                i = end
                continue
            if ch == "}" and depth <= 0:
                self.statement(start, statement)
                return i + 1, coroutine or self.has(statement)
            if ch == ";" and depth <= 0:
                self.statement(start, statement)
                coroutine = coroutine or self.has(statement)
                statement, start = "", i + 1
            else:
                if ch == ":" and depth == 0 and re.fullmatch(
                        r"\s*(case\b[^?]*|default|public|private|protected)", statement) and \
                        text[i + 1] != ":" and text[i - 1] != ":":
                    statement, start = "", i + 1
                else:
                    statement += ch
            i += 1
        return n, coroutine

    @staticmethod
    def has(statement):
        return re.search(r"\bco_(await|return|yield)\b", statement) is not None

    @staticmethod
    def looks_like_lambda(head, match):
        before = head[:match.start()].rstrip()
        return not before or not (before[-1].isalnum() or before[-1] in "_)]") or \
            re.search(r"\b(return|co_return|co_await)$", before) is not None

    @staticmethod
    def is_expression(head):
        """Whether the `{` after `head` opens an initialiser and no block."""
        h = head.strip()
        if not h or HEAD.match(h) or h in ("else", "try", "do") or h.endswith(")"):
            return False
        if re.search(r"\b(class|struct|union|enum|namespace|extern)\b[^=()]*$", h):
            return False
        if re.search(r"\)\s*(const|noexcept|override|final|mutable|&|&&|->\s*[\w:<>,&*\s]+|"
                     r"requires\b.*|:\s.*)+$", h) and "=" not in h.split("(")[0]:
            return re.search(r"\)\s*:\s.*[\w>]$", h) is not None  # a member's initialiser
        return True

    @staticmethod
    def is_function(head):
        h = head.strip()
        return "(" in h and not HEAD.match(h) and not h.startswith("catch")

    def statement(self, start, statement, is_head=False):
        if "co_await" not in statement:
            return
        lead = len(statement) - len(statement.lstrip())
        at = start + lead
        s = re.sub(r"\s+", " ", statement).strip()
        while True:  # a body without braces: `else x = co_await y`, `if (ready) co_await z`
            match = re.match(r"(else|do)\b\s*", s)
            if match and not s.startswith("else if"):
                s = s[match.end():]
                continue
            match = re.match(r"(?:else )?(if|while|for|switch)\b(?: constexpr)?\s*\(", s)
            if not match:
                break
            end = closing(s, match.end() - 1)
            if "co_await" in s[:end]:
                self.problem(at, "C5", f"co_await in the head of {match.group(1)}")
                return
            s = s[end + 1:].strip()
        if "co_await" not in s:
            return
        if s.count("co_await") > 1:
            return self.problem(at, "C5", "more than one co_await in a statement")
        match = re.match(r"POSTRIDER_CO_TRY\s*\(", s)
        if match:
            inside = s[match.end():closing(s, match.end() - 1)]
            cut = inside.find("co_await")
            if not re.fullmatch(r"[^()]*,\s*", inside[:cut]):
                return self.problem(at, "C5", "co_await is not the whole expression of CO_TRY")
            target, s = inside[:cut], inside[cut:]
            if re.search(r"\bauto\s*&*\s*\[", target):
                return self.problem(at, "C5", "co_await in a structured binding")
        else:
            match = re.match(r"POSTRIDER_CO_TRY_VOID\s*\(", s)
            if match:
                s = s[match.end():closing(s, match.end() - 1)].strip()
            else:
                cut = s.find("co_await")
                left = s[:cut].strip()
                if re.search(r"\bauto\s*&*\s*\[", left):
                    return self.problem(at, "C5", "co_await in a structured binding")
                if not (left in ("", "co_return", "(void)", "static_cast<void>(") or
                        re.fullmatch(r"[^=?]*[^=!<>?]=", left) and left.count("(") == left.count(")")):
                    return self.problem(at, "C5", "co_await is not the whole right-hand side")
                s = s[cut:]
        operand = re.sub(r"<[\w:, *&]*>", "", s[len("co_await"):].strip())  # template arguments
        if "{A}" in operand or "{L}" in operand:
            return self.problem(at, "C5", "builds an aggregate or a lambda beside co_await; "
                                          "name it on the line before")
        depth, i = 0, 0
        while i < len(operand):
            ch = operand[i]
            if ch in "([":
                depth += 1
            elif ch in ")]":
                depth -= 1
            elif ch == "?":
                return self.problem(at, "C5", "co_await in a ternary")
            elif depth == 0 and i > 0 and ch in "=+|&,/%^!" or \
                    depth == 0 and ch == "-" and operand[i:i + 2] != "->":
                return self.problem(at, "C5", "co_await is not the whole right-hand side")
            i += 1


def closing(text, i):
    """Where the bracket that opens at text[i] is closed."""
    depth = 0
    for k in range(i, len(text)):
        if text[k] in "([":
            depth += 1
        elif text[k] in ")]":
            depth -= 1
            if depth == 0:
                return k
    return len(text) - 1


GOOD = [
    "Task<int> f() { int x = co_await g(); co_return x; }",
    "Task<int> f() { co_return co_await g(1, h(2)); }",
    "Task<void> f() { co_await g(); (void)co_await h(); }",
    "Task<void> f() { POSTRIDER_CO_TRY(Reply r, co_await s.exchange(batch, Step::mail)); }",
    "Task<void> f() { POSTRIDER_CO_TRY_VOID(co_await s->write(piece, deadline)); }",
    "Task<void> f() { if (ready) x_ = co_await g(); else co_await h(); }",
    "Task<void> f() { for (;;) { Result<int> n = co_await g<int, 4>(a); if (!n) co_return; } }",
    "Task<void> f() { switch (x) { case 1: co_await g(); break; default: co_await h(); } }",
    "void f() { group.spawn(run([](int a) -> Task<int> { co_return co_await g(a); })); }",
    "void f() { auto plain = [&](int a) { return a + x; }; plain(1); }",
    "Task<void> f() { Batch b{1, 2}; co_await g(b); }  // co_await g({1})",
    'Task<void> f() { log("a ? co_await b : {c}"); Result<void> r = co_await g("x ? y"); }',
    "struct A { int n{1}; Task<void> f() const { co_await g(n); } };",
    "Task<void> f() { const size_t n = 1'000; a[i] = co_await g(n); }",
]
BAD = [
    ("C5", "Task<void> f() { if (co_await g()) h(); }"),
    ("C5", "Task<void> f() { while (co_await g()) { h(); } }"),
    ("C5", "Task<void> f() { if (auto r = co_await g(); r) { h(); } }"),
    ("C5", "Task<void> f() { for (auto& x : co_await g()) h(x); }"),
    ("C5", "Task<void> f() { switch (co_await g()) { default: break; } }"),
    ("C5", "Task<void> f() { int x = ok ? co_await g() : 0; }"),
    ("C5", "Task<void> f() { auto [a, b] = co_await g(); }"),
    ("C5", "Task<void> f() { h(co_await g()); }"),
    ("C5", "Task<void> f() { int x = co_await g() + co_await h(); }"),
    ("C5", "Task<void> f() { int x = co_await g() + 1; }"),
    ("C5", "Task<void> f() { bool x = a && co_await g(); }"),
    ("C5", "Task<void> f() { int x = *co_await g(); }"),
    ("C5", "Task<void> f() { co_await g({1, 2}); }"),
    ("C5", "Task<void> f() { co_await g(Batch{1, 2}); }"),
    ("C5", "Task<void> f() { int x = co_await g(h(Batch{1})); }"),
    ("C5", "Task<void> f() { co_await g([x] { return x; }); }"),
    ("C5", "Task<void> f() { co_return !co_await g(); }"),
    ("C5", "Task<void> f() { v.push_back(co_await g()); }"),
    ("C5", "Task<void> f() { POSTRIDER_CO_TRY(auto [a, b], co_await g()); }"),
    ("C5", "Task<void> f() { POSTRIDER_CO_TRY(int a, h(co_await g())); }"),
    ("C5", "Task<void> f() { if (a) { x(); } else if (co_await g()) { h(); } }"),
    ("C4", "void f() { auto t = [x]() -> Task<int> { co_return x; }; }"),
    ("C4", "void f() { spawn([this](int a) mutable -> Task<void> { if (a) { co_await g(); } }); }"),
    ("C4", "void f() { spawn([&] { return [&]() -> Task<void> { co_return; }; }); }"),
]


def self_test():
    failures = 0
    for text in GOOD:
        found = Checker("good", text).run()
        if found:
            print(f"refused, though right: {text}\n  {found}")
            failures += 1
    for rule, text in BAD:
        found = Checker("bad", text).run()
        if len(found) != 1 or f" {rule}:" not in found[0]:
            print(f"expected one breach of {rule}: {text}\n  {found}")
            failures += 1
    total = len(GOOD) + len(BAD)
    print(f"{total - failures} of {total} cases as expected")
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(1 if self_test() else 0)
    root = pathlib.Path(__file__).resolve().parent.parent
    files = [pathlib.Path(a).resolve() for a in sys.argv[1:]]
    if not files:
        for folder in FOLDERS:
            files += sorted([*(root / folder).rglob("*.cpp"), *(root / folder).rglob("*.hpp")])
    problems = []
    for path in files:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        if name not in EXEMPT:
            problems += Checker(name, path.read_text(encoding="utf-8")).run()
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
