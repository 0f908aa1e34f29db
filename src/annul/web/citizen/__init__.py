"""The citizen's room: report a loss without login, see and do what rules allow about the own documents after it.

Promise: one question a page, nothing lost and nothing doubled, a number never in an address. Every page works by keyboard,
without a script, at 320 px, in English, Chinese and Arabic.

Modules: `report` (the report without login), `sign_in` (OpenID Connect), `own` (documents and acts), `account` (who asked, who
tried, messages, contacts, what is held), `demo` (the outbox of the demo).
"""
