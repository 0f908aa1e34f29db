"""Developers: how to dock a system, a sandbox whose answers are known, and the reference made from the OpenAPI document."""
