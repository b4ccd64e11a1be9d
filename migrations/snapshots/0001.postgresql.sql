CREATE TABLE amie_daemons (
    hub text NOT NULL,
    site text NOT NULL,
    process text NOT NULL,
    started_at text NOT NULL,
    seen_at text NOT NULL,
    stopped_at text,
    polled_at text,
    succeeded_at text,
    next_poll_at text,
    failures integer NOT NULL,
    error_code text,
    error_at text,
    CONSTRAINT amie_daemons_pkey PRIMARY KEY (hub, site, process)
);

CREATE TABLE amie_directory_accounts (
    hub text NOT NULL,
    site text NOT NULL,
    project_id text NOT NULL,
    resource text NOT NULL,
    person_id text NOT NULL,
    login text,
    active integer NOT NULL,
    CONSTRAINT amie_directory_accounts_pkey PRIMARY KEY (hub, site, project_id, resource, person_id)
);

CREATE TABLE amie_directory_persons (
    hub text NOT NULL,
    site text NOT NULL,
    person_id text NOT NULL,
    global_id text,
    merged_into text,
    CONSTRAINT amie_directory_persons_pkey PRIMARY KEY (hub, site, person_id)
);

CREATE TABLE amie_directory_projects (
    hub text NOT NULL,
    site text NOT NULL,
    project_id text NOT NULL,
    resource text NOT NULL,
    grant_number text,
    pi_person_id text,
    active integer NOT NULL,
    CONSTRAINT amie_directory_projects_pkey PRIMARY KEY (hub, site, project_id, resource)
);

CREATE TABLE amie_events (
    position bigint NOT NULL,
    stream text NOT NULL,
    version integer NOT NULL,
    type text NOT NULL,
    schema_version integer NOT NULL,
    recorded_at text NOT NULL,
    hub text NOT NULL,
    site text NOT NULL,
    trans_rec_id text,
    packet_rec_id text,
    packet_type text,
    sender text,
    status text,
    actor text NOT NULL,
    facts text NOT NULL,
    facts_digest text NOT NULL,
    document text,
    document_salt text,
    document_digest text,
    hash text NOT NULL,
    CONSTRAINT amie_events_pkey PRIMARY KEY ("position"),
    CONSTRAINT amie_events_stream_version UNIQUE (stream, version)
);

CREATE TABLE amie_leases (
    stream text NOT NULL,
    packet_rec_id text NOT NULL,
    hub text NOT NULL,
    site text NOT NULL,
    holder text NOT NULL,
    token text NOT NULL,
    taken_at text NOT NULL,
    expires_at text NOT NULL,
    CONSTRAINT amie_leases_pkey PRIMARY KEY (stream, packet_rec_id)
);

CREATE TABLE amie_log_head (
    id integer NOT NULL,
    position bigint NOT NULL,
    hash text NOT NULL,
    recorded_at text NOT NULL,
    log_id text NOT NULL,
    CONSTRAINT amie_log_head_one_row CHECK ((id = 1)),
    CONSTRAINT amie_log_head_pkey PRIMARY KEY (id)
);

CREATE TABLE amie_outbox (
    stream text NOT NULL,
    answers text NOT NULL,
    hub text NOT NULL,
    site text NOT NULL,
    kind text NOT NULL,
    packet_type text,
    status text NOT NULL,
    decided_version integer NOT NULL,
    decided_at text NOT NULL,
    attempts integer NOT NULL,
    attempted_at text,
    error_code text,
    CONSTRAINT amie_outbox_pkey PRIMARY KEY (stream, answers)
);

CREATE TABLE amie_quarantine (
    stream text NOT NULL,
    hub text NOT NULL,
    site text NOT NULL,
    content text NOT NULL,
    content_size integer NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,
    hint text NOT NULL,
    trans_rec_id text,
    packet_rec_id text,
    packet_type text,
    status text NOT NULL,
    quarantined_at text NOT NULL,
    size integer NOT NULL,
    CONSTRAINT amie_quarantine_pkey PRIMARY KEY (stream)
);

CREATE TABLE amie_schema_version (
    version_num character varying(32) NOT NULL,
    CONSTRAINT amie_schema_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE amie_staged (
    id bigint NOT NULL DEFAULT nextval('amie_staged_id_seq'::regclass),
    hub text NOT NULL,
    site text NOT NULL,
    call text NOT NULL,
    trans_rec_id text,
    arguments text NOT NULL,
    staged_at text NOT NULL,
    CONSTRAINT amie_staged_pkey PRIMARY KEY (id)
);

CREATE TABLE amie_subscriptions (
    hub text NOT NULL,
    site text NOT NULL,
    name text NOT NULL,
    position bigint NOT NULL,
    updated_at text NOT NULL,
    failures integer NOT NULL,
    error text,
    not_before text,
    skipped bigint,
    skipped_by text,
    holder text,
    token text,
    expires_at text,
    CONSTRAINT amie_subscriptions_pkey PRIMARY KEY (hub, site, name)
);

CREATE TABLE amie_transactions (
    stream text NOT NULL,
    hub text NOT NULL,
    site text NOT NULL,
    trans_rec_id text,
    transaction_id text,
    type text,
    originator text,
    state text NOT NULL,
    version integer NOT NULL,
    turn text,
    due text NOT NULL,
    deadline text,
    deadline_noted text,
    opened_at text NOT NULL,
    opened_position bigint NOT NULL,
    updated_at text NOT NULL,
    grant_number text,
    project_id text,
    resource text,
    record_id text,
    held integer NOT NULL,
    anomalies text NOT NULL,
    first_packet text,
    names text NOT NULL,
    CONSTRAINT amie_transactions_pkey PRIMARY KEY (stream),
    CONSTRAINT amie_transactions_wire_id UNIQUE (hub, site, trans_rec_id)
);

CREATE TABLE amie_work (
    stream text NOT NULL,
    packet_rec_id text NOT NULL,
    hub text NOT NULL,
    site text NOT NULL,
    packet_type text NOT NULL,
    status text NOT NULL,
    attempts integer NOT NULL,
    not_before text,
    reason text,
    may_pass integer NOT NULL,
    opened_at text NOT NULL,
    CONSTRAINT amie_work_pkey PRIMARY KEY (stream, packet_rec_id)
);

CREATE SEQUENCE amie_staged_id_seq;

CREATE INDEX amie_directory_accounts_person ON amie_directory_accounts USING btree (hub, site, person_id);

CREATE INDEX amie_directory_persons_global_id ON amie_directory_persons USING btree (hub, site, global_id);

CREATE INDEX amie_directory_projects_grant ON amie_directory_projects USING btree (hub, site, grant_number);

CREATE UNIQUE INDEX amie_events_accepted ON amie_events USING btree (hub, site, packet_rec_id) WHERE ((type = ANY (ARRAY['packet_received'::text, 'packet_confirmed'::text, 'packet_adopted'::text])) AND (packet_rec_id IS NOT NULL));

CREATE INDEX amie_events_erasures ON amie_events USING btree (hub, site, "position") WHERE (type = 'documents_erased'::text);

CREATE INDEX amie_outbox_open ON amie_outbox USING btree (hub, site) WHERE (status = ANY (ARRAY['pending'::text, 'attempting'::text]));

CREATE INDEX amie_quarantine_content_size ON amie_quarantine USING btree (hub, site, content_size);

CREATE INDEX amie_quarantine_open ON amie_quarantine USING btree (hub, site) WHERE (status = 'quarantined'::text);

CREATE INDEX amie_transactions_open ON amie_transactions USING btree (hub, site, opened_position) WHERE (state <> ALL (ARRAY['completed'::text, 'failed'::text]));

CREATE INDEX amie_transactions_record_id ON amie_transactions USING btree (hub, site, record_id);

CREATE INDEX amie_work_open ON amie_work USING btree (hub, site) WHERE (status <> 'done'::text);

CREATE OR REPLACE FUNCTION amie_events_append_only()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            IF OLD.document IS NOT NULL AND NEW.document IS NULL AND NEW.document_salt IS NULL AND OLD.position IS NOT DISTINCT FROM NEW.position AND OLD.stream IS NOT DISTINCT FROM NEW.stream AND OLD.version IS NOT DISTINCT FROM NEW.version AND OLD.type IS NOT DISTINCT FROM NEW.type AND OLD.schema_version IS NOT DISTINCT FROM NEW.schema_version AND OLD.recorded_at IS NOT DISTINCT FROM NEW.recorded_at AND OLD.hub IS NOT DISTINCT FROM NEW.hub AND OLD.site IS NOT DISTINCT FROM NEW.site AND OLD.trans_rec_id IS NOT DISTINCT FROM NEW.trans_rec_id AND OLD.packet_rec_id IS NOT DISTINCT FROM NEW.packet_rec_id AND OLD.packet_type IS NOT DISTINCT FROM NEW.packet_type AND OLD.sender IS NOT DISTINCT FROM NEW.sender AND OLD.status IS NOT DISTINCT FROM NEW.status AND OLD.actor IS NOT DISTINCT FROM NEW.actor AND OLD.facts IS NOT DISTINCT FROM NEW.facts AND OLD.facts_digest IS NOT DISTINCT FROM NEW.facts_digest AND OLD.document_digest IS NOT DISTINCT FROM NEW.document_digest AND OLD.hash IS NOT DISTINCT FROM NEW.hash THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION 'amie_events is append-only: % is refused', TG_OP
            USING ERRCODE = 'restrict_violation';
    END $function$;

CREATE TRIGGER amie_events_no_change BEFORE DELETE OR UPDATE ON amie_events FOR EACH ROW EXECUTE FUNCTION amie_events_append_only();

CREATE TRIGGER amie_events_no_truncate BEFORE TRUNCATE ON amie_events FOR EACH STATEMENT EXECUTE FUNCTION amie_events_append_only();
