-- Reports that never change, and their revisions.

CREATE TABLE stored_report (
  number        text NOT NULL,
  revision      int NOT NULL CHECK (revision > 0),
  district      text NOT NULL REFERENCES jurisdiction,
  region        text NOT NULL CHECK (region ~ '^([0-9]{2}){0,3}$'),
  first_day     date NOT NULL,
  last_day      date NOT NULL CHECK (last_day >= first_day),
  starts_at     timestamptz NOT NULL,
  ends_at       timestamptz NOT NULL CHECK (ends_at > starts_at),
  made_at       timestamptz NOT NULL,
  made_by       text NOT NULL CHECK (made_by <> ''),
  reason        text CHECK (reason <> ''),
  content_sha256 text NOT NULL CHECK (content_sha256 ~ '^[0-9a-f]{64}$'),
  signed        text NOT NULL,
  PRIMARY KEY (number, revision),
  CHECK ((revision = 1) = (reason IS NULL))
);
CREATE INDEX stored_report_by_time ON stored_report (made_at, number, revision);
COMMENT ON TABLE stored_report IS 'Reports of a region and period as they were signed. A report told anew is a new revision; the earlier ones stay.';
COMMENT ON COLUMN stored_report.number IS 'Counts the reports about a region and of a local year.';
COMMENT ON COLUMN stored_report.district IS 'Whose report it is: the jurisdiction of the installation.';
COMMENT ON COLUMN stored_report.region IS 'Prefix of the administrative codes that it tells of.';
COMMENT ON COLUMN stored_report.ends_at IS 'The same in all revisions, though the last day may not have been over.';
COMMENT ON COLUMN stored_report.reason IS 'Why it was told anew.';
COMMENT ON COLUMN stored_report.content_sha256 IS 'Of the canonical JSON of the content: two revisions never have the same one after the other.';
COMMENT ON COLUMN stored_report.signed IS 'The signed document, as text: the same bytes whoever asks.';
CREATE TRIGGER stored_report_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_report EXECUTE FUNCTION refuse_change();
