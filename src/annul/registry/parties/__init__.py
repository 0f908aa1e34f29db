"""Keep who may do what: principals with agreements and keys, officers, sessions, counter policies."""
