-- Who appends evidence looks whether its source exists, and no source is ever deleted: a foreign key would look again.

ALTER TABLE evidence DROP CONSTRAINT evidence_source_id_fkey;
CREATE TRIGGER source_never_deleted BEFORE DELETE OR TRUNCATE ON source EXECUTE FUNCTION refuse_change();
COMMENT ON COLUMN evidence.source_id IS 'Of a source: who appends looks, and no source is ever deleted. A foreign key would look again, for a fifth of a storm''s time.';
