# SPDX-License-Identifier: MIT
"""What each level of TLS logging adds, and that none shows what was said.

# shows: smtp_tls_loglevel lmtp_tls_loglevel
"""
import tempfile

import certs
from suite import Suite, expect, expect_equal
from tls_peer import TlsPeer

ADDED = {  # by level
    1: ["TLS connection established to "],
    2: ["setting up TLS connection to ", "TLS cipher list ", "fingerprint="],
    3: [": sent CLIENT HELLO, ", ": received SERVER HELLO, ", ": received FINISHED, ", ": sent FINISHED, ",
        ": sent alert: Close notify"],
    4: [": sent data, ", ": received data, "],
}

with tempfile.TemporaryDirectory() as directory:
    certificate = certs.Authority(directory).issue("peer.example")
    for flavor, parameter in (("smtp", "smtp_tls_loglevel"), ("lmtp", "lmtp_tls_loglevel")):
        with TlsPeer(certificate) as peer, Suite(start=False) as suite:
            routes = "".join(f"level{n}.example {flavor}-{n}:inet:[127.0.0.1]:{peer.port}\n".replace(
                "inet:" if flavor == "smtp" else "\0", "") for n in range(5))
            suite.configure(transport_maps=f"texthash:{suite.write('transport', routes)}")
            with (suite.config / "master.cf").open("a") as file:
                for n in range(5):
                    file.write(f"{flavor}-{n} unix - - n - 1 {flavor} -o {flavor}_tls_security_level=encrypt "
                               f"-o {parameter}={n} -o {flavor}_connection_cache_on_demand=no "
                               f"-o syslog_name=level{n}\n")
            suite.start()
            for level in range(5):
                sent = suite.send("from@example.org", [f"to@level{level}.example"], "Subject: s\n\nhush hush\n")
                suite.wait_log(rf"{sent}: to=<to@level{level}\.example>.*status=sent")
                suite.wait_log(rf"{sent}: removed")
            suite.stop()
            log = suite.lines()
            for level in range(5):
                own = "\n".join(line for line in log if f" level{level}/{flavor}[" in line)
                for added, texts in ADDED.items():
                    for text in texts:
                        expect_equal(text in own, level >= added, f"{parameter} = {level}: {text!r}")
                expect("hush" not in own and "MAIL FROM" not in own, "what was said")
