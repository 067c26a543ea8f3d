"""Keys that prove nothing, signatures that are forged, signers that are somebody else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from signing.kernel import Kind
from tests.builders import authorities
from tests.builders.authorities import Holder, Shape, ec_key, issue, rsa_key
from tests.builders.der import integer, octets, oid, sequence, tagged
from tests.builders.signed import How, message
from tests.signing.hostile.wrong import TAMPERED, UNREADABLE, Wrong, by, of

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# Of some key of 512 bits; no library makes one any more.
_SMALL_MODULUS = int(
    "BE7A22C98A6952B2AB18467D18A87E6A335BDE4F165816DAA2BA5E33EDE2CF9AC17D062D0C34E15F"
    "D30B44D158E22A285236E9ECA0A8D884F1DC92DEEAA9C6D7",
    16,
)
_SMALL_PRIVATE = int(
    "5362806C1E4DB1484A225C69532C1FFB39F493C3A792749ECDF22C5F2B5AC96AC1843141AD0363DF"
    "9E1D6AF914DB4FD78382598D065199DD07C81CEC4F0000A1",
    16,
)
_CURVES = {"P-224": ec.SECP224R1, "secp256k1": ec.SECP256K1, "brainpool": ec.BrainpoolP256R1}


def keys() -> Iterator[Wrong]:
    yield from _signers()
    yield from _ecdsa()
    yield from _rsa()
    yield from _pss()


def _signers() -> Iterator[Wrong]:
    good, above = authorities.publisher(), authorities.authority()
    yield Wrong(
        "signer not in the bag",
        lambda content: message(content, [How(good)], [above.certificate]),
        TAMPERED,
        "is not in it",
    )
    twin = issue(Shape("Example publisher", ec_key(67), serial=good.serial), _impostor(above))
    how = How(good, sign=lambda data: twin.key.sign(data, "sha256"))
    pair = (good.certificate, twin.certificate)
    yield Wrong(
        "a certificate of the same name and number behind the publisher's",
        lambda content: message(content, [how], [*pair, above.certificate]),
        (Kind.TAMPERED, Kind.UNTRUSTED),
    )
    yield Wrong(
        "a certificate of the same name and number before the publisher's",
        lambda content: message(content, [how], [*pair[::-1], above.certificate]),
        (Kind.TAMPERED, Kind.UNTRUSTED),
    )
    twin_id = replace(twin, key_id=good.key_id)
    yield Wrong(
        "a key identifier of nobody",
        lambda content: message(content, [How(replace(good, key_id=bytes(20)), by_key_id=True)]),
        TAMPERED,
        "is not in it",
    )
    yield Wrong(
        "a key identifier of somebody else",
        lambda content: message(
            content,
            [How(twin_id, by_key_id=True, sign=lambda data: twin.key.sign(data, "sha256"))],
            [*pair, above.certificate],
        ),
        (Kind.TAMPERED, Kind.UNTRUSTED),
    )
    yield of(
        "key of somebody else",
        How(good, sign=lambda data: ec_key(66).sign(data, "sha256")),
        TAMPERED,
        "did not make it",
    )


def _impostor(real: Holder) -> Holder:
    """Somebody with the name of a CA and not its key."""
    return replace(real, key=ec_key(68))


# --- elliptic curves ----------------------------------------------------------------------


def _ecdsa() -> Iterator[Wrong]:
    good = authorities.publisher()
    yield from by(
        TAMPERED,
        "did not make it",
        r_and_s_of_zero=How(good, sign=lambda _: encode_dss_signature(0, 0)),
        r_and_s_of_one=How(good, sign=lambda _: encode_dss_signature(1, 1)),
        r_of_the_order=How(good, sign=lambda _: encode_dss_signature(_P256_ORDER, 1)),
        r_beyond_the_order=How(good, sign=lambda data: _moved(good, data, _P256_ORDER)),
        r_below_zero=How(good, sign=lambda data: _moved(good, data, -_P256_ORDER)),
        r_of_a_megabit=How(good, sign=lambda data: _moved(good, data, 1 << 1_000_000)),
        no_signature=How(good, sign=lambda _: b""),
        a_signature_and_more=How(good, sign=lambda data: good.key.sign(data, "sha256") + b"\0"),
    )
    for name, curve in _CURVES.items():
        holder = issue(Shape(f"On {name}", ec_key(7, curve)), authorities.authority())
        yield of(f"curve {name}", How(holder), TAMPERED, "did not make it")
    holder = issue(Shape("Own generator", ec_key(69), public=_explicit()), authorities.authority())
    yield of("explicit curve parameters", How(holder), TAMPERED)


def _moved(by: Holder, data: bytes, distance: int) -> bytes:
    r, s = decode_dss_signature(by.key.sign(data, "sha256"))
    return sequence(integer(r + distance), integer(s))


def _explicit() -> bytes:
    """P-256 spelled out, with a generator of one's own (CVE-2020-0601)."""
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    point = ec_key(69).public[-65:]
    parameters = sequence(
        integer(1),
        sequence(oid("1.2.840.10045.1.1"), integer(prime)),
        sequence(octets((prime - 3).to_bytes(32, "big")), octets(b.to_bytes(32, "big"))),
        octets(point),
        integer(_P256_ORDER),
        integer(1),
    )
    return sequence(sequence(oid("1.2.840.10045.2.1"), parameters), tagged(0x03, b"\0" + point))


# --- RSA ----------------------------------------------------------------------------------


def _rsa() -> Iterator[Wrong]:
    ca, modulus = authorities.authority(), authorities.some_modulus(2048)
    for name, public in {
        "exponent 1": authorities.rsa_public(modulus, 1),
        "an even exponent": authorities.rsa_public(modulus, 2),
        "an exponent as long as the modulus": authorities.rsa_public(modulus, modulus - 2),
        "a modulus of 0": authorities.rsa_public(0, 65537),
        "a modulus of 1": authorities.rsa_public(1, 65537),
        "a modulus below 0": authorities.rsa_public(-modulus, 65537),
        "32,768 bits": authorities.rsa_public(authorities.some_modulus(32768), 65537),
    }.items():
        holder = issue(Shape(f"RSA, {name}", rsa_key(2), public=public), ca)
        yield of(f"RSA with {name}", How(holder, sign=_as_it_is), TAMPERED)
    public = authorities.rsa_public(_SMALL_MODULUS, 65537)
    small = issue(Shape("RSA of 512 bits", rsa_key(2), public=public), ca)
    yield of("RSA of 512 bits", How(small, sign=_small), TAMPERED, "did not make it")
    three = issue(Shape("Exponent 3", rsa_key(3, exponent=3)), ca)
    plain = issue(Shape("RSA publisher", rsa_key(2)), ca)
    yield from by(
        TAMPERED,
        "did not make it",
        exponent_3_garbage_behind_the_digest=How(three, sign=_forged),
        exponent_3_garbage_in_the_parameters=How(three, sign=_forged_in_parameters),
        bare_sha1_digest=How(plain, digest="sha1", sign=lambda data: _bare(plain, data, "sha1")),
        bare_sha256_digest=How(plain, sign=lambda data: _bare(plain, data, "sha256")),
        no_null_in_the_parameters_and_a_wrong_digest=How(
            plain, sign=lambda _: _bare(plain, b"", "sha256")
        ),
        a_leading_zero=How(plain, sign=lambda data: b"\0" + plain.key.sign(data, "sha256")),
        signature_of_zeros=How(plain, sign=lambda _: bytes(256)),
        ecdsa_named_for_an_rsa_key=How(plain, algorithm=sequence(oid("1.2.840.10045.4.3.2"))),
    )


def _as_it_is(data: bytes) -> bytes:
    """What an exponent of 1 leaves as it is."""
    return authorities.padded_to(256, authorities.digest_info(data, "sha256"))


def _small(data: bytes) -> bytes:
    info = authorities.digest_info(data, "sha256")
    return authorities.raw_with(_SMALL_MODULUS, _SMALL_PRIVATE, info)


def _bare(by: Holder, data: bytes, digest: str) -> bytes:
    return authorities.raw(by.key, hashlib.new(digest, data).digest())


def _forged(data: bytes) -> bytes:
    """Bleichenbacher's forgery of 2006: short padding, and what comes behind is not looked at."""
    return _cube_root(authorities.digest_info(data, "sha256"))


def _forged_in_parameters(data: bytes) -> bytes:
    """Its variant: the garbage lies where the digest's algorithm may have parameters.

    The low third of a cube is free, so the digest is what would differ: it is enough that a
    verifier that takes any parameters has no reason to refuse the form.
    """
    algorithm = sequence(oid(authorities.DIGEST_OIDS["sha256"]), octets(bytes(120)))
    return _cube_root(sequence(algorithm, octets(hashlib.sha256(data).digest())))


def _cube_root(info: bytes) -> bytes:
    head = b"\0\1" + b"\xff" * 8 + b"\0" + info
    highest = int.from_bytes(head.ljust(256, b"\xff"), "big")
    low, high = 0, 1 << 700
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= highest else (low, middle - 1)
    return low.to_bytes(256, "big")


def _pss() -> Iterator[Wrong]:
    holder = issue(Shape("PSS publisher", rsa_key(2, kind="pss")), authorities.authority())
    named = authorities.pss_algorithm
    yield from by(
        (*TAMPERED, *UNREADABLE),
        "",
        pss_another_digest_named=How(holder, algorithm=named("sha1", "sha1", 20)),
        pss_salt_of_600=How(holder, algorithm=named("sha256", "sha256", 600)),
        pss_salt_below_0=How(holder, algorithm=named("sha256", "sha256", -1)),
        pss_salt_of_another_length=How(holder, algorithm=named("sha256", "sha256", 20)),
        pss_unknown_mask=How(holder, algorithm=named("sha256", "sha3-256", 32)),
        pss_no_parameters=How(holder, algorithm=sequence(oid("1.2.840.113549.1.1.10"))),
    )
    # RFC 4056, 3: the digest of the parameters is that of the attributes.
    yield of(
        "PSS over SHA-1 that is called SHA-256",
        How(
            holder,
            algorithm=named("sha1", "sha1", 20),
            sign=lambda data: holder.key.sign(data, "sha1"),
        ),
        TAMPERED,
        "did not make it",
    )
