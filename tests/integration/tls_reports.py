# SPDX-License-Identifier: MIT
"""Reports on TLS (RFC 8460): counted, sent by mail and by HTTPS, and never about themselves.

# shows: smtp_tlsrpt_enable smtp_tlsrpt_skip_reused_handshakes tlsrpt_service_name tlsrpt_CAfile
# shows: tlsrpt_organization_name tlsrpt_contact_address tlsrpt_sender_address tlsrpt_domain_limit
# shows: tlsrpt_report_successes
"""
import contextlib
import datetime
import email
import gzip
import json
import os
import signal
import tempfile

import certs
import names
import ports
import procs
from report_host import ReportHost
from sts_host import StsHost, policy
from suite import Suite, expect, expect_equal, expect_match, skip
from tls_peer import TlsPeer

if not names.available():
    skip("nsd is not installed")

HOSTS = {"mx.good": "127.0.1.1", "mx.wrong": "127.0.1.2", "mx.clear": "127.0.1.3", "mx.receiver": "127.0.1.4"}
DOMAINS = ("good", "wrong", "clear", "receiver")
WEB = "reports"


def zone(report_port):
    lines = [f"{host} A {address}" for host, address in HOSTS.items()]
    lines += [f"{domain} MX 10 mx.{domain}" for domain in DOMAINS]
    lines += [f"{WEB} A 127.0.0.1", "mta-sts.wrong A 127.0.0.1", '_mta-sts.wrong TXT "v=STSv1; id=1"',
              '_smtp._tls.good TXT "v=TLSRPTv1; rua=mailto:reports@receiver.test"',
              # To its own, broken door, and by HTTPS.
              f'_smtp._tls.wrong TXT "v=TLSRPTv1;" " rua=https://{WEB}.test:{report_port}/v1/tls,'
              'mailto:tls@wrong.test"',
              # The trap: who gets reports wants reports.
              '_smtp._tls.receiver TXT "v=TLSRPTv1; rua=mailto:reports@receiver.test"']
    return {"test": "\n".join(lines)}


def send(suite, domain):
    number = suite.send("from@sender.example", [f"to@{domain}.test"])
    return suite.wait_log(rf"{number}: to=<to@{domain}\.test>, .*status=(\w+)").group(1)


def accounts(suite, domain):
    done = suite.cli("tlsrpt", f"{domain}.test", "--json", check=False)
    return json.loads(done.stdout) if done.returncode == 0 else []


def sums(suite, domain):
    """(successes, failures) over all that is counted."""
    found = [p for account in accounts(suite, domain) for p in account["policies"]]
    return sum(p["successes"] for p in found), sum(p["failures"] for p in found)


def wait_counted(suite, domain, wanted):
    ports.wait_until(lambda: sums(suite, domain) == wanted, 10, f"{wanted} of {domain}")


def send_report(suite, domain):
    done = suite.cli("tlsrpt", "--send", f"{domain}.test", "--json")
    return json.loads(done.stdout)


def wait_mails(peer, count):
    ports.wait_until(lambda: len(peer.mails) >= count, 20, f"{count} reports at {peer.name}")
    return [email.message_from_bytes(mail) for mail in peer.mails]


def attachment(message):
    """The JSON of a report, its form checked on the way."""
    expect_equal(message.get_content_type(), "multipart/report", "content type")
    expect_equal(message.get_param("report-type"), "tlsrpt", "report type")
    text, report = message.get_payload()
    expect_equal(text.get_content_type(), "text/plain", "first part")
    expect_equal(report.get_content_type(), "application/tlsrpt+gzip", "second part")
    return json.loads(gzip.decompress(report.get_payload(decode=True))), report.get_filename()


def check_json(got, account, policies):
    begin, end = (datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
                  for at in (account["begin"], account["end"] - 1))
    expect_equal(got, {
        "organization-name": "Sender & Sons", "contact-info": "tls@sender.example",
        "date-range": {"start-datetime": begin, "end-datetime": end},
        "report-id": account["report_id"], "policies": policies}, "the report")


def no_policy(domain, successes):
    return {"policy": {"policy-type": "no-policy-found", "policy-domain": f"{domain}.test"},
            "summary": {"total-successful-session-count": successes, "total-failure-session-count": 0}}


with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
    authority = certs.Authority(directory + "/ca")
    authority.cert.parent.chmod(0o755)
    authority.cert.chmod(0o644)
    os.chmod(directory, 0o755)
    port = ports.free_port("127.0.1.1")
    peers = {host: stack.enter_context(TlsPeer(
        authority.issue("somebody.else.test" if host == "mx.wrong" else host + ".test"), address=address,
        port=port, name=host + ".test", starttls="no" if host == "mx.clear" else "yes"))
        for host, address in HOSTS.items()}
    web = stack.enter_context(ReportHost(authority.issue(WEB + ".test")))
    sts = stack.enter_context(StsHost(authority.issue("mta-sts.wrong.test")))
    sts.policies["wrong.test"] = policy("enforce", ["mx.wrong.test"])
    dns = stack.enter_context(names.NameServer(directory + "/dns", zone(web.port)))
    settings = {"dns_resolvers": dns.resolver, "smtp_tls_security_level": "may", "smtp_tls_mta_sts_enable": "yes",
                "smtp_tls_CAfile": authority.cert, "mta_sts_CAfile": authority.cert, "mta_sts_port": sts.port,
                "tlsrpt_CAfile": authority.cert, "smtp_tcp_port": port, "smtp_tlsrpt_enable": "yes",
                "smtp_tls_connection_reuse": "no", "tlsrpt_organization_name": "Sender & Sons",
                "tlsrpt_contact_address": "tls@sender.example", "tlsrpt_sender_address": "noreply@sender.example"}
    receiver = peers["mx.receiver"]
    with Suite(smtp_tls_session_cache_database="", **settings) as suite:
        for domain, status in (("good", "sent"), ("good", "sent"), ("wrong", "deferred"), ("clear", "sent")):
            expect_equal(send(suite, domain), status, domain)
        wait_counted(suite, "good", (2, 0))
        wait_counted(suite, "wrong", (0, 1))
        wait_counted(suite, "clear", (0, 1))
        expect_match(r"good\.test +\d{4}-\d\d-\d\d +2 +0 +counting", suite.cli("tlsrpt").stdout, "the list")
        expect_match(r"sts of wrong\.test: 0 good, 1 failed\n(.*\n)*.* 1 x certificate-host-mismatch at "
                     r"mx\.wrong\.test\[127\.0\.1\.2\]: no name matches: somebody\.else\.test",
                     suite.cli("tlsrpt", "wrong.test").stdout, "the view of a domain")

        # By mail, of a good day.
        [account] = send_report(suite, "good")
        expect_equal((account["state"], account["sent"]), ("sent", ["mailto:reports@receiver.test"]), "good.test")
        [message] = wait_mails(receiver, 1)
        got, file_name = attachment(message)
        check_json(got, account, [no_policy("good", 2)])
        unique = account["report_id"].split("@")[0].split(".")[1]
        expect_equal(file_name, f"sender.example!good.test!{account['begin']}!{account['end'] - 1}!{unique}.json.gz",
                     "file name")
        expect_equal({name: " ".join(message[name].split()) for name in
                      ("From", "To", "Subject", "TLS-Report-Domain", "TLS-Report-Submitter", "TLS-Required")},
                     {"From": '"Sender & Sons" <noreply@sender.example>', "To": "reports@receiver.test",
                      "Subject": f"Report Domain: good.test Submitter: sender.example Report-ID: "
                                 f"<{account['report_id']}>",
                      "TLS-Report-Domain": "good.test", "TLS-Report-Submitter": "sender.example",
                      "TLS-Required": "No"}, "header")
        expect(any("MAIL FROM:<noreply@sender.example>" in command for _, command in receiver.sessions[0].commands),
               "the sender of the envelope")

        # By HTTPS and by mail, of a day of failures; past the door that ordinary mail does not go through.
        web.status = 503
        done = suite.cli("tlsrpt", "--send", "wrong.test", check=False)
        expect_equal(done.returncode, 75, "a report that is still to be sent")
        expect_match(r"status 503", done.stdout, "why")
        expect_equal(len(web.posts), 1, "posts")
        web.status = 201
        [account] = send_report(suite, "wrong")
        expect_equal((account["state"], account["sent"]),
                     ("sent", ["mailto:tls@wrong.test", f"https://{WEB}.test:{web.port}/v1/tls"]), "wrong.test")
        failed = [{
            "policy": {"policy-type": "sts", "policy-domain": "wrong.test", "mx-host": ["mx.wrong.test"],
                       "policy-string": ["version: STSv1", "mode: enforce", "mx: mx.wrong.test", "max_age: 86400"]},
            "summary": {"total-successful-session-count": 0, "total-failure-session-count": 1},
            "failure-details": [{
                "result-type": "certificate-host-mismatch", "sending-mta-ip": "127.0.0.1",
                "receiving-mx-hostname": "mx.wrong.test", "receiving-ip": "127.0.1.2", "failed-session-count": 1,
                "failure-reason-code": "no name matches: somebody.else.test"}]}]
        path, headers, body = web.posts[-1]
        expect_equal((path, headers["Content-Type"]), ("/v1/tls", "application/tlsrpt+gzip"), "the post")
        check_json(json.loads(gzip.decompress(body)), account, failed)
        [message] = wait_mails(peers["mx.wrong"], 1)
        check_json(attachment(message)[0], account, failed)
        expect_equal(len(peers["mx.wrong"].mails), 1, "mail at a server without a good certificate")
        # Each address once, however often the others were tried.
        expect_equal(len(web.posts), 2, "posts")

        # Nobody asks for reports on clear.test.
        [account] = send_report(suite, "clear")
        expect_equal((account["state"], account["policies"]), ("not wanted", []), "clear.test")
        expect_match(r"1 x starttls-not-supported at mx\.clear\.test\[127\.0\.1\.3\]",
                     suite.cli("tlsrpt", "clear.test").stdout, "clear.test")

        # What brought the reports is not reported, or it would never end.
        expect_equal(accounts(suite, "receiver"), [], "events of reports")
        expect_equal(sums(suite, "wrong"), (0, 1), "events of reports")
        expect_equal(suite.cli("tlsrpt", "--send", "receiver.test", check=False).returncode, 66, "nothing to send")
        expect_equal(send(suite, "good"), "sent", "good")
        wait_counted(suite, "good", (3, 0))
        [account] = send_report(suite, "good")
        got, _ = attachment(wait_mails(receiver, 2)[1])
        check_json(got, account, [no_policy("good", 1)])

        # Mail does not wait for it; what it was told while it hung counts.
        for pid in suite.pids("tlsrpt"):
            os.kill(pid, signal.SIGSTOP)
        for _ in range(3):
            expect_equal(send(suite, "good"), "sent", "mail while tlsrpt hangs")
        for pid in suite.pids("tlsrpt"):
            os.kill(pid, signal.SIGCONT)
        wait_counted(suite, "good", (6, 0))

        # Killed, it costs what was not counted meanwhile, and no mail.
        for pid in suite.pids("tlsrpt"):
            os.kill(pid, signal.SIGKILL)
            procs.wait_gone([pid], 10)
        for _ in range(3):
            expect_equal(send(suite, "good"), "sent", "mail while tlsrpt is away")
        expect(sums(suite, "good")[0] >= 6, "what was counted before")

        # Nor does a reload cost anything: the next process has the same counts.
        suite.reload()
        before = sums(suite, "good")[0]
        expect_equal(send(suite, "good"), "sent", "mail behind a reload")
        ports.wait_until(lambda: sums(suite, "good")[0] > before, 10, "a count behind the reload")
        expect_equal(send_report(suite, "good")[-1]["state"], "sent", "a report behind the reload")
        wait_mails(receiver, 3)

        # The command says what it cannot do.
        expect_equal(suite.cli("tlsrpt", "--send", check=False).returncode, 64, "no domain")
        expect_equal(suite.cli("tlsrpt", "not_a_domain..", check=False).returncode, 64, "no domain")

    # Resumed sessions; a service of another name; one domain a day; and nothing to say of good days.
    for skips, wanted in (("yes", (1, 0)), ("no", (2, 0))):
        with Suite(start=False, smtp_tlsrpt_skip_reused_handshakes=skips, tlsrpt_service_name="tellers",
                   tlsrpt_domain_limit="1", tlsrpt_report_successes="no", **settings) as suite:
            master = suite.dir / "master.cf"
            master.write_text(master.read_text().replace("\ntlsrpt ", "\ntellers "))
            suite.start()
            before = len(peers["mx.good"].sessions)
            for _ in range(2):
                expect_equal(send(suite, "good"), "sent", "good")
            expect_equal([s.resumed for s in peers["mx.good"].sessions[before:]], [False, True], "resumption")
            expect_equal(send(suite, "clear"), "sent", "clear")
            suite.wait_log(r"tlsrpt\[\d+\]: warning: not counted for clear\.test: there are 1 domains today")
            wait_counted(suite, "good", wanted)
            expect_match(r"1 connection not counted: no room \(tlsrpt_domain_limit\)", suite.cli("tlsrpt").stdout, "")
            [account] = send_report(suite, "good")
            expect_equal(account["state"], "nothing to say", "a day without failures")

    # Switched off, nobody is asked.
    with Suite(**{**settings, "smtp_tlsrpt_enable": "no"}) as suite:
        expect_equal(send(suite, "good"), "sent", "good")
        expect_equal(suite.cli("tlsrpt", "good.test", check=False).returncode, 66, "counts")
