-- A release that we don't know has migrated the log: we can't say what its tables mean.
UPDATE amie_schema_version SET version_num = '99999999';
