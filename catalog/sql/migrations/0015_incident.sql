-- Incidents: what many sources have in common that went silent together, and whose fault it was.

CREATE TABLE incident (
  gateway_id    text NOT NULL REFERENCES gateway,
  name          text NOT NULL CHECK (name <> ''),
  silent_from   timestamptz NOT NULL,
  suspected_at  timestamptz NOT NULL,
  decided_at    timestamptz NOT NULL,
  fault         text NOT NULL CHECK (fault IN ('ours', 'not_ours')),
  basis         text NOT NULL CHECK (basis IN ('self_test', 'time_limit')),
  silent        int NOT NULL CHECK (silent > 0),
  PRIMARY KEY (gateway_id, name)
);
CREATE INDEX incident_by_time ON incident (silent_from);
COMMENT ON TABLE incident IS 'Many sources of a gateway went silent together, and whose fault it was (status model 4.7, E3).';
COMMENT ON COLUMN incident.silent_from IS 'Around this instant they went silent.';
COMMENT ON COLUMN incident.fault IS 'ours: they stayed unknown. not_ours: they were lost, each with evidence that names the incident.';
COMMENT ON COLUMN incident.basis IS 'Whether the self-test said so, or did not answer in time.';
COMMENT ON COLUMN incident.silent IS 'Sources that were silent when it was decided.';
CREATE INDEX evidence_by_incident ON evidence (gateway_id, (detail ->> 'incident')) WHERE detail ? 'incident';
