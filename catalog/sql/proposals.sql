-- Editions that wait for a second person (catalog/proposals.py).

-- name: proposal_add
-- Propose an edition. $1 district, $2 effective from, $3 number of entries, $4 their hash, $5 instant, $6 person,
-- $7 token prefix or null
INSERT INTO edition_proposal (district, effective_from, entries, entries_sha256, proposed_at, proposed_by, token_prefix)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING proposal_id;

-- name: proposal_list
-- Proposals with what was decided, the newest first. $1 district, $2 one of them or null, $3 limit
SELECT p.proposal_id, p.effective_from, p.entries, p.entries_sha256, p.proposed_at, p.proposed_by, p.token_prefix,
       d.decision, d.decided_at, d.decided_by, d.reason, e.number
  FROM edition_proposal p
  LEFT JOIN edition_decision d USING (proposal_id)
  LEFT JOIN edition e USING (edition_id)
 WHERE p.district = $1 AND ($2::bigint IS NULL OR p.proposal_id = $2)
 ORDER BY p.proposal_id DESC LIMIT $3;

-- name: proposal_decide
-- Decide a proposal. $1 proposal, $2 decision, $3 instant, $4 person, $5 reason, $6 edition or null
INSERT INTO edition_decision (proposal_id, decision, decided_at, decided_by, reason, edition_id)
VALUES ($1, $2, $3, $4, $5, $6);
