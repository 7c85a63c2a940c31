-- What people attest of a system, and the rules that are judged by it. The columns that nothing ever wrote are gone.

CREATE TABLE attestation (
  attestation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  system_id     bigint NOT NULL REFERENCES system,
  fact          text NOT NULL CHECK (fact IN ('in_use_on', 'accepted_on', 'filed_on', 'interface_reserved', 'sign_posted',
                                              'mlps_met', 'archive_kept', 'capture_range_fixed', 'with_the_works',
                                              'place_kind', 'national_place', 'state_owned', 'place_owner',
                                              'place_manager', 'agreed_builder', 'builder', 'user',
                                              'publicly_funded')),
  value         text NOT NULL CHECK (value <> ''),
  document      text NOT NULL CHECK (document <> ''),
  attested_at   timestamptz NOT NULL,
  attested_by   text NOT NULL CHECK (attested_by <> '')
);
CREATE INDEX attestation_by_system ON attestation (system_id, fact, attestation_id);
COMMENT ON TABLE attestation IS 'What people attested of a system, on which document. The last one of a fact counts; none is changed.';
COMMENT ON COLUMN attestation.value IS 'A day, a word or a name: catalog/model/compliance.py says which.';
CREATE TRIGGER attestation_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON attestation EXECUTE FUNCTION refuse_change();

ALTER TABLE system DROP COLUMN accepted_on, DROP COLUMN filed_on, DROP COLUMN in_use_on, DROP COLUMN removed_on;
ALTER TABLE unit DROP COLUMN responsibility_basis;
COMMENT ON TABLE unit IS 'Whom the roll names for a system. Who is responsible, and why, follows from attestations (WX-10, SX-9, CN-7).';
