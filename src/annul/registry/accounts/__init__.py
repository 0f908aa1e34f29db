"""Tell who asked what: the index of check accounts, daily counts, the register's pulse, what a supervisor sees."""
