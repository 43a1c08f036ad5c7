# SPDX-License-Identifier: MIT
"""Policy hosts of MTA-STS: an HTTPS server (OpenSSL, by way of Python) for any number of domains.

    with StsHost(certificate) as host:
        host.policies["example.test"] = policy("enforce", ["mx.example.test"])
        host.asked      # ["example.test", ...]: by the Host header

A policy is text, or a function of (connection) that answers in its own way, or None: 404.
"""
import http.server
import socketserver
import ssl
import threading

import ports


def policy(mode, mx=(), max_age=86400):
    return (f"version: STSv1\r\nmode: {mode}\r\n" + "".join(f"mx: {name}\r\n" for name in mx)
            + f"max_age: {max_age}\r\n")


def answer(body, status=200, kind="text/plain", headers=()):
    """A policy that is sent with another status or content type."""
    def send(connection):
        data = body.encode()
        connection.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(data))), *headers):
            connection.send_header(name, value)
        connection.end_headers()
        connection.wfile.write(data)
    return send


class _Connection(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        host = self.server.host
        domain = self.headers.get("Host", "").split(":")[0].removeprefix("mta-sts.")
        host.asked.append(domain)
        wanted = host.policies.get(domain)
        if self.path != "/.well-known/mta-sts.txt" or wanted is None:
            wanted = answer("not found", 404)
        (answer(wanted) if isinstance(wanted, str) else wanted)(self)

    def log_message(self, *_):
        pass


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def get_request(self):
        connection, address = super().get_request()
        connection.settimeout(30)
        return connection, address

    def finish_request(self, request, client_address):
        try:
            with self.context.wrap_socket(request, server_side=True) as secure:
                super().finish_request(secure, client_address)
        except (OSError, ValueError):
            pass  # a client that does not like the certificate


class StsHost:
    def __init__(self, certificate, address="127.0.0.1", port=None):
        self.address, self.port = address, port or ports.free_port(address)
        self.policies, self.asked = {}, []
        self.use(certificate)

    def use(self, certificate):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.cert, certificate.key)
        if hasattr(self, "server"):
            self.server.context = self.context

    def __enter__(self):
        self.server = _Server((self.address, self.port), _Connection)
        self.server.host, self.server.context = self, self.context
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
