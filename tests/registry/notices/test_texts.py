"""Messages say times in the register's zone, with UTC beside; programs get UTC."""

from __future__ import annotations

from annul.registry.notices.texts import Subject, clock, render

AT_US = 1_796_045_608_000_000  # 2026-11-30 13:33:28 UTC


def test_a_message_says_the_time_on_the_wall() -> None:
    """Local first with its zone, UTC beside; the day of UTC too where it is another one."""
    assert clock(AT_US, "Asia/Shanghai") == "2026-11-30 21:33:28 Asia/Shanghai (13:33:28 UTC)"
    assert clock(AT_US, "Pacific/Auckland") == "2026-12-01 02:33:28 Pacific/Auckland (2026-11-30 13:33:28 UTC)"
    assert clock(AT_US) == "2026-11-30 13:33:28 UTC"


def test_a_notice_carries_the_zone_of_its_register() -> None:
    """In the text and in the short message."""
    subject = Subject("P", "https://register.example", "", {"police": "Police of Utopia"}, "Asia/Shanghai")
    text = render("lifted", {"author": "police/7", "recorded_at_us": AT_US}, subject, "en")
    assert "21:33:28 Asia/Shanghai (13:33:28 UTC)" in text.body
    assert "Police of Utopia" in text.body
