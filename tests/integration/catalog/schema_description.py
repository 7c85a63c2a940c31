"""Describe a schema line by line, independent of the order in which it was made."""

from typing import Final

from catalog.database import RawConnection

# One query a kind of object; each gives lines. Column order is left out: an added column stands last for ever.
QUERIES: Final = {
    "relation": """
        SELECT format('relation %s %s persistence %s options %s row security %s partition key %s bound %s of %s',
            c.relname, c.relkind, c.relpersistence, c.reloptions, c.relrowsecurity,
            pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
            (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = c.oid))
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace""",
    "column": """
        SELECT format('column %s.%s %s not null %s default %s identity %s generated %s collation %s',
            c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated, a.attcollation::regcollation)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
          AND a.attnum > 0 AND NOT a.attisdropped""",
    "view": """
        SELECT format('view %s %s', c.relname, pg_get_viewdef(c.oid))
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm')""",
    "constraint": """
        SELECT format('constraint %s on %s %s validated %s', n.conname, n.conrelid::regclass,
            pg_get_constraintdef(n.oid), n.convalidated)
        FROM pg_constraint n WHERE n.connamespace = 'public'::regnamespace""",
    "index": """
        SELECT format('index %s valid %s', pg_get_indexdef(i.indexrelid), i.indisvalid)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relnamespace = 'public'::regnamespace""",
    "statistics": """
        SELECT format('statistics %s', pg_get_statisticsobjdef(s.oid))
        FROM pg_statistic_ext s WHERE s.stxnamespace = 'public'::regnamespace""",
    "function": """
        SELECT format('function %s', pg_get_functiondef(p.oid))
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p')""",
    "trigger": """
        SELECT format('trigger %s enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal""",
    "policy": "SELECT format('policy %s', p) FROM pg_policies p WHERE p.schemaname = 'public'",
    "type": """
        SELECT format('type %s %s base %s default %s labels %s', t.typname, t.typtype,
            format_type(nullif(t.typbasetype, 0), t.typtypmod), t.typdefault,
            (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
        FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('d', 'e', 'r')""",
    "sequence": """
        SELECT format('sequence %s %s start %s increment %s min %s max %s cycle %s', sequencename, data_type,
            start_value, increment_by, min_value, max_value, cycle)
        FROM pg_sequences WHERE schemaname = 'public'""",
    "comment": """
        SELECT format('comment %s %s: %s', o.type, o.identity, d.description)
        FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) o
        WHERE o.schema = 'public' OR o.identity LIKE 'public.%' OR o.identity LIKE '% on public.%'""",
    "grant": """
        SELECT format('grant %s %s', c.relname, c.relacl)
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relacl IS NOT NULL""",
}


async def describe_schema(connection: RawConnection) -> list[str]:
    """Return the sorted description of everything in the schema `public`."""
    lines: list[str] = []
    for query in QUERIES.values():
        lines += [row[0] for row in await connection.fetch(query)]
    return sorted(lines)
