# SPDX-License-Identifier: MIT
"""A small SMTP or LMTP server with TLS (OpenSSL, by way of Python), for what real servers do not do on
demand. Each connection is a thread; what happened is in `sessions`."""
import socket
import ssl
import threading

import ports


class Session:
    """One connection. tls: None, or the version; sni: the name asked for, or None; resumed; commands: lines
    as (secure, text); mails: content as it came, undoubled."""

    def __init__(self):
        self.tls = self.cipher = self.sni = self.client_cert = None
        self.resumed = False
        self.commands, self.mails = [], []
        self.connection = None

    def close(self):
        """From our side, and without close_notify."""
        self.connection.shutdown(socket.SHUT_RDWR)  # its thread sees that, too


class TlsPeer:
    """`starttls`: yes, no (not offered), 454 or 502 (refused with that), cut (closed after the 220), half
    (closed within the handshake), inject (clear text right behind the 220), garbage (no TLS behind the
    220), stall (nothing behind the 220). `wrapper`: TLS from the first byte. `keywords`, `keywords_tls`:
    of EHLO before and behind the handshake. `cut_at`: verbs at which the connection ends, behind the
    handshake. `min_version`, `max_version`: of ssl.TLSVersion. `replies`:
    verb to reply, in place of the usual."""

    def __init__(self, certificate=None, address="127.0.0.1", port=None, name="peer.example", starttls="yes",
                 wrapper=False, keywords=("PIPELINING", "8BITMIME"), keywords_tls=None, ciphers=None,
                 min_version=ssl.TLSVersion.TLSv1, max_version=None, client_ca=None, replies=None, tickets=2,
                 cut_at=()):
        self.address, self.port = address, port or ports.free_port(address)
        self.name, self.starttls, self.wrapper = name, starttls, wrapper
        self.keywords = list(keywords)
        self.keywords_tls = list(keywords if keywords_tls is None else keywords_tls)
        self.replies, self.cut_at = replies or {}, cut_at
        self.cut_session = None  # or the only one that cut_at is for
        self.sessions, self.errors = [], []
        self.context = None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_ciphers(ciphers or "DEFAULT:@SECLEVEL=0")
            context.minimum_version = min_version
            if max_version:
                context.maximum_version = max_version
            context.load_cert_chain(certificate.cert, certificate.key)
            context.num_tickets = tickets
            if client_ca:
                context.verify_mode = ssl.CERT_OPTIONAL
                context.load_verify_locations(client_ca)
            context.sni_callback = self._note_name
            self.context = context

    def _note_name(self, connection, name, _context):
        connection.session_of_test.sni = name

    def __enter__(self):
        self.listener = socket.create_server((self.address, self.port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        session = Session()
        self.sessions.append(session)
        try:
            with connection:
                if self.wrapper:
                    connection = self._secure(connection, session)
                self._converse(connection, session)
        except OSError as error:  # ssl.SSLError is one
            self.errors.append(str(error))
        finally:
            if session.connection:
                session.connection.close()

    def _secure(self, connection, session):
        secured = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        secured.session_of_test, session.connection = session, secured
        secured.do_handshake()
        session.tls, session.resumed = secured.version(), secured.session_reused
        session.cipher, session.client_cert = secured.cipher()[0], secured.getpeercert(True)
        return secured

    def _ehlo(self, session):
        words = list(self.keywords_tls if session.tls else self.keywords)
        if not session.tls and self.starttls != "no" and not self.wrapper:
            words.append("STARTTLS")
        lines = [self.name, *words]
        return "".join(f"250{'-' if i + 1 < len(lines) else ' '}{line}\r\n" for i, line in enumerate(lines))

    def _converse(self, connection, session):
        reader = connection.makefile("rb")
        recipients = 0

        def say(text):
            connection.sendall(text.encode("latin-1"))

        say(f"220 {self.name} ESMTP\r\n")
        while True:
            line = reader.readline()
            if not line.endswith(b"\n"):
                return
            text = line.decode("latin-1").rstrip("\r\n")
            session.commands.append((session.tls is not None, text))
            verb = text.split(" ")[0].upper()
            if session.tls and verb in self.cut_at and self.cut_session in (None, session):
                return
            if verb in self.replies:
                say(self.replies[verb] + "\r\n")
            elif verb in ("EHLO", "LHLO"):
                say(self._ehlo(session))
            elif verb == "STARTTLS" and not session.tls:
                if self.starttls in ("454", "502"):
                    say(f"{self.starttls} 4.7.0 TLS not available\r\n")
                    continue
                say("220 2.0.0 go ahead\r\n" + ("250 injected\r\n" if self.starttls == "inject" else ""))
                if self.starttls == "cut":
                    return
                if self.starttls == "half":
                    connection.recv(5)
                    return
                if self.starttls == "garbage":
                    say("421 I do not speak TLS\r\n")
                    continue
                if self.starttls == "stall":
                    while connection.recv(65536):
                        pass
                    return
                reader.close()
                connection = self._secure(connection, session)
                reader = connection.makefile("rb")
            elif verb == "MAIL":
                recipients = 0
                say("250 2.1.0 ok\r\n")
            elif verb == "RCPT":
                recipients += 1
                say("250 2.1.5 ok\r\n")
            elif verb == "DATA":
                say("354 go ahead\r\n")
                content = []
                while (part := reader.readline()) not in (b".\r\n", b""):
                    content.append(part[1:] if part.startswith(b".") else part)
                if not part:
                    return
                session.mails.append(b"".join(content))
                say("250 2.0.0 taken\r\n" * (1 if not self.keywords or "LMTP" not in self.keywords else recipients))
            elif verb == "QUIT":
                say("221 2.0.0 bye\r\n")
                return
            elif verb in ("RSET", "NOOP", "XFORWARD"):
                say("250 2.0.0 ok\r\n")
            else:
                say("502 5.5.2 no\r\n")

    @property
    def mails(self):
        return [mail for session in self.sessions for mail in session.mails]

    @property
    def clear_mails(self):
        return [mail for session in self.sessions if session.tls is None for mail in session.mails]
