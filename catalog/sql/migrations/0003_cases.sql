-- Cases of what must connect and never did, and what people did to them.

CREATE TABLE compliance_case (
  case_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  number        text NOT NULL UNIQUE,
  district      text NOT NULL REFERENCES jurisdiction,
  site_id       bigint NOT NULL REFERENCES site,
  duty_id       bigint NOT NULL REFERENCES duty,
  opened_at     timestamptz NOT NULL,
  evidence      jsonb NOT NULL,
  evidence_sha256 text NOT NULL CHECK (evidence_sha256 ~ '^[0-9a-f]{64}$')
);
CREATE INDEX compliance_case_by_site ON compliance_case (site_id);
CREATE INDEX compliance_case_by_district ON compliance_case (district, case_id);
COMMENT ON TABLE compliance_case IS 'A site that must connect and has sources that never did (WX-21, WX-34). Where it stands follows from its steps and the day.';
COMMENT ON COLUMN compliance_case.evidence IS 'What was known when it was found: duty, sources, how long the platform could have accepted. Never changed.';
COMMENT ON COLUMN compliance_case.evidence_sha256 IS 'Of the canonical JSON of evidence.';

CREATE TABLE case_step (
  case_id       bigint NOT NULL REFERENCES compliance_case,
  position      int NOT NULL CHECK (position > 0),
  step          text NOT NULL CHECK (step IN ('verify', 'dispute', 'answer', 'order', 'extend', 'appeal', 'resume',
                                              'rectify', 'refer', 'withdraw', 'close')),
  at            timestamptz NOT NULL,
  on_day        date NOT NULL,
  person        text NOT NULL CHECK (person <> ''),
  detail        jsonb NOT NULL,
  PRIMARY KEY (case_id, position)
);
COMMENT ON TABLE case_step IS 'What people did to a case, in order; the table of steps is catalog/model/case.py.';
COMMENT ON COLUMN case_step.on_day IS 'The local day of at: deadlines are local days.';
COMMENT ON COLUMN case_step.person IS 'Who entered it; whose act it is stands in detail (organ, by).';
CREATE TRIGGER compliance_case_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_case EXECUTE FUNCTION refuse_change();
CREATE TRIGGER case_step_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON case_step EXECUTE FUNCTION refuse_change();
