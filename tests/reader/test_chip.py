"""The walk through a document's chip: whole and green, and each failure told apart."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization

from annul.errors import TimedOut
from annul.reader import active, specimen
from annul.reader.access import PACE_ECDH_CAM, PACE_ECDH_GM, PACE_ECDH_IM, AccessKey, PaceInfo, parse_security_infos
from annul.reader.chip import CARD_ACCESS, CARD_SECURITY_TYPE, DG1, DG2, DG14, DG15, SOD, read_document
from annul.reader.faults import AccessRefused, CardMalformed, CardRefused, ReaderGone
from annul.reader.passive import PassiveVerdict
from annul.reader.reading import AccessList, ActiveAuthentication, Assurance, ChipAuthentication, Means, Reading
from annul.reader.secure_messaging import Suite
from annul.reader.specimen import ActiveKey, ChipKey, SpecimenChip, SpecimenCountry
from annul.reader.trust import TrustList

AT = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
ZONE = [
    "I<UTOD231458907<<<<<<<<<<<<<<<",
    "7408122F3204153UTO<<<<<<<<<<<2",
    "ERIKSSON<<ANNA<MARIA<<<<<<<<<<",
]
KEY = AccessKey.of_fields("D23145890", "740812", "320415")
PORTRAIT = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 60 + b"\xff\xd9"


@pytest.fixture(scope="module")
def utopia() -> SpecimenCountry:
    """A country with a signer in force."""
    return SpecimenCountry(AT)


def issue(country: SpecimenCountry, **options: object) -> SpecimenChip:
    """Issue the specimen document."""
    return specimen.personalise(country, ZONE, KEY, PORTRAIT, **{"chip_key": ChipKey.new(), **options})  # type: ignore[arg-type]


def read(chip: SpecimenChip, trust: TrustList, **options: object) -> Reading:
    """Read it as the counter does."""
    return read_document(chip, options.pop("key", KEY), trust, at=AT, **options)  # type: ignore[arg-type]


def test_a_genuine_document_proves_everything(utopia: SpecimenCountry) -> None:
    """PACE, all files, chip authentication, passive authentication."""
    reading = read(issue(utopia), utopia.trust_list(), printed=ZONE)
    assert reading.means is Means.CHIP
    assert reading.assurance is Assurance.SIGNED_SAME_CHIP
    assert reading.document.scheme == "icao-9303"
    assert reading.document.mrz == ZONE
    assert reading.holder.name == "ERIKSSON, ANNA MARIA"
    assert reading.portrait is not None
    assert (reading.portrait.media_type, reading.portrait.data) == ("image/jpeg", PORTRAIT)
    chip = reading.chip
    assert chip is not None
    assert (chip.access, chip.passive.verdict, chip.print_agrees) == ("PACE", PassiveVerdict.GENUINE, True)
    assert (chip.genuine, chip.unaltered, chip.same_chip) == (True, True, True)
    assert chip.access_list is AccessList.CONFIRMED
    assert dict(chip.passive.groups) == {1: True, 2: True, 14: True}
    assert chip.passive.signer_country == "UT"


@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize("curve", [12, 13])
def test_pace_and_chip_authentication_work_with_every_cipher(utopia: SpecimenCountry, curve: int, suite: Suite) -> None:
    """NIST P-256 and brainpoolP256r1; 3DES and AES of three lengths."""
    info = PaceInfo(f"{PACE_ECDH_GM}.{suite.value}", suite, curve)
    reading = read(issue(utopia, pace=[info], chip_key=ChipKey.new(curve, suite)), utopia.trust_list(), portrait=False)
    assert reading.assurance is Assurance.SIGNED_SAME_CHIP
    assert reading.portrait is None


@pytest.mark.parametrize("curve", [10, 14, 15, 16, 17, 18])
def test_pace_works_on_the_other_standardised_curves(utopia: SpecimenCountry, curve: int) -> None:
    """Domain parameters 10, 14..18, offered beside the usual ones."""
    info = PaceInfo(f"{PACE_ECDH_GM}.4", Suite.AES_256, curve)
    chip = issue(utopia, pace=[info, specimen.PACE_AES], chip_key=None)
    reading = read(chip, utopia.trust_list(), portrait=False)
    assert reading.chip is not None
    assert reading.chip.access == "PACE"
    assert reading.chip.chip_authentication is ChipAuthentication.ABSENT


def test_the_card_access_number_opens_the_chip(utopia: SpecimenCountry) -> None:
    """CAN instead of the zone."""
    chip = specimen.personalise(utopia, ZONE, AccessKey(can="482915"), PORTRAIT)
    assert read(chip, utopia.trust_list(), key=AccessKey(can="482915")).assurance is Assurance.SIGNED


def test_an_older_document_opens_by_bac(utopia: SpecimenCountry) -> None:
    """No EF.CardAccess, no DG14; signed with RSA-PSS."""
    country = SpecimenCountry(AT, rsa_keys=True)
    reading = read(issue(country, pace=[], chip_key=None), country.trust_list())
    assert reading.chip is not None
    assert reading.chip.access == "BAC"
    assert reading.assurance is Assurance.SIGNED
    assert reading.chip.chip_authentication is ChipAuthentication.ABSENT


@pytest.mark.parametrize("pace", [[specimen.PACE_AES], []])
def test_a_wrong_access_key_is_told_apart(utopia: SpecimenCountry, pace: list[PaceInfo]) -> None:
    """One digit of the birth date is wrong: PACE and BAC both say so."""
    with pytest.raises(AccessRefused):
        read(issue(utopia, pace=pace), utopia.trust_list(), key=AccessKey.of_fields("D23145890", "740813", "320415"))


def verdict(chip: SpecimenChip, trust: TrustList) -> PassiveVerdict:
    """Return the verdict of passive authentication."""
    evidence = read(chip, trust).chip
    assert evidence is not None
    assert not evidence.same_chip
    return evidence.passive.verdict


def test_a_forged_name_is_an_altered_group(utopia: SpecimenCountry) -> None:
    """DG1 rewritten after signing."""
    chip = issue(utopia)
    chip.files[DG1] = chip.files[DG1].replace(b"ANNA", b"EVIL")
    reading = read(chip, utopia.trust_list(), printed=ZONE)
    assert reading.assurance is Assurance.CARD_DATA
    assert reading.chip is not None
    assert reading.chip.passive.verdict is PassiveVerdict.ALTERED
    assert reading.chip.passive.groups == {1: False, 2: True, 14: True}
    assert reading.chip.print_agrees is False
    assert not reading.chip.unaltered


def test_an_exchanged_portrait_is_an_altered_group(utopia: SpecimenCountry) -> None:
    """DG2 of somebody else."""
    chip = issue(utopia)
    chip.files[DG2] = specimen.data_groups(ZONE, PORTRAIT[:-9] + b"\xff\xd9", None)[2]
    assert verdict(chip, utopia.trust_list()) is PassiveVerdict.ALTERED


def test_a_signature_of_a_wrong_key_is_told_apart(utopia: SpecimenCountry) -> None:
    """The certificate is good, the signature is not by its key."""
    assert verdict(issue(utopia, wrong_key=True), utopia.trust_list()) is PassiveVerdict.BAD_SIGNATURE


def test_an_unknown_country_is_told_apart(utopia: SpecimenCountry) -> None:
    """The same name, another key: a forger's country signer."""
    assert verdict(issue(SpecimenCountry(AT)), utopia.trust_list()) is PassiveVerdict.UNKNOWN_SIGNER
    assert verdict(issue(utopia), TrustList([])) is PassiveVerdict.UNKNOWN_SIGNER


def test_an_expired_signer_is_told_apart() -> None:
    """The document signer's dates are over."""
    country = SpecimenCountry(AT, years=0)
    assert verdict(issue(country), country.trust_list()) is PassiveVerdict.EXPIRED_SIGNER


def test_a_revoked_signer_is_told_apart(utopia: SpecimenCountry) -> None:
    """Its certificate is on the list of revoked ones."""
    evidence = read(issue(utopia), utopia.trust_list()).chip
    assert evidence is not None
    assert verdict(issue(utopia), utopia.trust_list(revoked=[evidence.passive.signer])) is PassiveVerdict.REVOKED_SIGNER


def test_a_signer_of_another_state_is_told_apart() -> None:
    """A true signer of one state cannot write documents of another."""
    country = SpecimenCountry(AT, country="FR")
    assert verdict(issue(country), country.trust_list()) is PassiveVerdict.OTHER_STATE


def test_a_document_without_security_object_is_malformed(utopia: SpecimenCountry) -> None:
    """EF.SOD is missing, or is noise."""
    chip = issue(utopia)
    del chip.files[SOD]
    assert verdict(chip, utopia.trust_list()) is PassiveVerdict.MALFORMED
    chip = issue(utopia)
    chip.files[SOD] = b"\x77\x82\x01\x00" + bytes(256)
    assert verdict(chip, utopia.trust_list()) is PassiveVerdict.MALFORMED


def test_several_failures_are_all_reported(utopia: SpecimenCountry) -> None:
    """Altered, by an unknown and expired signer: the gravest first."""
    chip = issue(SpecimenCountry(AT, years=0))
    chip.files[DG1] = chip.files[DG1].replace(b"ANNA", b"EVIL")
    evidence = read(chip, utopia.trust_list()).chip
    assert evidence is not None
    assert evidence.passive.failures == (
        PassiveVerdict.ALTERED,
        PassiveVerdict.UNKNOWN_SIGNER,
        PassiveVerdict.EXPIRED_SIGNER,
    )


def test_a_clone_of_a_chip_fails_chip_authentication(utopia: SpecimenCountry) -> None:
    """All files copied, but the private key cannot be."""
    chip = issue(utopia)
    chip.chip_key = ChipKey.new()
    reading = read(chip, utopia.trust_list())
    assert reading.chip is not None
    assert reading.chip.chip_authentication is ChipAuthentication.FAILED
    assert (reading.chip.genuine, reading.chip.same_chip) == (True, False)
    assert reading.assurance is Assurance.SIGNED


def test_a_clone_that_rewrites_dg14_is_altered(utopia: SpecimenCountry) -> None:
    """The cloner puts his own key into DG14: the key proves itself, but nobody signed it."""
    chip = issue(utopia)
    own = ChipKey.new()
    chip.chip_key = own
    chip.files[DG14] = specimen.data_groups(ZONE, PORTRAIT, specimen.security_infos([specimen.PACE_AES], own))[14]
    reading = read(chip, utopia.trust_list())
    assert reading.chip is not None
    assert reading.chip.chip_authentication is ChipAuthentication.PASSED
    assert reading.chip.passive.verdict is PassiveVerdict.ALTERED
    assert not reading.chip.same_chip


def test_a_forged_offer_of_weaker_access_is_noticed(utopia: SpecimenCountry) -> None:
    """EF.CardAccess is not signed; DG14 is."""
    weaker = PaceInfo(f"{PACE_ECDH_GM}.1", Suite.TRIPLE_DES, 12)
    chip = issue(utopia, pace=[specimen.PACE_AES, weaker])
    chip.files[CARD_ACCESS] = specimen.security_infos([weaker], None)
    evidence = read(chip, utopia.trust_list()).chip
    assert evidence is not None
    assert evidence.access_list is AccessList.DIFFERS


@pytest.mark.parametrize("file", [DG1, DG2, SOD, DG14])
@pytest.mark.parametrize("length", [b"\x84\xff\xff\xff\xff", b"\x83\xff\xff\xff", b"\x80", b"\x89"])
def test_a_hostile_length_is_refused_before_it_is_followed(utopia: SpecimenCountry, file: int, length: bytes) -> None:
    """Four gigabytes claimed in five bytes."""
    chip = issue(utopia)
    chip.files[file] = chip.files[file][:1] + length + bytes(64)
    with pytest.raises(CardMalformed):
        read(chip, utopia.trust_list())


def test_a_file_shorter_than_its_length_ends(utopia: SpecimenCountry) -> None:
    """The chip claims 60 kB and has 1 kB: no endless reading."""
    chip = issue(utopia)
    chip.files[DG2] = chip.files[DG2][:1] + b"\x83\x00\xea\x60" + bytes(1000)
    with pytest.raises(CardMalformed):
        read(chip, utopia.trust_list())


def test_a_portrait_beyond_32_kilobytes_is_read_whole(utopia: SpecimenCountry) -> None:
    """Offsets above 7FFF need READ BINARY with an odd instruction byte."""
    big = PORTRAIT[:-2] * 4 + b"\xff\xd9"
    chip = specimen.personalise(utopia, ZONE, KEY, big)
    reading = read(chip, utopia.trust_list())
    assert reading.portrait is not None
    assert reading.portrait.data == big
    assert reading.assurance is Assurance.SIGNED


class Fading:
    """A card that goes away after some exchanges, or answers with an error status."""

    def __init__(self, chip: SpecimenChip, after: int, answer: bytes | None) -> None:
        self._chip, self._left, self._answer = chip, after, answer

    def transmit(self, command: bytes) -> bytes:
        self._left -= 1
        if self._left < 0:
            if self._answer is None:
                raise ReaderGone("The card went away.")
            return self._answer
        return self._chip.transmit(command)

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("after", range(0, 24, 1))
def test_a_card_taken_away_in_the_middle_is_a_specific_error(utopia: SpecimenCountry, after: int) -> None:
    """At every exchange of the opening and the first files."""
    with pytest.raises(ReaderGone):
        read_document(Fading(issue(utopia), after, None), KEY, utopia.trust_list(), at=AT)


@pytest.mark.parametrize("answer", [b"", b"\x90", b"\x90\x00", b"\x6f\x00", b"\x69\x88", b"\x61\x00", b"\xff" * 40])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 5, 6, 8, 12, 20])
def test_a_card_that_answers_nonsense_is_a_specific_error(utopia: SpecimenCountry, after: int, answer: bytes) -> None:
    """Error statuses and noise at any point end in an error of the room, never in a reading."""
    with pytest.raises((CardRefused, CardMalformed, AccessRefused)):
        read_document(Fading(issue(utopia), after, answer), KEY, utopia.trust_list(), at=AT)


def test_a_card_that_dawdles_is_cut_off(utopia: SpecimenCountry) -> None:
    """The whole walk has a time limit, whatever each answer takes."""
    ticks = iter(range(0, 10_000, 5))
    with pytest.raises(TimedOut):
        read(issue(utopia), utopia.trust_list(), clock=lambda: float(next(ticks)))


def test_a_reading_shows_nothing_of_the_person(utopia: SpecimenCountry) -> None:
    """repr of a reading, as it may land in a log line."""
    reading = read(issue(utopia), utopia.trust_list())
    for text in (repr(reading), repr(reading.holder), repr(reading.portrait), repr(KEY)):
        assert "ERIKSSON" not in text
        assert "D23145890" not in text
        assert "740812" not in text
    assert replace(reading, notes=("x",)).notes == ("x",)


# -- active authentication ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rsa_bits", [0, 1536, 2048, 3072])
@pytest.mark.parametrize("pace", [(specimen.PACE_AES,), ()])
def test_a_chip_signs_a_fresh_number(utopia: SpecimenCountry, rsa_bits: int, pace: tuple[PaceInfo, ...]) -> None:
    """DG15 with ECDSA or RSA, over PACE and BAC, without chip authentication: the chip is no copy."""
    chip = issue(utopia, active_key=ActiveKey(rsa_bits=rsa_bits), chip_key=None, pace=pace)
    found = read(chip, utopia.trust_list(), portrait=False)
    assert found.chip is not None
    assert found.chip.active_authentication is ActiveAuthentication.PASSED
    assert found.assurance is Assurance.SIGNED_SAME_CHIP
    assert found.chip.passive.groups[15]


@pytest.mark.parametrize("rsa_bits", [0, 1536])
def test_a_copy_cannot_sign(utopia: SpecimenCountry, rsa_bits: int) -> None:
    """All files copied, another key in the chip; no key at all; each is `failed` and the chip is not the same."""
    for other in (ActiveKey(rsa_bits=rsa_bits), None):
        chip = issue(utopia, active_key=ActiveKey(rsa_bits=rsa_bits))
        chip.active_key = other
        found = read(chip, utopia.trust_list(), portrait=False).chip
        assert found is not None
        assert (found.genuine, found.active_authentication) == (True, ActiveAuthentication.FAILED)
        assert not found.same_chip  # though chip authentication passed


def test_a_key_of_dg15_that_nobody_signed_proves_nothing(utopia: SpecimenCountry) -> None:
    """A forger's own DG15 and key: the signature holds, passive authentication does not."""
    forged = ActiveKey()
    chip = issue(utopia, active_key=ActiveKey(), chip_key=None)
    chip.active_key, chip.files[DG15] = forged, forged.dg15()
    found = read(chip, utopia.trust_list(), portrait=False).chip
    assert found is not None
    assert found.active_authentication is ActiveAuthentication.PASSED
    assert (found.passive.verdict, found.same_chip) == (PassiveVerdict.ALTERED, False)


def test_every_altered_bit_of_a_signature_is_seen() -> None:
    """RSA with recovery and plain ECDSA: another number, another bit, another length."""
    number = bytes(range(8))
    for key in (ActiveKey(), ActiveKey(rsa_bits=1536)):
        public = active.public_key(key.dg15())
        good = key.sign(number)
        assert active.holds(public, good, number, "sha256")
        assert not active.holds(public, good, number[::-1], "sha256")
        for bit in range(0, 8 * len(good), 7):
            bad = (int.from_bytes(good, "big") ^ 1 << bit).to_bytes(len(good), "big")
            assert not active.holds(public, bad, number, "sha256")
        for bad in (b"", good[:-1], good + b"\0", bytes(len(good)), b"\xff" * len(good)):
            assert not active.holds(public, bad, number, "sha256")
    assert not active.holds(active.public_key(ActiveKey().dg15()), good, number, None)


@pytest.mark.parametrize(
    "dg15",
    [b"", b"\x6f\x00", b"\x6f\x03\x30\x01\x00", b"\x6f\x84\xff\xff\xff\xff", ActiveKey().dg15()[:-4]],
    ids=["empty", "no content", "short", "endless", "cut"],
)
def test_a_hostile_dg15_is_no_proof_and_no_crash(utopia: SpecimenCountry, dg15: bytes) -> None:
    """Empty, cut, with an impossible length: the walk ends with `failed` or a specific error."""
    chip = issue(utopia, active_key=ActiveKey(), chip_key=None)
    chip.files[DG15] = dg15
    try:
        found = read(chip, utopia.trust_list(), portrait=False).chip
    except (CardMalformed, CardRefused):
        return
    assert found is not None
    assert not found.same_chip


# -- what real chips also do ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", [8, 11, 12, 13, 14, 18])
@pytest.mark.parametrize("suite", list(Suite))
def test_a_chip_that_offers_integrated_mapping_only_is_opened(utopia: SpecimenCountry, suite: Suite, curve: int) -> None:
    """No generic mapping, no BAC."""
    info = PaceInfo(f"{PACE_ECDH_IM}.{suite.value}", suite, curve)
    found = read(issue(utopia, pace=[info]), utopia.trust_list(), portrait=False)
    assert found.chip is not None
    assert (found.chip.access, found.chip.genuine, found.chip.access_list) == ("PACE", True, AccessList.CONFIRMED)


def test_integrated_mapping_is_not_offered_where_it_is_not_defined() -> None:
    """The prime of P-224 is 1 modulo 4."""
    infos = specimen.security_infos([PaceInfo(f"{PACE_ECDH_IM}.2", Suite.AES_128, 10)], None)
    assert parse_security_infos(infos).pace == ()


@pytest.mark.parametrize("suite", [Suite.AES_128, Suite.AES_192, Suite.AES_256])
def test_chip_authentication_mapping_proves_the_chip_at_once(utopia: SpecimenCountry, suite: Suite) -> None:
    """The mapping key comes from the static key: no further step is needed, and it is told."""
    info = PaceInfo(f"{PACE_ECDH_CAM}.{suite.value}", suite, 13)
    found = read(issue(utopia, pace=[info]), utopia.trust_list(), portrait=False)
    assert found.chip is not None
    assert (found.chip.access, found.chip.chip_authentication) == ("PACE-CAM", ChipAuthentication.PASSED)
    assert found.assurance is Assurance.SIGNED_SAME_CHIP


def test_the_key_of_card_security_proves_only_under_the_signer_of_the_document(utopia: SpecimenCountry) -> None:
    """DG14 without a key: EF.CardSecurity decides, if the same signer signed both; another state's is no proof."""
    info, key = PaceInfo(f"{PACE_ECDH_CAM}.2", Suite.AES_128, 13), ChipKey.new()
    other = SpecimenCountry(AT)
    for signer, same in ((utopia, True), (other, False)):
        chip = specimen.personalise(utopia, ZONE, KEY, PORTRAIT, pace=[info])
        chip.chip_key = key
        chip.files[0x1_011D] = signer.signed(CARD_SECURITY_TYPE, specimen.security_infos([info], key))
        believed = TrustList([each.country_certificate.public_bytes(serialization.Encoding.DER) for each in (utopia, other)])
        found = read(chip, believed, portrait=False)
        assert found.chip is not None
        assert found.chip.genuine
        assert found.chip.same_chip is same
        assert found.chip.access == ("PACE-CAM" if same else "PACE")


def test_a_clone_fails_chip_authentication_mapping(utopia: SpecimenCountry) -> None:
    """All files copied, another private key."""
    chip = issue(utopia, pace=[PaceInfo(f"{PACE_ECDH_CAM}.2", Suite.AES_128, 13)])
    chip.chip_key = ChipKey.new()
    found = read(chip, utopia.trust_list(), portrait=False).chip
    assert found is not None
    assert (found.genuine, found.chip_authentication, found.same_chip) == (True, ChipAuthentication.FAILED, False)


@pytest.mark.parametrize("pace", [(specimen.PACE_AES,), ()], ids=["PACE", "BAC"])
@pytest.mark.parametrize(("most", "refusal"), [(160, 0x6700), (100, 0x6700), (200, 0x6CC8), (64, 0x6C40), (17, 0x6C00)])
def test_a_chip_that_takes_no_long_reads_is_read_in_shorter_ones(
    utopia: SpecimenCountry, pace: tuple[PaceInfo, ...], most: int, refusal: int
) -> None:
    """6700 and 6Cxx: asked for less, also beyond 32 kB."""
    big = PORTRAIT[:-2] * 3 + b"\xff\xd9"
    chip = specimen.personalise(utopia, ZONE, KEY, big, pace=pace)
    chip.read_max, chip.read_refusal = most, refusal
    found = read(chip, utopia.trust_list())
    assert found.portrait is not None
    assert found.portrait.data == big
    assert found.assurance is Assurance.SIGNED


def test_a_chip_that_forgets_its_keys_over_a_long_read_is_opened_again(utopia: SpecimenCountry) -> None:
    """It answers 6700 without protection and has lost the session."""

    class Forgetful(SpecimenChip):
        def transmit(self, command: bytes) -> bytes:
            if command[:2] == b"\x0c\xb0" and b"\x97\x01\xdf" in command:
                self._session = None
                return b"\x67\x00"
            return super().transmit(command)

    whole = issue(utopia)
    for pace in ((specimen.PACE_AES,), ()):
        chip = Forgetful(whole.files, KEY, pace=pace, chip_key=whole.chip_key)
        if not pace:
            chip.files = {number: data for number, data in whole.files.items() if number != CARD_ACCESS}
        found = read(chip, utopia.trust_list())
        assert found.chip is not None
        assert found.chip.genuine


@pytest.mark.parametrize(("change", "note"), [(1, "portrait_length"), (-1, "portrait_length")])
def test_a_portrait_whose_length_is_off_is_a_remark(utopia: SpecimenCountry, change: int, note: str) -> None:
    """The record's own length is one too large or too small, signed so by the state; the image's block fits."""
    chip = issue(utopia)
    data = chip.files[DG2]
    at = data.index(b"FAC\x00010\x00") + 8
    length = int.from_bytes(data[at : at + 4], "big") + change
    chip.files[DG2] = data[:at] + length.to_bytes(4, "big") + data[at + 4 :]
    groups = {1: chip.files[DG1], 2: chip.files[DG2], 14: chip.files[DG14]}
    chip.files[SOD] = utopia.security_object(groups)
    found = read(chip, utopia.trust_list())
    assert found.chip is not None
    assert (found.chip.genuine, found.notes) == (True, (note,))
    assert found.portrait is not None
    assert found.portrait.data == PORTRAIT


def test_a_portrait_that_cannot_be_read_costs_itself_only(utopia: SpecimenCountry) -> None:
    """Zone, number and `genuine` are told all the same."""
    chip = issue(utopia)
    chip.files[DG2] = chip.files[DG2].replace(b"FAC\0", b"XXX\0")
    chip.files[SOD] = utopia.security_object({1: chip.files[DG1], 2: chip.files[DG2], 14: chip.files[DG14]})
    found = read(chip, utopia.trust_list())
    assert found.chip is not None
    assert (found.chip.genuine, found.portrait, found.notes) == (True, None, ("portrait_unreadable",))
    assert found.holder.primary == "ERIKSSON"
