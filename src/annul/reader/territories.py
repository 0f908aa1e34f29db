"""Which states sign for which: the country in a signer's certificate beside the state in the zone.

A territory signs for its state and a state for its territory: Hong Kong's passports say CHN and may be signed by HK or CN,
Guernsey's say GBR. That is a remark, not another state's document.

Source: ISO 3166-1 (territories and the states they belong to), ICAO Doc 9303-3 (8th edition) section 5 (codes of the United
Kingdom, of the United Nations), Doc 9303-12 section 7.1.1 (countryName of signers).
"""

from __future__ import annotations

from typing import Final

from annul.records.states import signer_country

_OF_STATE: Final = {
    "CN": "HK MO",
    "GB": "AI BM FK GG GI GS IM IO JE KY MS PN SH TC UK VG",
    "NL": "AW BQ CW SX",
    "FR": "BL GF GP MF MQ NC PF PM RE TF WF YT",
    "DK": "FO GL",
    "FI": "AX",
    "NO": "BV SJ",
    "US": "AS GU MP PR UM VI",
    "AU": "CC CX HM NF",
    "NZ": "CK NU TK",
    # no territories, but other writings of one body: see Doc 9303-12 and the lists that states publish
    "UN": "ZZ",
    "KS": "XK",
    "GR": "EL",
}
_STATE_OF: Final = {code: state for state, codes in _OF_STATE.items() for code in codes.split()}


def state_of(country: str) -> str:
    """Return the state that a country code belongs to: itself, or the state whose territory it is. Two letters."""
    return _STATE_OF.get(country, country)


def two_letters(country: str) -> str:
    """Return a certificate's country in two capital letters where it was written with three, else as it is."""
    code = country.strip().upper()
    return signer_country(code) or code if len(code) == 3 else code
