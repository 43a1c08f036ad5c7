# SPDX-License-Identifier: MIT
"""Signed records, made by hand: what no signer would write, for hostile_names.HostileServer.

    key = Key("a.example")
    signed(key, "a.example", A, [a_rdata])     # the records and their RRSIG, as rules answer them
    key.anchor                                 # "a.example. IN DS ..."

RSA with SHA-256 (RFC 5702), with a public exponent as long as the modulus: the most that a signature
can cost who checks it.
"""
import hashlib
import random
import struct

from hostile_names import encode, record

DNSKEY, RRSIG = 48, 46
RSASHA256 = 8
BITS = 2048
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
chance = random.Random(4)  # the same keys in each run


def prime(bits):
    while True:
        n = chance.getrandbits(bits) | 3 << (bits - 2) | 1
        if all(n % small for small in (3, 5, 7, 11, 13, 17, 19, 23)) and \
                all(pow(base, n - 1, n) == 1 for base in (2, 3, 5, 7, 11)):
            return n


def rdata_of(modulus, exponent):
    e = exponent.to_bytes((exponent.bit_length() + 7) // 8, "big")
    return struct.pack(">HBBBH", 257, 3, RSASHA256, 0, len(e)) + e + modulus.to_bytes(BITS // 8, "big")


def tag_of(rdata):
    """RFC 4034 appendix B."""
    total = sum(byte << 8 if at % 2 == 0 else byte for at, byte in enumerate(rdata))
    return (total + (total >> 16)) & 0xffff


class Key:
    def __init__(self, zone):
        p, q = prime(BITS // 2), prime(BITS // 2)
        self.zone, self.modulus = zone, p * q
        self.public = chance.getrandbits(BITS - 8) | 1 << (BITS - 9) | 1
        while True:
            try:
                self.secret = pow(self.public, -1, (p - 1) * (q - 1))
                break
            except ValueError:
                self.public += 2
        self.rdata = rdata_of(self.modulus, self.public)
        self.tag = tag_of(self.rdata)

    @property
    def anchor(self):
        digest = hashlib.sha256(encode(self.zone) + self.rdata).hexdigest()
        return f"{self.zone}. IN DS {self.tag} {RSASHA256} 2 {digest}\n"

    def sign(self, content):
        block = DIGEST_INFO + hashlib.sha256(content).digest()
        padded = b"\0\1" + b"\xff" * (BITS // 8 - 3 - len(block)) + b"\0" + block
        return pow(int.from_bytes(padded, "big"), self.secret, self.modulus).to_bytes(BITS // 8, "big")


def rrsig_head(zone, name, kind, tag, ttl=300):
    return struct.pack(">HBBIIIH", kind, RSASHA256, len(name.split(".")), ttl, 0x7fffffff, 0, tag) + \
        encode(zone)


def signed(key, name, kind, rdatas):
    head = rrsig_head(key.zone, name, kind, key.tag)
    content = head + b"".join(encode(name) + struct.pack(">HHIH", kind, 1, 300, len(rdata)) + rdata
                              for rdata in sorted(rdatas))
    return [record(kind, rdata) for rdata in rdatas] + [record(RRSIG, head + key.sign(content))]


def key_with_tag(tag):
    """The rdata of a key that nobody has the secret of."""
    public = chance.getrandbits(BITS - 8) | 1 << (BITS - 9) | 1
    while True:
        rdata = bytearray(rdata_of(chance.getrandbits(BITS) | 1 << (BITS - 1) | 1, public))
        at = len(rdata) - 4  # a word of the modulus, and not its last
        for _ in range(3):
            word = (struct.unpack_from(">H", rdata, at)[0] + tag - tag_of(rdata)) & 0xffff
            struct.pack_into(">H", rdata, at, word)
            if tag_of(rdata) == tag:
                return bytes(rdata)


def wrong_signatures(zone, name, kind, tag, count):
    """RRSIGs that look right; each has to be tried with each key of that tag."""
    head = rrsig_head(zone, name, kind, tag)
    return [record(RRSIG, head + chance.getrandbits(BITS - 1).to_bytes(BITS // 8, "big"))
            for _ in range(count)]
