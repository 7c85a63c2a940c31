-- Windows in which a site is not charged: requested, approved, and counted from this table alone.

CREATE TABLE suspension (
  suspension_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  site_id       bigint NOT NULL REFERENCES site,
  source_id     bigint REFERENCES source,
  reason        text NOT NULL CHECK (reason IN
                ('planned_maintenance', 'force_majeure', 'municipal_works', 'ordered_by_authority')),
  starts_at     timestamptz NOT NULL,
  ends_at       timestamptz NOT NULL,
  document      text NOT NULL CHECK (document <> ''),
  requested_at  timestamptz NOT NULL,
  requested_by  text NOT NULL CHECK (requested_by <> ''),
  CHECK (ends_at > starts_at)
);
CREATE INDEX suspension_by_site ON suspension (site_id, ends_at);
COMMENT ON TABLE suspension IS 'A window in which a site, or one source of it, is asked not to be charged. It counts once it is approved.';
COMMENT ON COLUMN suspension.source_id IS 'Null: the whole site.';
COMMENT ON COLUMN suspension.starts_at IS 'Before requested_at: retroactive, and approved by two people.';

CREATE TABLE suspension_act (
  suspension_id bigint NOT NULL REFERENCES suspension,
  position      int NOT NULL CHECK (position > 0),
  act           text NOT NULL CHECK (act IN ('approve', 'withdraw', 'end')),
  at            timestamptz NOT NULL,
  person        text NOT NULL CHECK (person <> ''),
  text          text NOT NULL,
  PRIMARY KEY (suspension_id, position)
);
COMMENT ON TABLE suspension_act IS 'What people did to a suspension, in order; catalog/model/suspension.py says what may be done.';

CREATE FUNCTION suspensions_in_force()
RETURNS TABLE (suspension_id bigint, site_id bigint, source_id bigint, reason text, starts_at timestamptz,
               ends_at timestamptz, retroactive boolean) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT suspension_id, site_id, source_id, reason, starts_at, ends, retroactive
    FROM (SELECT s.*, s.starts_at < s.requested_at AS retroactive, least(s.ends_at, a.ended_at) AS ends, a.approvals,
                 a.withdrawn
            FROM suspension s
            JOIN LATERAL (
              SELECT count(DISTINCT person) FILTER (WHERE act = 'approve') AS approvals,
                     coalesce(bool_or(act = 'withdraw'), false) AS withdrawn,
                     min(at) FILTER (WHERE act = 'end') AS ended_at
                FROM suspension_act x WHERE x.suspension_id = s.suspension_id) a ON true) w
   WHERE NOT withdrawn AND approvals >= CASE WHEN retroactive THEN 2 ELSE 1 END AND ends > starts_at
$$;
COMMENT ON FUNCTION suspensions_in_force() IS
  'The windows that count: approved (retroactive ones by two people), not withdrawn, up to where they were ended.';
CREATE TRIGGER suspension_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON suspension EXECUTE FUNCTION refuse_change();
CREATE TRIGGER suspension_act_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON suspension_act EXECUTE FUNCTION refuse_change();
