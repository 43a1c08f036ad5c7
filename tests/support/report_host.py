# SPDX-License-Identifier: MIT
"""An HTTPS server that takes reports on TLS by POST (RFC 8460 section 5.4).

    with ReportHost(certificate) as host:
        host.posts      # [(path, headers, body), ...]
        host.status     # what it answers
"""
import http.server
import ssl
import threading


class ReportHost:
    def __init__(self, certificate, address="127.0.0.1"):
        self.posts, self.status, host = [], 201, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                host.posts.append((self.path, dict(self.headers), body))
                self.send_response(host.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
