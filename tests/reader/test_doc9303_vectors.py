"""The worked examples of ICAO Doc 9303-11, byte for byte.

Source: ICAO Doc 9303-11 (8th edition): appendix D (BAC and secure messaging), appendix G.1 (PACE, ECDH, generic mapping),
appendix H (integrated mapping).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from annul.reader import access, curves, mappings
from annul.reader.access import AccessKey
from annul.reader.faults import AccessRefused, CardMalformed
from annul.reader.secure_messaging import Session, Suite, decrypt, derive, encrypt, mac, pad
from annul.reader.transport import Channel, Command

H = bytes.fromhex
BP256 = curves.STANDARDISED[13]
G1_KEY = AccessKey.of_fields("T22000129", "640812", "101031")
G1_SECRETS = (
    "7F4EF07B9EA82FD78AD689B38D0BC78CF21F249D953BC46F4C6E19259C010F99",
    "A73FB703AC1436A18E0CFA5ABB3F7BEC7A070E7A6788486BEE230C4A22762595",
)
G1_INFO = access.PaceInfo("0.4.0.127.0.7.2.2.4.2.2", Suite.AES_128, 13)
G1_DIALOGUE = [
    ("0022C1A40F800A04007F00070202040202830101", "9000"),
    ("10860000027C0000", "7C12801095A3A016522EE98D01E76CB6B98B42C39000"),
    (
        "10860000457C438141047ACF3EFC982EC45565A4B155129EFBC74650DCBFA6362D896FC70262E0C2CC5E"
        "544552DCB6725218799115B55C9BAA6D9F6BC3A9618E70C25AF71777A9C4922D00",
        "7C43824104824FBA91C9CBE26BEF53A0EBE7342A3BF178CEA9F45DE0B70AA601651FBA3F57"
        "30D8C879AAA9C9F73991E61B58F4D52EB87A0A0C709A49DC63719363CCD13C549000",
    ),
    (
        "10860000457C438341042DB7A64C0355044EC9DF190514C625CBA2CEA48754887122F3A5EF0D5EDD301C"
        "3556F3B3B186DF10B857B58F6A7EB80F20BA5DC7BE1D43D9BF850149FBB3646200",
        "7C438441049E880F842905B8B3181F7AF7CAA9F0EFB743847F44A306D2D28C1D9EC65DF6DB"
        "7764B22277A2EDDC3C265A9F018F9CB852E111B768B326904B59A0193776F0949000",
    ),
    ("008600000C7C0A8508C2B0BD78D94BA86600", "7C0A86083ABB9674BCE93C089000"),
]


class Transcript:
    """A transport that plays a printed dialogue and insists on every byte of ours."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self._lines = iter(lines)

    def transmit(self, command: bytes) -> bytes:
        expected, answer = next(self._lines)
        assert command == H(expected)
        return H(answer)

    def close(self) -> None:
        """Nothing to close."""


def played(*parts: bytes) -> Callable[[int], bytes]:
    """Return a source of randomness that gives the example's values, in order."""
    queue = list(parts)

    def draw(count: int) -> bytes:
        value = queue.pop(0)
        assert len(value) <= count
        return value.rjust(count, b"\0")

    return draw


def test_the_key_from_the_print_is_that_of_appendix_d() -> None:
    """D.2: seed and both keys for L898902C."""
    key = AccessKey.of_fields("L898902C", "690806", "940623")
    assert key.mrz == "L898902C<369080619406236"
    assert key.bac_seed() == H("239AB9CB282DAF66231DC5A4DF6BFBAE")
    assert derive(key.bac_seed(), 1, Suite.TRIPLE_DES) == H("AB94FDECF2674FDFB9B391F85D7F76F2")
    assert derive(key.bac_seed(), 2, Suite.TRIPLE_DES) == H("7962D9ECE03D1ACD4C76089DCE131543")


def test_bac_says_what_appendix_d_prints_and_secure_messaging_goes_on_from_there() -> None:
    """D.3 and D.4 as one dialogue: both sides' bytes are the printed ones."""
    channel = Channel(
        Transcript(
            [
                ("0084000008", "4608F919887022129000"),
                (
                    "008200002872C29C2371CC9BDB65B779B8E8D37B29ECC154AA56A8799FAE2F498F76ED92F25F1448EEA8AD90A728",
                    "46B9342A41396CD7386BF5803104D7CEDC122B9132139BAF2EEDC94EE178534F2F2D235D074D74499000",
                ),
                ("0CA4020C158709016375432908C044F68E08BF8B92D635FF24F800", "990290008E08FA855A5D4C50A8ED9000"),
                (
                    "0CB000000D9701048E08ED6705417E96BA5500",
                    "8709019FF0EC34F9922651990290008E08AD55CC17140B2DED9000",
                ),
                (
                    "0CB000040D9701128E082EA28A70F3C7B53500",
                    "871901FB9235F4E4037F2327DCC8964F1F9B8C30F42C8E2FFF224A990290008E08C8B2787EAEA07D749000",
                ),
            ]
        )
    )
    key = AccessKey.of_fields("L898902C", "690806", "940623")
    random = played(H("781723860C06C226"), H("0B795240CB7049B01C19B33E32804F0B"))
    channel.protection = access.bac(channel, key, random)
    assert channel.demand(Command(H("00A4020C"), H("011E")), "select") == b""
    assert channel.demand(Command(H("00B00000"), expected=4), "read") == H("60145F01")
    assert channel.demand(Command(H("00B00004"), expected=18), "read") == H("04303130365F36063034303030305C026175")


def test_password_keys_are_those_of_appendix_g() -> None:
    """K_pi from the zone; and from the card access number 123456."""
    assert hashlib.sha1(G1_KEY.mrz.encode(), usedforsecurity=False).digest() == H("7E2D2A41C74EA0B38CD36F863939BFA8E9032AAD")
    assert G1_KEY.pace(Suite.AES_128) == (1, H("89DED1B26624EC1E634C1989302849DD"))
    assert AccessKey(can="123456").pace(Suite.AES_128) == (2, H("591468CDA83D65219CCCB8560233600F"))


def test_the_nonce_maps_to_the_printed_generator() -> None:
    """G.1: decrypted nonce, shared point H, mapped generator."""
    nonce = decrypt(Suite.AES_128, H("89DED1B26624EC1E634C1989302849DD"), H("95A3A016522EE98D01E76CB6B98B42C3"))
    assert nonce == H("3F00C4D39D153F2B2A214A078D899B22")
    chip = curves.decode(
        BP256,
        H(
            "04824FBA91C9CBE26BEF53A0EBE7342A3BF178CEA9F45DE0B70AA601651FBA3F57"
            "30D8C879AAA9C9F73991E61B58F4D52EB87A0A0C709A49DC63719363CCD13C54"
        ),
    )
    shared = curves.multiply(chip, int(G1_SECRETS[0], 16))
    assert curves.encode(BP256, shared) == H(
        "0460332EF2450B5D247EF6D3868397D398852ED6E8CAF6FFEEF6BF85CA57057FD5"
        "0840CA7415BAF3E43BD414D35AA4608B93A2CAF3A4E3EA4E82C9C13D03EB7181"
    )
    mapped = curves.multiply(BP256.generator, int.from_bytes(nonce, "big")) + shared
    assert curves.encode(BP256, mapped) == H(
        "048CED63C91426D4F0EB1435E7CB1D74A46723A0AF21C89634F65A9AE87A9265E2"
        "8C879506743F8611AC33645C5B985C80B5F09A0B83407C1B6A4D857AE76FE522"
    )


def _g1_random() -> Callable[[int], bytes]:
    # curves.scalar adds 1 to what it draws.
    return played(*((int(secret, 16) - 1).to_bytes(32, "big") for secret in G1_SECRETS))


def test_pace_says_what_appendix_g1_prints() -> None:
    """All five commands, both tokens, and the session keys."""
    infos = access.parse_security_infos(H("31143012060A04007F0007020204020202010202010D"))
    assert infos.pace == (access.PaceInfo("0.4.0.127.0.7.2.2.4.2.2", Suite.AES_128, 13),)
    session = access.pace(Channel(Transcript(G1_DIALOGUE)), infos.pace[0], G1_KEY, _g1_random())
    secret = H("28768D20701247DAE81804C9E780EDE582A9996DB4A315020B2733197DB84925")
    assert derive(secret, 1, Suite.AES_128) == H("F5F0E35C0D7161EE6724EE513A0D9A7F")
    assert derive(secret, 2, Suite.AES_128) == H("FE251C7858B356B24514B3BD5F4297D1")
    command = Command(H("00A4040C"), H("A0000002471001"))
    assert session.wrap(command) == Session(Suite.AES_128, secret).wrap(command)


def test_a_chip_with_a_false_token_is_refused() -> None:
    """The last printed answer with one bit turned."""
    dialogue = [*G1_DIALOGUE[:-1], (G1_DIALOGUE[-1][0], "7C0A86083ABB9674BCE93C099000")]
    with pytest.raises(AccessRefused):
        access.pace(Channel(Transcript(dialogue)), G1_INFO, G1_KEY, _g1_random())


def test_a_chip_that_mirrors_our_key_is_refused() -> None:
    """Sending the reader's own mapping key back is a known attack."""
    ours = G1_DIALOGUE[2][0][14:-2]
    dialogue = [*G1_DIALOGUE[:2], (G1_DIALOGUE[2][0], "7C438241" + ours[4:] + "9000")]
    with pytest.raises(CardMalformed):
        access.pace(Channel(Transcript(dialogue)), G1_INFO, G1_KEY, _g1_random())


@pytest.mark.parametrize("suite", list(Suite))
def test_what_one_side_wraps_the_other_opens(suite: Suite) -> None:
    """Both directions of secure messaging, all suites; one bit turned is refused."""
    reader, card = Session(suite, b"secret"), Session(suite, b"secret")
    opened = card.open_command(reader.wrap(Command(H("00A4020C"), H("011E"))))
    assert (opened.header, opened.data, opened.expected) == (H("00A4020C"), H("011E"), None)
    sealed = card.seal_response(b"data", 0x9000)
    assert reader.unwrap(sealed) == (b"data", 0x9000)
    card.open_command(reader.wrap(Command(H("00B00000"), expected=256)))
    broken = bytearray(card.seal_response(b"data", 0x9000))
    broken[4] ^= 1
    with pytest.raises(CardMalformed):
        reader.unwrap(bytes(broken))


def test_an_answer_cannot_be_replayed() -> None:
    """The send sequence counter makes an old answer worthless."""
    reader, card = Session(Suite.AES_128, b"secret"), Session(Suite.AES_128, b"secret")
    card.open_command(reader.wrap(Command(H("00B00000"), expected=4)))
    sealed = card.seal_response(b"data", 0x9000)
    assert reader.unwrap(sealed)[0] == b"data"
    reader.wrap(Command(H("00B00000"), expected=4))
    with pytest.raises(CardMalformed):
        reader.unwrap(sealed)


def test_the_retail_mac_is_that_of_appendix_d() -> None:
    """D.3: M_IFD over E_IFD."""
    secret = H("72C29C2371CC9BDB65B779B8E8D37B29ECC154AA56A8799FAE2F498F76ED92F2")
    key = H("7962D9ECE03D1ACD4C76089DCE131543")
    assert mac(Suite.TRIPLE_DES, key, pad(secret, 8)) == H("5F1448EEA8AD90A7")
    plain = decrypt(Suite.TRIPLE_DES, H("AB94FDECF2674FDFB9B391F85D7F76F2"), secret)
    assert encrypt(Suite.TRIPLE_DES, H("AB94FDECF2674FDFB9B391F85D7F76F2"), plain) == secret


def test_appendix_h_integrated_mapping() -> None:
    """Nonces, the field element they give and the base point it maps to, on brainpoolP256r1 with AES-128."""
    password_key = H("591468CDA83D65219CCCB8560233600F")
    theirs = decrypt(Suite.AES_128, password_key, H("143DC40C08C8E891FBED7DEDB92B64AD"))
    assert theirs == H("2923BE84E16CD6AE529049F1F1BBE9EB")
    ours = H("5DD4CBFC96F5453B130D890A1CDBAE32")
    element = mappings.field_element(Suite.AES_128, ours, theirs, int(BP256.curve.p()))
    assert element == int("A2F8FF2DF50E52C6599F386ADCB595D229F6A167ADE2BE5F2C3296ADD5B7430E", 16)
    assert curves.encode(BP256, mappings.point_of(BP256, element)) == H(
        "048E82D31559ED0FDE92A4D0498ADD3C23BABA94FB77691E31E90AEA77FB17D427"
        "4C1AE14BD0C3DBAC0C871B7F3608169364437CA30AC243A089D3F266C1E60FAD"
    )


@pytest.mark.parametrize("number", [8, 9, 11, 12, 13, 14, 15, 16, 17, 18])
def test_integrated_mapping_ends_on_the_curve(number: int) -> None:
    """Both branches of the encoding; 0 and 1 map to no point and are refused."""
    curve = curves.STANDARDISED[number]
    for element in range(2, 30):
        point = mappings.point_of(curve, element)
        assert curve.curve.contains_point(int(point.x()), int(point.y()))
    for element in (0, 1):
        with pytest.raises(CardMalformed):
            mappings.point_of(curve, element)
