-- Editions that wait for a second person.

CREATE TABLE edition_proposal (
  proposal_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  district      text NOT NULL REFERENCES jurisdiction,
  effective_from date NOT NULL,
  entries       int NOT NULL CHECK (entries >= 0),
  entries_sha256 text NOT NULL CHECK (entries_sha256 ~ '^[0-9a-f]{64}$'),
  proposed_at   timestamptz NOT NULL,
  proposed_by   text NOT NULL CHECK (proposed_by <> ''),
  token_prefix  text
);
CREATE INDEX edition_proposal_by_district ON edition_proposal (district, proposal_id);
COMMENT ON TABLE edition_proposal IS 'A compiled edition that waits for a second person. What it would publish is compiled again when it is approved.';
COMMENT ON COLUMN edition_proposal.entries_sha256 IS 'Of the canonical JSON of what would be public: approved is what was proposed, or nothing.';
COMMENT ON COLUMN edition_proposal.token_prefix IS 'The token that proposed it; null on the command line.';

CREATE TABLE edition_decision (
  proposal_id   bigint PRIMARY KEY REFERENCES edition_proposal,
  decision      text NOT NULL CHECK (decision IN ('approved', 'rejected')),
  decided_at    timestamptz NOT NULL,
  decided_by    text NOT NULL CHECK (decided_by <> ''),
  reason        text NOT NULL DEFAULT '' CHECK (decision = 'approved' OR reason <> ''),
  edition_id    bigint REFERENCES edition CHECK ((decision = 'approved') = (edition_id IS NOT NULL))
);
COMMENT ON TABLE edition_decision IS 'What a second person decided about a proposal; once.';
CREATE TRIGGER edition_proposal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON edition_proposal EXECUTE FUNCTION refuse_change();
CREATE TRIGGER edition_decision_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON edition_decision EXECUTE FUNCTION refuse_change();
