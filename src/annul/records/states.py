"""Codes of states and organisations that may stand in a machine-readable zone.

Source: ISO 3166-1 (alpha-3 with alpha-2), with the further codes of ICAO Doc 9303-3 (8th edition) section 5.
"""

from __future__ import annotations

_PAIRS = """
ABW AW AFG AF AGO AO AIA AI ALA AX ALB AL AND AD ARE AE ARG AR ARM AM ASM AS ATA AQ ATF TF ATG AG AUS AU AUT AT AZE AZ
BDI BI BEL BE BEN BJ BES BQ BFA BF BGD BD BGR BG BHR BH BHS BS BIH BA BLM BL BLR BY BLZ BZ BMU BM BOL BO BRA BR BRB BB
BRN BN BTN BT BVT BV BWA BW CAF CF CAN CA CCK CC CHE CH CHL CL CHN CN CIV CI CMR CM COD CD COG CG COK CK COL CO COM KM
CPV CV CRI CR CUB CU CUW CW CXR CX CYM KY CYP CY CZE CZ DEU DE DJI DJ DMA DM DNK DK DOM DO DZA DZ ECU EC EGY EG ERI ER
ESH EH ESP ES EST EE ETH ET FIN FI FJI FJ FLK FK FRA FR FRO FO FSM FM GAB GA GBR GB GEO GE GGY GG GHA GH GIB GI GIN GN
GLP GP GMB GM GNB GW GNQ GQ GRC GR GRD GD GRL GL GTM GT GUF GF GUM GU GUY GY HKG HK HMD HM HND HN HRV HR HTI HT HUN HU
IDN ID IMN IM IND IN IOT IO IRL IE IRN IR IRQ IQ ISL IS ISR IL ITA IT JAM JM JEY JE JOR JO JPN JP KAZ KZ KEN KE KGZ KG
KHM KH KIR KI KNA KN KOR KR KWT KW LAO LA LBN LB LBR LR LBY LY LCA LC LIE LI LKA LK LSO LS LTU LT LUX LU LVA LV MAC MO
MAF MF MAR MA MCO MC MDA MD MDG MG MDV MV MEX MX MHL MH MKD MK MLI ML MLT MT MMR MM MNE ME MNG MN MNP MP MOZ MZ MRT MR
MSR MS MTQ MQ MUS MU MWI MW MYS MY MYT YT NAM NA NCL NC NER NE NFK NF NGA NG NIC NI NIU NU NLD NL NOR NO NPL NP NRU NR
NZL NZ OMN OM PAK PK PAN PA PCN PN PER PE PHL PH PLW PW PNG PG POL PL PRI PR PRK KP PRT PT PRY PY PSE PS PYF PF QAT QA
REU RE ROU RO RUS RU RWA RW SAU SA SDN SD SEN SN SGP SG SGS GS SHN SH SJM SJ SLB SB SLE SL SLV SV SMR SM SOM SO SPM PM
SRB RS SSD SS STP ST SUR SR SVK SK SVN SI SWE SE SWZ SZ SXM SX SYC SC SYR SY TCA TC TCD TD TGO TG THA TH TJK TJ TKL TK
TKM TM TLS TL TON TO TTO TT TUN TN TUR TR TUV TV TWN TW TZA TZ UGA UG UKR UA UMI UM URY UY USA US UZB UZ VAT VA VCT VC
VEN VE VGB VG VIR VI VNM VN VUT VU WLF WF WSM WS YEM YE ZAF ZA ZMB ZM ZWE ZW
D DE EUE EU GBD GB GBN GB GBO GB GBP GB GBS GB RKS KS UNO UN UNA UN UNK UN UTO UT XOM XO XPO XP XXA ZZ XXB ZZ XXC ZZ
XXX ZZ XBA ZZ XIM ZZ XCC ZZ XCE ZZ XCO ZZ XEC ZZ XES ZZ XMP ZZ XDC ZZ XCT ZZ ANT NL NTZ ZZ
"""
_TABLE = _PAIRS.split()
_WRITTEN = {"DEU": "D", "ZIM": "ZWE", "ROM": "ROU", "KS": "RKS"}
"""Codes for a state of another code: the register writes the second, so that a report by fields meets the zone.

DEU is ISO's, D is the one of Doc 9303; ZIM is on genuine passports of Zimbabwe, ROM was ISO's for Romania until 2002, KS is a
code of two letters for Kosovo.
"""
_WRONG = frozenset({"ZIM", "ROM", "KS", "XCT"})
"""Not in the table of Doc 9303, but on documents that were seen."""
OF_HOLDERS = frozenset({"GBN", "GBO", "GBP", "GBS", "XXA", "XXB", "XXC", "XXX", "NTZ"})
"""Codes for what a holder is (British national overseas, stateless, refugee); no state issues under them."""
_ALPHA2 = dict(zip(_TABLE[::2], _TABLE[1::2], strict=True))
_ALPHA2 |= {wrong: _ALPHA2[right] for wrong, right in _WRITTEN.items()}


def is_state(code: str) -> bool:
    """Tell whether a zone may carry this code (1 to 3 letters, fillers removed)."""
    return code in _ALPHA2


def is_wrong_but_known(code: str) -> bool:
    """Tell whether a code is on genuine documents although Doc 9303 does not have it."""
    return code in _WRONG


def state_of(code: str) -> str:
    """Return a code as the register writes it: D for DEU, ZWE for ZIM."""
    return _WRITTEN.get(code, code)


def signer_country(code: str) -> str | None:
    """Return the two-letter country that signs the documents of `code`; None when there is no single one."""
    country = _ALPHA2.get(code)
    return None if country in (None, "ZZ") else country
