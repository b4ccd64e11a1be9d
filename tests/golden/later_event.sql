-- What a release that we don't know has appended to transaction 1003: we can't say what it means.
INSERT INTO amie_events
SELECT (SELECT max(position) + 1 FROM amie_events), stream, max(version) + 1, type, 1000, recorded_at, hub, site,
       trans_rec_id, NULL, packet_type, sender, status, actor, '{}', 'd', NULL, NULL, NULL, 'h'
FROM amie_events WHERE trans_rec_id = '1003';
UPDATE amie_log_head SET position = position + 1, hash = 'h';
