# SPDX-License-Identifier: MIT
"""Mistakes made on purpose in copies of the sources, to show that the tests notice them.

A seed replaces a piece of one source. The build compiles the changed copy and links it with a unit
test (cmake/tests.cmake, fault.seeded_bugs); nothing else of the build knows of it. A seed that no
longer fits its source leaves the copy unchanged, and its test says so.
"""
import dataclasses
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNFIT = "// this seed does not fit its source any more\n"


@dataclasses.dataclass(frozen=True)
class Seed:
    name: str
    source: str
    test: str      # the unit test binary that has to notice, without "_test"
    filter: str    # of its tests, those that should
    changes: tuple  # (old, new): replaced wherever it stands


SEEDS = (
    Seed("rset_keeps_recipients", "smtpd/session_commands.cpp", "smtpd", "*Talks*:*RandomCommands*", ((
        "void Session::rset() {\n  reset();\n",
        "void Session::rset() {\n  if (transaction_) transaction_->envelope.sender.clear();\n"),)),
    Seed("bad_chunk_keeps_the_transaction", "smtpd/session_content.cpp", "smtpd", "*Talks*", ((
        "    reset();\n    fail(*wrong);\n", "    fail(*wrong);\n"),)),
    Seed("bare_newlines_end_content", "lib/smtp/dot.cpp", "smtpd", "*Endings*", ((
        "state_ = state_ == State::line_start ? State::dot : State::in_line;", "state_ = State::dot;"), (
        "  case State::dot:\n    if (c == '\\r') {",
        "  case State::dot:\n    if (c == '\\n') {\n      state_ = State::ended;\n      return;\n    }\n"
        "    if (c == '\\r') {"))),
    Seed("each_byte_buys_time", "smtpd/session.cpp", "smtpd", "*DrippingClient*", ((
        "if (!waited || !config_->whole_deadlines) deadline = limit();", "deadline = limit();"),)),
    Seed("no_deadline", "smtpd/session.cpp", "smtpd", "*SilentClient*", ((
        "if (!waited || !config_->whole_deadlines) deadline = limit();", ""),)),
    Seed("length_of_a_frame_is_trusted", "lib/ipc/channel.cpp", "ipc", "*Channel*", ((
        "if (length > limits_.frame)", "if (false)"),)),
    Seed("delivered_before_the_final_reply", "lib/smtpclient/transact.cpp", "smtpclient", "*Transaction*", ((
        "    if (!reply) {\n      fail(reply.error(), ",
        "    if (!reply) reply = smtp::Reply{.code = 250};\n    if (!reply) {\n      fail(reply.error(), "),)),
    Seed("original_removed_before_its_bounce", "qmgr/finish.cpp", "qmgr", "*Bounce*:*Report*", ((
        "    dispatch_report(message, Errand::report_failed, std::move(failed), sender);\n    return true;\n",
        "    reported(message, Errand::report_failed, failed);\n"),)),
    Seed("commit_without_sync", "lib/submit/submitter.cpp", "submit", "*Sync*", ((
        "shared->result.emplace(queue::SegmentWriter::sync_group(fs, group));",
        "static_cast<void>(fs);\n        shared->result.emplace(Result<void>());"),)),
    Seed("a_reverse_name_is_believed", "lib/dns/client_name.cpp", "dns", "*Lookups*", ((
        "if (std::find(addresses.begin(), addresses.end(), address) == addresses.end())", "if (false)"),)),
)


def seeded(seed, text):
    for old, new in seed.changes:
        if old not in text:
            return UNFIT + text
        text = text.replace(old, new)
    return text


def main(arguments):
    if arguments == ["list"]:  # for CMake: name,source,test;...
        print(";".join(f"{s.name},{s.source},{s.test}" for s in SEEDS), end="")
    elif len(arguments) == 2:  # NAME OUTPUT
        seed = next(s for s in SEEDS if s.name == arguments[0])
        pathlib.Path(arguments[1]).write_text(seeded(seed, (ROOT / seed.source).read_text()))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
