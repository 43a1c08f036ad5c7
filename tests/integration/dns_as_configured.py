# SPDX-License-Identifier: MIT
"""Parameters that change what the DNS says: a table leaves records out, short names are completed, the
hosts file is asked, or the DNS not at all.

shows: smtp_dns_reply_filter smtp_dns_resolver_options smtp_host_lookup smtp_dns_support_level
shows: smtp_defer_if_no_mx_address_found ignore_mx_lookup_error
"""
import sinks
from hostile_names import MX, SERVFAIL, HostileServer, a, answers, code, mx, only
from suite import Suite, expect_equal, expect_match

RULES = {
    "two.example": only(MX, answers(mx(10, "one.example"), mx(20, "other.example"))),
    "one.example": answers(a("127.0.1.7")),
    "other.example": answers(a("127.0.1.1")),
    "gone.example": answers(a("127.0.1.8")),
    "short.inner.example": answers(a("127.0.1.1")),
    "dangling.example": only(MX, answers(mx(10, "nowhere.example"))),
    "nomx.example": lambda q: (code(SERVFAIL) if q.type == MX else answers(a("127.0.1.1")))(q),
}


def outcome(suite, recipient):
    sent = suite.send("", [recipient])
    match = suite.wait_log(rf"{sent}: to=<{recipient}>, relay=(\S+), .*dsn=(\S+), status=(\w+) \((.*)\)",
                           seconds=60)
    return match.groups()


with HostileServer(RULES) as dns, sinks.Sink(host="127.0.1.1") as sink:
    common = {"dns_resolvers": dns.resolver, "smtp_tcp_port": sink.port}
    with Suite(smtp_dns_reply_filter="inline:{ {two.example. 300 IN MX 10 one.example. = IGNORE},"
                                     " {gone.example. 300 IN A 127.0.1.8 = ignore} }", **common) as suite:
        expect_match(r"^other\.example\[", outcome(suite, "to@two.example")[0], "the other MX")
        suite.wait_log(r"ignoring DNS RR: two\.example\. 300 IN MX 10 one\.example\.")
        expect_equal(outcome(suite, "to@gone.example")[1:],
                     ("4.7.0", "deferred", "Error looking up name=gone.example type=A: DNS reply filter drops"
                                           " all results"), "all records left out")
    with Suite(smtp_dns_reply_filter="static:DROP", smtp_defer_if_no_mx_address_found="yes", **common) as suite:
        expect_equal(outcome(suite, "to@other.example")[1:3], ("4.4.3", "deferred"), "a wrong action")
        suite.wait_log(r'warning: .*unknown DNS filter action: "DROP"')
    with Suite(start=False, smtp_dns_resolver_options="res_defnames", mydomain="inner.example",
               smtp_defer_if_no_mx_address_found="yes", ignore_mx_lookup_error="yes", **common) as suite:
        table = suite.write("transport", f"route.example smtp:[short]:{sink.port}\n")
        suite.configure(transport_maps=f"texthash:{table}")
        suite.start()
        expect_match(r"^short\[127\.0\.1\.1\]", outcome(suite, "to@route.example")[0], "a short name")
        expect_equal(outcome(suite, "to@dangling.example")[1:3], ("4.4.4", "deferred"), "an MX without address")
        expect_match(r"^nomx\.example\[", outcome(suite, "to@nomx.example")[0], "a failed MX look-up is ignored")
    # The same without these parameters.
    with Suite(smtp_host_lookup="dns, native", **common) as suite:
        expect_equal(outcome(suite, "to@dangling.example")[1:3], ("5.4.4", "bounced"), "an MX without address")
        expect_equal(outcome(suite, "to@nomx.example")[1:3], ("4.4.3", "deferred"), "a failed MX look-up")
    with sinks.Sink() as local:
        for settings in ({"smtp_host_lookup": "native"}, {"smtp_dns_support_level": "disabled"},
                         {"disable_dns_lookups": "yes"}):
            dns.asked.clear()
            with Suite(dns_resolvers=dns.resolver, relayhost=f"[localhost]:{local.port}", **settings) as suite:
                expect_match(r"^localhost\[127\.0\.0\.1\]", outcome(suite, "to@any.example")[0], str(settings))
            expect_equal(dns.asked, [], f"what the DNS was asked with {settings}")
