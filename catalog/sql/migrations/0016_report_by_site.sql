-- A stored report of a large region is told by site, from closed days.

ALTER TABLE stored_report
  ADD COLUMN told_by text NOT NULL DEFAULT 'source' CHECK (told_by IN ('source', 'site'));
COMMENT ON COLUMN stored_report.told_by IS 'What its lines stand for: sources, from their histories, or sites, from closed days.';
