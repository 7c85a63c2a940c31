-- A stored report may be about places of one class, one unit's, or what one edition lists.

ALTER TABLE stored_report
  ADD COLUMN place_class text CHECK (place_class <> ''),
  ADD COLUMN unit        text CHECK (unit <> ''),
  ADD COLUMN edition     text CHECK (edition <> '');
COMMENT ON COLUMN stored_report.place_class IS 'Only places of this class; null for all. So with unit and edition.';

CREATE FUNCTION site_is_of(p_site bigint, p_class text, p_unit text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT EXISTS (SELECT FROM site t JOIN system y ON y.system_id = t.system_id JOIN unit u ON u.unit_id = y.unit_id
                  WHERE t.site_id = p_site AND (p_class IS NULL OR t.class = p_class) AND (p_unit IS NULL OR u.name = p_unit))
$$;
COMMENT ON FUNCTION site_is_of(bigint, text, text) IS 'Whether a site is of a class and of a unit; null for any.';
