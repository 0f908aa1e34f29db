"""WHAT IS WRITTEN: documents and their keys, the life of a document, questions and answers, log entries. Pure.

This room promises: the same input always gives the same bytes; no number leaves it but inside a `Document`, a block or a
key; every code of an answer comes from a closed list. Nothing here reads a file, a clock (but the default of
`parse_document`) or a socket.

    document = parse_document(DocumentFields(scheme="ru-internal", series="45 09", number="123456"))
    key = DocumentKeys([secret]).blind(block(document))      # 16 bytes: the only form that is stored or logged
"""
