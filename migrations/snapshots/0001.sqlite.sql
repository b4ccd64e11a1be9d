CREATE TABLE amie_daemons (
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    process TEXT NOT NULL,
    started_at TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    stopped_at TEXT,
    polled_at TEXT,
    succeeded_at TEXT,
    next_poll_at TEXT,
    failures INTEGER NOT NULL,
    error_code TEXT,
    error_at TEXT,
    CONSTRAINT amie_daemons_pkey PRIMARY KEY (hub, site, process)
);

CREATE TABLE amie_directory_accounts (
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    project_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    person_id TEXT NOT NULL,
    login TEXT,
    active INTEGER NOT NULL,
    CONSTRAINT amie_directory_accounts_pkey PRIMARY KEY (hub, site, project_id, resource, person_id)
);

CREATE TABLE amie_directory_persons (
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    person_id TEXT NOT NULL,
    global_id TEXT,
    merged_into TEXT,
    CONSTRAINT amie_directory_persons_pkey PRIMARY KEY (hub, site, person_id)
);

CREATE TABLE amie_directory_projects (
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    project_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    grant_number TEXT,
    pi_person_id TEXT,
    active INTEGER NOT NULL,
    CONSTRAINT amie_directory_projects_pkey PRIMARY KEY (hub, site, project_id, resource)
);

CREATE TABLE amie_events (
    position INTEGER NOT NULL,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    type TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    recorded_at TEXT NOT NULL,
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    trans_rec_id TEXT,
    packet_rec_id TEXT,
    packet_type TEXT,
    sender TEXT,
    status TEXT,
    actor TEXT NOT NULL,
    facts TEXT NOT NULL,
    facts_digest TEXT NOT NULL,
    document TEXT,
    document_salt TEXT,
    document_digest TEXT,
    hash TEXT NOT NULL,
    PRIMARY KEY (position),
    CONSTRAINT amie_events_stream_version UNIQUE (stream, version)
);

CREATE TABLE amie_leases (
    stream TEXT NOT NULL,
    packet_rec_id TEXT NOT NULL,
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    holder TEXT NOT NULL,
    token TEXT NOT NULL,
    taken_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    CONSTRAINT amie_leases_pkey PRIMARY KEY (stream, packet_rec_id)
);

CREATE TABLE amie_log_head (
    id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    log_id TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT amie_log_head_one_row CHECK (id = 1)
);

CREATE TABLE amie_outbox (
    stream TEXT NOT NULL,
    answers TEXT NOT NULL,
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    kind TEXT NOT NULL,
    packet_type TEXT,
    status TEXT NOT NULL,
    decided_version INTEGER NOT NULL,
    decided_at TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    attempted_at TEXT,
    error_code TEXT,
    CONSTRAINT amie_outbox_pkey PRIMARY KEY (stream, answers)
);

CREATE TABLE amie_quarantine (
    stream TEXT NOT NULL,
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    content TEXT NOT NULL,
    content_size INTEGER NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    hint TEXT NOT NULL,
    trans_rec_id TEXT,
    packet_rec_id TEXT,
    packet_type TEXT,
    status TEXT NOT NULL,
    quarantined_at TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (stream)
);

CREATE TABLE amie_schema_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT amie_schema_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE amie_staged (
    id INTEGER NOT NULL,
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    call TEXT NOT NULL,
    trans_rec_id TEXT,
    arguments TEXT NOT NULL,
    staged_at TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE amie_subscriptions (
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    updated_at TEXT NOT NULL,
    failures INTEGER NOT NULL,
    error TEXT,
    not_before TEXT,
    skipped INTEGER,
    skipped_by TEXT,
    holder TEXT,
    token TEXT,
    expires_at TEXT,
    CONSTRAINT amie_subscriptions_pkey PRIMARY KEY (hub, site, name)
);

CREATE TABLE amie_transactions (
    stream TEXT NOT NULL,
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    trans_rec_id TEXT,
    transaction_id TEXT,
    type TEXT,
    originator TEXT,
    state TEXT NOT NULL,
    version INTEGER NOT NULL,
    turn TEXT,
    due TEXT NOT NULL,
    deadline TEXT,
    deadline_noted TEXT,
    opened_at TEXT NOT NULL,
    opened_position INTEGER NOT NULL,
    updated_at TEXT NOT NULL,
    grant_number TEXT,
    project_id TEXT,
    resource TEXT,
    record_id TEXT,
    held INTEGER NOT NULL,
    anomalies TEXT NOT NULL,
    first_packet TEXT,
    names TEXT NOT NULL,
    PRIMARY KEY (stream),
    CONSTRAINT amie_transactions_wire_id UNIQUE (hub, site, trans_rec_id)
);

CREATE TABLE amie_work (
    stream TEXT NOT NULL,
    packet_rec_id TEXT NOT NULL,
    hub TEXT NOT NULL,
    site TEXT NOT NULL,
    packet_type TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    not_before TEXT,
    reason TEXT,
    may_pass INTEGER NOT NULL,
    opened_at TEXT NOT NULL,
    CONSTRAINT amie_work_pkey PRIMARY KEY (stream, packet_rec_id)
);

CREATE INDEX amie_directory_accounts_person ON amie_directory_accounts (hub, site, person_id);

CREATE INDEX amie_directory_persons_global_id ON amie_directory_persons (hub, site, global_id);

CREATE INDEX amie_directory_projects_grant ON amie_directory_projects (hub, site, grant_number);

CREATE UNIQUE INDEX amie_events_accepted ON amie_events (hub, site, packet_rec_id) WHERE type IN ('packet_received', 'packet_confirmed', 'packet_adopted') AND packet_rec_id IS NOT NULL;

CREATE INDEX amie_events_erasures ON amie_events (hub, site, position) WHERE type = 'documents_erased';

CREATE INDEX amie_outbox_open ON amie_outbox (hub, site) WHERE status IN ('pending', 'attempting');

CREATE INDEX amie_quarantine_content_size ON amie_quarantine (hub, site, content_size);

CREATE INDEX amie_quarantine_open ON amie_quarantine (hub, site) WHERE status = 'quarantined';

CREATE INDEX amie_transactions_open ON amie_transactions (hub, site, opened_position) WHERE state NOT IN ('completed', 'failed');

CREATE INDEX amie_transactions_record_id ON amie_transactions (hub, site, record_id);

CREATE INDEX amie_work_open ON amie_work (hub, site) WHERE status <> 'done';

CREATE TRIGGER amie_events_no_delete BEFORE DELETE ON amie_events
    BEGIN SELECT RAISE(ABORT, 'amie_events is append-only: an event is never deleted'); END;

CREATE TRIGGER amie_events_no_replace BEFORE INSERT ON amie_events
    WHEN EXISTS (SELECT 1 FROM amie_events WHERE position = NEW.position)
      OR EXISTS (SELECT 1 FROM amie_events WHERE stream = NEW.stream AND version = NEW.version)
      OR (NEW.type IN ('packet_received', 'packet_confirmed', 'packet_adopted')
          AND NEW.packet_rec_id IS NOT NULL
          AND EXISTS (SELECT 1 FROM amie_events
                      WHERE hub = NEW.hub AND site = NEW.site AND packet_rec_id = NEW.packet_rec_id
                        AND type IN ('packet_received', 'packet_confirmed', 'packet_adopted')
                        AND packet_rec_id IS NOT NULL))
    BEGIN SELECT RAISE(ABORT, 'amie_events is append-only: an event is never replaced'); END;

CREATE TRIGGER amie_events_no_update BEFORE UPDATE ON amie_events
    WHEN NOT (OLD.document IS NOT NULL AND NEW.document IS NULL AND NEW.document_salt IS NULL AND OLD.position IS  NEW.position AND OLD.stream IS  NEW.stream AND OLD.version IS  NEW.version AND OLD.type IS  NEW.type AND OLD.schema_version IS  NEW.schema_version AND OLD.recorded_at IS  NEW.recorded_at AND OLD.hub IS  NEW.hub AND OLD.site IS  NEW.site AND OLD.trans_rec_id IS  NEW.trans_rec_id AND OLD.packet_rec_id IS  NEW.packet_rec_id AND OLD.packet_type IS  NEW.packet_type AND OLD.sender IS  NEW.sender AND OLD.status IS  NEW.status AND OLD.actor IS  NEW.actor AND OLD.facts IS  NEW.facts AND OLD.facts_digest IS  NEW.facts_digest AND OLD.document_digest IS  NEW.document_digest AND OLD.hash IS  NEW.hash)
    BEGIN SELECT RAISE(ABORT, 'amie_events is append-only: an event is never changed'); END;
