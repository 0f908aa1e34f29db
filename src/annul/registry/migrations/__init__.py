"""Migrations of the register's database: raw SQL, one transaction each, run by `annul.registry.writing.store.migrate`."""
