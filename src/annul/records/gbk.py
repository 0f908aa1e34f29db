"""The 80 places of GBK whose characters had no code point in 1995: data of before 2000 hold them in the private-use area.

GBK FE50 to FEA0 (without FE7F) became U+E815 to U+E864 in the order of the code. All have a code point today.

Source: GB 18030-2022, annex D, as GNU libc 2.36 maps GB18030 FE50 to FEA0 (iconv); U+E863 is 䶮 of 王䶮.
"""

from __future__ import annotations

from typing import Final

FIRST: Final = 0xE815
"""Private-use code point of GBK FE50."""

CHARACTERS: Final = (
    "⺁𠂇𠂉𠃌⺄㑳㑇⺈⺋龴㖞㘚㘎⺌⺗㥮㤘龵㧏㧟㩳㧐龶龷㭎㱮㳠⺧𡗗龸⺪䁖䅟⺮䌷⺳⺶⺷𢦏䎱"
    "䎬⺻䏝䓖䙡䙌龹䜣䜩䝼䞍⻊䥇䥺䥽䦂䦃䦅䦆䦟䦛䦷䦶龺𤇾䲣䲟䲠䲡䱷䲢䴓䴔䴕䴖䴗䴘䴙䶮龻"
)
"""What GBK FE50 to FEA0 are today, in order."""

PRIVATE: Final = {FIRST + index: ord(character) for index, character in enumerate(CHARACTERS)}
"""Private-use code point -> today's code point."""
