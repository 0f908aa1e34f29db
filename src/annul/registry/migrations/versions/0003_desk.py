"""The desk: officers and their passkeys, searches with a case reference, found cards, disputes."""

from alembic import op

revision = "0003"
down_revision = "0002"

SQL = """
-- Persons who act for a party. `id` is party/staff number: the author of what they record.
CREATE TABLE officer (
    id              text PRIMARY KEY,
    party           text NOT NULL REFERENCES principal,
    staff           text NOT NULL,
    name            text NOT NULL,
    duties          text[] NOT NULL,
    active          boolean NOT NULL DEFAULT true,
    handle          bytea NOT NULL UNIQUE CHECK (length(handle) = 32),
    position        bigint NOT NULL
);
CREATE INDEX officer_of ON officer (party);

-- Public keys of authenticators (WebAuthn). One that was copied (its counter went back) never works again.
CREATE TABLE passkey (
    id              text PRIMARY KEY,
    officer_id      text NOT NULL REFERENCES officer,
    credential_id   bytea NOT NULL UNIQUE,
    credential      bytea NOT NULL,
    sign_count      bigint NOT NULL,
    label           text NOT NULL,
    made_at_us      bigint NOT NULL,
    used_at_us      bigint,
    ended_at_us     bigint,
    ended           text CHECK (ended IN ('removed', 'copied'))
);
CREATE INDEX passkey_of ON passkey (officer_id);

-- A challenge is good for one use; its row goes with it. officer_id is null for a sign-in.
CREATE TABLE passkey_challenge (
    digest          bytea PRIMARY KEY CHECK (length(digest) = 32),
    officer_id      text REFERENCES officer,
    expires_at_us   bigint NOT NULL
);
CREATE INDEX passkey_challenge_age ON passkey_challenge (expires_at_us);

-- Searches by officers: who looked whom up, for which case. What was typed is sealed and can be erased.
CREATE TABLE search (
    id              text PRIMARY KEY,
    realm           smallint NOT NULL CHECK (realm IN (0, 1)),
    party           text NOT NULL,
    officer         text NOT NULL,
    case_reference  text NOT NULL CHECK (case_reference <> ''),
    purpose         text NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('document', 'number', 'name')),
    question_id     text REFERENCES sealed_detail,
    searched_at_us  bigint NOT NULL,
    delayed_until_us bigint,
    delay_ground    text NOT NULL DEFAULT ''
);
CREATE INDEX search_by_officer ON search (officer, searched_at_us);
CREATE TABLE search_subject (
    search_id       text NOT NULL REFERENCES search,
    place           integer NOT NULL,
    person_id       bigint,
    document_id     bigint,
    position        bigint NOT NULL,
    PRIMARY KEY (search_id, place)
);
CREATE INDEX search_subject_person ON search_subject (person_id) WHERE person_id IS NOT NULL;
CREATE INDEX search_subject_document ON search_subject (document_id) WHERE document_id IS NOT NULL;
CREATE INDEX search_subject_position ON search_subject (position);

-- Keyed tags of name with date of birth: how a person is found without a number. Kept behind the register, by position.
CREATE TABLE person_search (
    realm           smallint NOT NULL,
    tag             bytea NOT NULL CHECK (length(tag) = 16),
    person_id       bigint NOT NULL REFERENCES person_record ON DELETE CASCADE,
    PRIMARY KEY (realm, tag, person_id)
);
CREATE INDEX person_search_of ON person_search (person_id);
CREATE TABLE person_search_cursor (
    single          boolean PRIMARY KEY DEFAULT true CHECK (single),
    position        bigint NOT NULL,
    after_id        bigint NOT NULL,
    key_epoch       smallint NOT NULL
);
INSERT INTO person_search_cursor (position, after_id, key_epoch) VALUES (0, 0, 1);

-- Where found cards are handed in; shown to everybody.
CREATE TABLE hand_in_point (
    id              text PRIMARY KEY,
    party           text NOT NULL REFERENCES principal,
    name            text NOT NULL,
    address         text NOT NULL,
    hours           text NOT NULL,
    active          boolean NOT NULL DEFAULT true
);

-- Found cards, and in whose hands each was.
CREATE TABLE found_card (
    id              text PRIMARY KEY,
    realm           smallint NOT NULL CHECK (realm IN (0, 1)),
    document_id     bigint NOT NULL REFERENCES document,
    state           text NOT NULL CHECK (state IN ('held', 'to_destroy', 'handed_out', 'destroyed')),
    point           text NOT NULL,
    shelf           text NOT NULL,
    keeper          text NOT NULL,
    broken          boolean NOT NULL DEFAULT false,
    finder_id       text REFERENCES sealed_detail,
    found_at_us     bigint NOT NULL,
    accepted_at_us  bigint NOT NULL,
    accepted_by     text NOT NULL,
    position        bigint NOT NULL,
    ended_at_us     bigint,
    ended_by        text,
    ended_position  bigint,
    proof           text
);
CREATE UNIQUE INDEX found_card_kept ON found_card (document_id) WHERE state IN ('held', 'to_destroy');
CREATE INDEX found_card_queue ON found_card (realm, state, accepted_at_us);
CREATE TABLE custody (
    card_id         text NOT NULL REFERENCES found_card,
    step            integer NOT NULL,
    given_by        text NOT NULL,
    taken_by        text NOT NULL,
    place           text NOT NULL,
    handed_at_us    bigint NOT NULL,
    recorded_at_us  bigint NOT NULL,
    author          text NOT NULL,
    gap             boolean NOT NULL,
    position        bigint NOT NULL,
    PRIMARY KEY (card_id, step)
);

-- Disputes about a status, with their clock; what people say is sealed and can be erased.
CREATE TABLE dispute (
    id              text PRIMARY KEY,
    realm           smallint NOT NULL CHECK (realm IN (0, 1)),
    document_id     bigint NOT NULL REFERENCES document,
    raised_by       text NOT NULL CHECK (raised_by IN ('holder', 'officer', 'relying_party')),
    party           text NOT NULL,
    author          text NOT NULL,
    fact            smallint NOT NULL,
    ground          text NOT NULL,
    case_reference  text NOT NULL,
    marked          boolean NOT NULL,
    statement_id    text REFERENCES sealed_detail,
    opened_at_us    bigint NOT NULL,
    due_at_us       bigint NOT NULL,
    position        bigint NOT NULL,
    state           text NOT NULL CHECK (state IN ('open', 'corrected', 'upheld', 'refused', 'withdrawn')),
    reason          text NOT NULL DEFAULT '',
    decided_by      text,
    second_officer  text,
    decided_at_us   bigint,
    decided_position bigint,
    proposal        text CHECK (proposal IN ('corrected')),
    proposed_by     text
);
CREATE UNIQUE INDEX dispute_open ON dispute (document_id) WHERE state = 'open';
CREATE INDEX dispute_due ON dispute (realm, due_at_us) WHERE state = 'open';
CREATE TABLE dispute_note (
    dispute_id      text NOT NULL REFERENCES dispute,
    step            integer NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('hearing', 'evidence', 'remark')),
    author          text NOT NULL,
    written_at_us   bigint NOT NULL,
    detail_id       text NOT NULL REFERENCES sealed_detail,
    PRIMARY KEY (dispute_id, step)
);

-- Recalls: a listing was never true, and these answers said it. Made behind the register, by position of the correction.
CREATE TABLE recall_cursor (
    single          boolean PRIMARY KEY DEFAULT true CHECK (single),
    position        bigint NOT NULL
);
INSERT INTO recall_cursor (position) VALUES (0);
CREATE TABLE correction (
    position        bigint PRIMARY KEY,
    realm           smallint NOT NULL,
    document_id     bigint REFERENCES document,
    bulk_id         text REFERENCES bulk,
    gone            integer NOT NULL,
    from_us         bigint NOT NULL,
    until_us        bigint NOT NULL,
    swept_at_us     bigint,
    CHECK ((document_id IS NULL) <> (bulk_id IS NULL))
);
CREATE INDEX correction_open ON correction (until_us) WHERE swept_at_us IS NULL;
CREATE INDEX correction_of ON correction (document_id);
CREATE TABLE recall (
    id              text PRIMARY KEY,
    correction      bigint NOT NULL REFERENCES correction,
    realm           smallint NOT NULL,
    party           text NOT NULL,
    check_count     integer NOT NULL,
    note            bytea NOT NULL,
    position        bigint NOT NULL UNIQUE,
    made_at_us      bigint NOT NULL,
    acknowledged_at_us bigint,
    acknowledged_by text
);
CREATE INDEX recall_of_party ON recall (party, realm, position);
CREATE INDEX recall_of_correction ON recall (correction);
CREATE TABLE recall_check (
    correction      bigint NOT NULL REFERENCES correction,
    check_id        bytea NOT NULL,
    recall_id       text NOT NULL REFERENCES recall,
    checked_at_us   bigint NOT NULL,
    answered        smallint NOT NULL,
    outcome         smallint NOT NULL,
    reference       text NOT NULL,
    PRIMARY KEY (correction, check_id)
);
CREATE INDEX recall_check_of ON recall_check (recall_id);
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
