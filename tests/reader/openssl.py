"""Specimens made by OpenSSL's command line, so that our reader is not tried on our own writing.

Keys, certificates, revocation lists, signatures over security objects and master lists: all of them come from `openssl`.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from annul.reader import tlv

EC_NAMED, EC_WRITTEN = "named_curve", "explicit"


def openssl(*arguments: object, cwd: Path) -> bytes:
    """Run the command and return what it wrote."""
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def der(text: str, cwd: Path) -> bytes:
    """Write DER from a description; see asn1parse(1), -genconf."""
    (cwd / "asn1.conf").write_text(text)
    openssl("asn1parse", "-genconf", "asn1.conf", "-noout", "-out", "asn1.der", cwd=cwd)
    return (cwd / "asn1.der").read_bytes()


def security_object(groups: Mapping[int, bytes], cwd: Path, *, digest: str = "SHA256", name: str = "sha256") -> bytes:
    """Write an LDS security object over data groups."""
    lines = ["asn1=SEQUENCE:lds", "[lds]", "version=INTEGER:0", "algorithm=SEQUENCE:algorithm", "groups=SEQUENCE:groups"]
    lines += ["[algorithm]", f"oid=OID:{digest}", "[groups]", *(f"g{n}=SEQUENCE:group{n}" for n in groups)]
    for number, data in groups.items():
        hashed = hashlib.new(name, data).hexdigest()
        lines += [f"[group{number}]", f"number=INTEGER:{number}", f"digest=FORMAT:HEX,OCTETSTRING:{hashed}"]
    return der("\n".join(lines), cwd)


class Country:
    """A country signer and one document signer, each with files `NAME.key` and `NAME.pem` in `folder`.

    Args:
        folder: where the files go.
        key: arguments of `openssl genpkey`.
        country: two letters of both, or of the signer alone with `signer_country`.
        authority: extensions of the country signer, one a line.
    """

    def __init__(
        self,
        folder: Path,
        key: Sequence[str],
        *,
        country: str = "UT",
        signer_country: str = "",
        authority: str = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        (folder / "ca.ext").write_text("[v3]\n" + authority + "subjectKeyIdentifier=hash\n" if authority else "[v3]\n")
        key_named = "authorityKeyIdentifier=keyid\n" if authority else ""
        (folder / "ds.ext").write_text("keyUsage=critical,digitalSignature\n" + key_named)
        (folder / "empty.conf").write_text("[req]\ndistinguished_name=dn\n[dn]\n")
        for name in ("ca", "ds"):
            openssl("genpkey", *key, "-out", f"{name}.key", cwd=folder)
        subject = f"/C={country}/O=Specimen/CN=Country Signer"
        openssl("req", "-new", "-key", "ca.key", "-subj", subject, "-config", "empty.conf", "-out", "ca.csr", cwd=folder)
        # a certificate of version 1 where nothing is said of authority
        told = ("-extfile", "ca.ext", "-extensions", "v3") if authority else ()
        self._x509("ca", "-req", "-in", "ca.csr", "-signkey", "ca.key", "-days", "7000", *told)
        self.certify("ds", f"/C={signer_country or country}/O=Specimen/CN=Document Signer")

    def _x509(self, name: str, *arguments: str) -> None:
        openssl("x509", *arguments, "-sha256", "-out", f"{name}.pem", cwd=self.folder)

    def certify(self, name: str, subject: str, *, days: int = 3000) -> None:
        """Let the country signer certify `NAME.key`."""
        openssl(
            "req",
            "-new",
            "-key",
            f"{name}.key",
            "-subj",
            subject,
            "-config",
            "empty.conf",
            "-out",
            f"{name}.csr",
            cwd=self.folder,
        )
        self._x509(
            name,
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            str(days),
            "-extfile",
            "ds.ext",
        )

    def certificate(self, name: str = "ca", form: str = "DER") -> bytes:
        """Return a certificate as DER or PEM."""
        return openssl("x509", "-in", f"{name}.pem", "-outform", form, cwd=self.folder)

    def sign(
        self, content: bytes, *options: str, kind: str = "2.23.136.1.1.1", digest: str = "sha256", by: str = "ds"
    ) -> bytes:
        """Return CMS signed data over `content`."""
        (self.folder / "content.bin").write_bytes(content)
        openssl(
            "cms",
            "-sign",
            "-binary",
            "-nodetach",
            "-nosmimecap",
            "-econtent_type",
            kind,
            "-in",
            "content.bin",
            "-outform",
            "DER",
            "-out",
            "signed.der",
            "-signer",
            "ds.pem",
            "-inkey",
            "ds.key",
            "-md",
            digest,
            *options,
            cwd=self.folder,
        )
        return (self.folder / "signed.der").read_bytes()

    def sod(self, groups: Mapping[int, bytes], *options: str, digest: str = "sha256") -> bytes:
        """Return EF.SOD over data groups."""
        return tlv.write(0x77, self.sign(security_object(groups, self.folder), *options, digest=digest))

    def master_list(self, certificates: Sequence[bytes]) -> bytes:
        """Return a master list of DER certificates, signed by the document signer's key."""
        (self.folder / "listed").mkdir(exist_ok=True)
        content = tlv.write(0x30, b"\x02\x01\x00" + tlv.write(0x31, b"".join(sorted(certificates))))
        return self.sign(content, kind="2.23.136.1.1.2")

    def revocation_list(self, *names: str, form: str = "DER") -> bytes:
        """Return a revocation list of the country signer over certificates of these names."""
        (self.folder / "index.txt").write_text("")
        (self.folder / "crlnumber").write_text("01\n")
        (self.folder / "ca.conf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=30\n"
            "certificate=ca.pem\nprivate_key=ca.key\n"
        )
        for name in names:
            openssl("ca", "-config", "ca.conf", "-revoke", f"{name}.pem", cwd=self.folder)
        openssl("ca", "-config", "ca.conf", "-gencrl", "-out", "crl.pem", cwd=self.folder)
        return openssl("crl", "-in", "crl.pem", "-outform", form, cwd=self.folder)


def ec(curve: str, writing: str = EC_NAMED) -> tuple[str, ...]:
    """Return the arguments that make a key on a curve, named or written out in full."""
    return ("-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-pkeyopt", f"ec_param_enc:{writing}")


def rsa(bits: int = 2048) -> tuple[str, ...]:
    """Return the arguments that make an RSA key."""
    return ("-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}")


P_256 = ec("P-256")
