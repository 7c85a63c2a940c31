-- A source that does not always operate, such as a bus: approved hours of rest, in which nothing is charged.

ALTER TABLE connectivity DROP CONSTRAINT connectivity_suspended_reason_check;
ALTER TABLE connectivity ADD CONSTRAINT connectivity_suspended_reason_check CHECK (suspended_reason IN
  ('planned_maintenance', 'force_majeure', 'municipal_works', 'ordered_by_authority', 'outside_operation'));
ALTER TABLE suspension DROP CONSTRAINT suspension_reason_check;
ALTER TABLE suspension ADD CONSTRAINT suspension_reason_check CHECK (reason IN
  ('planned_maintenance', 'force_majeure', 'municipal_works', 'ordered_by_authority', 'outside_operation'));
ALTER TABLE suspension
  ADD COLUMN rest_begins   time,
  ADD COLUMN rest_ends     time,
  ADD COLUMN rest_weekdays int[] CHECK (rest_weekdays <@ '{1,2,3,4,5,6,7}' AND rest_weekdays <> '{}'),
  ADD CHECK (num_nonnulls(rest_begins, rest_ends, rest_weekdays) = CASE reason WHEN 'outside_operation' THEN 3 ELSE 0 END);
COMMENT ON COLUMN suspension.rest_begins IS 'Only these hours of the window count, in local time: the source does not operate in them.';
COMMENT ON COLUMN suspension.rest_ends IS 'Of the next day where it is not after rest_begins.';
COMMENT ON COLUMN suspension.rest_weekdays IS 'On which the hours begin; Monday is 1.';
ALTER TABLE day_account ADD COLUMN outside_operation bigint;
ALTER TABLE day_total ADD COLUMN outside_operation bigint;

DROP FUNCTION suspensions_in_force();
CREATE FUNCTION suspensions_in_force(p_from timestamptz, p_until timestamptz)
RETURNS TABLE (suspension_id bigint, site_id bigint, source_id bigint, reason text, starts_at timestamptz,
               ends_at timestamptz, retroactive boolean) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT w.suspension_id, w.site_id, w.source_id, w.reason, h.starts_at, h.ends_at, w.retroactive
    FROM (SELECT s.*, s.starts_at < s.requested_at AS retroactive, least(s.ends_at, a.ended_at) AS ends, a.approvals,
                 a.withdrawn
            FROM suspension s
            JOIN LATERAL (
              SELECT count(DISTINCT person) FILTER (WHERE act = 'approve') AS approvals,
                     coalesce(bool_or(act = 'withdraw'), false) AS withdrawn,
                     min(at) FILTER (WHERE act = 'end') AS ended_at
                FROM suspension_act x WHERE x.suspension_id = s.suspension_id) a ON true) w
   CROSS JOIN LATERAL (
      SELECT w.starts_at, w.ends AS ends_at WHERE w.rest_begins IS NULL
      UNION ALL
      SELECT greatest(w.starts_at, (d + w.rest_begins) AT TIME ZONE 'Asia/Shanghai'),
             least(w.ends, (d + CASE WHEN w.rest_ends > w.rest_begins THEN '0 d' ELSE '1 d' END::interval + w.rest_ends)
                           AT TIME ZONE 'Asia/Shanghai')
        FROM generate_series((local_day(greatest(w.starts_at, p_from)) - 1)::timestamp,
                             local_day(least(w.ends, p_until))::timestamp, '1 d') d
       WHERE w.rest_begins IS NOT NULL AND extract(isodow FROM d) = ANY (w.rest_weekdays)) h
   WHERE NOT w.withdrawn AND w.approvals >= CASE WHEN w.retroactive THEN 2 ELSE 1 END
     AND h.ends_at > h.starts_at AND h.ends_at >= p_from AND h.starts_at <= p_until
$$;
COMMENT ON FUNCTION suspensions_in_force(timestamptz, timestamptz) IS
  'The windows between two instants that count: approved (retroactive ones by two people), not withdrawn, up to where they were ended. Of one with hours of rest each rest is a window (catalog/model/operation.py).';
