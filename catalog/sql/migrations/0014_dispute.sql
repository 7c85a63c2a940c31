-- What units object to, and what is answered.

CREATE TABLE dispute (
  dispute_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source_id     bigint NOT NULL REFERENCES source,
  first_day     date NOT NULL,
  last_day      date NOT NULL CHECK (last_day >= first_day),
  raised_by     text NOT NULL CHECK (raised_by <> ''),
  text          text NOT NULL CHECK (text <> ''),
  document      text NOT NULL,
  running_from  timestamptz,
  running_until timestamptz,
  raised_at     timestamptz NOT NULL,
  entered_by    text NOT NULL CHECK (entered_by <> ''),
  CHECK ((running_from IS NULL) = (running_until IS NULL)),
  CHECK (running_until > running_from)
);
CREATE INDEX dispute_by_source ON dispute (source_id, dispute_id);
COMMENT ON TABLE dispute IS 'What a unit objects to of a source''s status in a period. It stands on every evidence sheet that holds one of the days.';
COMMENT ON COLUMN dispute.raised_by IS 'Whose objection it is: the unit.';
COMMENT ON COLUMN dispute.running_from IS 'When the unit shows the source to have been running: upheld, it is late evidence, and the history is told with it.';
COMMENT ON COLUMN dispute.entered_by IS 'Who entered it.';

CREATE TABLE dispute_answer (
  dispute_id    bigint PRIMARY KEY REFERENCES dispute,
  is_upheld     boolean NOT NULL,
  text          text NOT NULL CHECK (text <> ''),
  answered_at   timestamptz NOT NULL,
  answered_by   text NOT NULL CHECK (answered_by <> '')
);
COMMENT ON TABLE dispute_answer IS 'What was answered; once. Before it nothing is ordered about the source''s site.';
COMMENT ON COLUMN dispute_answer.is_upheld IS 'Whether the objection was found right. What follows from that is entered where it belongs, e.g. as a suspension.';
CREATE TRIGGER dispute_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON dispute EXECUTE FUNCTION refuse_change();
CREATE TRIGGER dispute_answer_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON dispute_answer EXECUTE FUNCTION refuse_change();

CREATE FUNCTION day_stale_by_dispute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO day_stale (site_id, from_day)
  SELECT s.site_id, local_day(d.running_from) FROM dispute d JOIN source s ON s.source_id = d.source_id
   WHERE d.dispute_id = NEW.dispute_id AND d.running_from < local_midnight(local_day(now()));
  RETURN NULL;
END $$;
COMMENT ON FUNCTION day_stale_by_dispute() IS 'Late evidence about a day that is over was found right.';
CREATE TRIGGER dispute_answer_makes_stale AFTER INSERT ON dispute_answer
  FOR EACH ROW WHEN (NEW.is_upheld) EXECUTE FUNCTION day_stale_by_dispute();
