-- Plans, absences, locks, requests and the like: rows of the terminals' tables, in `state` under their table's name. `body` is {"row": columns, "by": the
-- device that wrote it, "person": uuid}; `version` counts the changes of one row, and `base` is the version that its writer knew.

ALTER TABLE state ADD COLUMN version bigint NOT NULL DEFAULT 1, ADD COLUMN base bigint;

CREATE TABLE record_kinds (
    kind text PRIMARY KEY,
    scope text NOT NULL CHECK (scope IN ('company', 'site', 'person')),  -- who gets it: everybody, the site of its writer, the sites of its person
    fixed boolean NOT NULL,  -- never changed: of two rows with one key the first stands
    first_day text,  -- the columns with the days that it changes; none: no days
    last_day text  -- none: all days from the first one on
);
INSERT INTO record_kinds VALUES
    ('settings', 'site', false, NULL, NULL),
    ('shifts', 'company', true, NULL, NULL),
    ('plans', 'company', true, NULL, NULL),
    ('assignments', 'person', true, 'since', NULL),
    ('holidays', 'site', false, 'day', 'day'),
    ('absences', 'person', false, 'first_day', 'last_day'),
    ('employments', 'person', false, NULL, NULL),
    ('locked_sheets', 'person', false, NULL, NULL),
    ('period_locks', 'site', false, NULL, NULL),
    ('correction_requests', 'person', true, NULL, NULL),
    ('correction_decisions', 'person', true, NULL, NULL);

CREATE FUNCTION within(fields jsonb, of record_kinds, first text, last text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    -- What a row says about the days from `first` to `last`; null where it says nothing about them.
    SELECT CASE WHEN fields ->> of.first_day <= within.last AND coalesce(fields ->> of.last_day, within.last) >= within.first
        THEN (fields - of.first_day) - coalesce(of.last_day, '') || jsonb_build_object('from', greatest(fields ->> of.first_day, within.first),
            'to', least(coalesce(fields ->> of.last_day, within.last), within.last)) END
$$;

CREATE FUNCTION changes_locked_days(of record_kinds, places uuid[], before jsonb, after jsonb) RETURNS boolean
LANGUAGE sql STABLE SET search_path = clockface, pg_temp AS $$
    SELECT of.first_day IS NOT NULL AND EXISTS (
        SELECT 1 FROM state l WHERE l.kind = 'period_locks' AND NOT l.deleted AND l.body -> 'row' ->> 'lifted_at' IS NULL
            AND (l.sites IS NULL OR places IS NULL OR l.sites && places)
            AND within(before, of, l.body -> 'row' ->> 'first_day', l.body -> 'row' ->> 'last_day')
                IS DISTINCT FROM within(after, of, l.body -> 'row' ->> 'first_day', l.body -> 'row' ->> 'last_day'))
$$;

CREATE FUNCTION put_record(kind text, key text, base bigint, body jsonb, deleted boolean)
RETURNS TABLE (stored bigint, over bigint, arrived bigint) LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
#variable_conflict use_column
DECLARE
    mine devices := me();
    of record_kinds;
    same state;
    owner state;
    places uuid[];
    content jsonb := put_record.body || jsonb_build_object('by', mine.name);
BEGIN
    SELECT * INTO of FROM record_kinds k WHERE k.kind = put_record.kind;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this database knows no rows of %: its owner runs `fleet migrate`', put_record.kind USING ERRCODE = 'CF002';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(put_record.kind || put_record.key, 0));
    SELECT * INTO same FROM state s WHERE s.kind = put_record.kind AND s.key = put_record.key FOR UPDATE;
    IF FOUND AND NOT sees(same.sites) THEN
        RAISE EXCEPTION '% % belongs to another site', put_record.kind, put_record.key USING ERRCODE = 'CF002';
    END IF;
    IF of.scope = 'person' THEN
        SELECT * INTO owner FROM state s WHERE s.kind = 'person' AND s.key = coalesce(put_record.body ->> 'person', same.body ->> 'person');
        IF NOT FOUND OR owner.deleted OR NOT sees(owner.sites) THEN
            RAISE EXCEPTION 'the person of % % is erased, of another site or unknown', put_record.kind, put_record.key USING ERRCODE = 'CF003';
        END IF;
        places := owner.sites;
    ELSIF of.scope = 'site' THEN
        places := CASE WHEN same.key IS NOT NULL THEN same.sites WHEN mine.site_id IS NOT NULL THEN ARRAY[mine.site_id] END;
    END IF;
    IF same.key IS NOT NULL AND (same.body -> 'row' = content -> 'row' OR put_record.deleted) AND same.deleted = put_record.deleted THEN
        RETURN QUERY SELECT same.version, NULL::bigint, (extract(epoch FROM same.at) * 1000000)::bigint;  -- sent again
        RETURN;
    END IF;
    IF of.fixed AND same.key IS NOT NULL THEN
        RAISE EXCEPTION '% % stands already as % wrote it', put_record.kind, put_record.key, coalesce(same.body ->> 'by', '') USING ERRCODE = 'CF006';
    END IF;
    IF changes_locked_days(of, places, CASE WHEN NOT same.deleted THEN same.body -> 'row' END, CASE WHEN NOT put_record.deleted THEN content -> 'row' END) THEN
        RAISE EXCEPTION '% % would change days of a locked period', put_record.kind, put_record.key USING ERRCODE = 'CF005';
    END IF;
    content := CASE WHEN put_record.deleted THEN same.body || jsonb_build_object('by', mine.name)  -- columns that an older terminal does not know stay
        ELSE content || jsonb_build_object('row', coalesce(same.body -> 'row', '{}') || (content -> 'row')) END;
    INSERT INTO state AS s (kind, key, sites, body, deleted, xid, seq, by_device, base)
        VALUES (put_record.kind, put_record.key, places, coalesce(content, '{}'), put_record.deleted, pg_current_xact_id(), nextval('arrivals'), mine.id,
            put_record.base)
        ON CONFLICT ON CONSTRAINT state_pkey DO UPDATE SET sites = excluded.sites, body = excluded.body, deleted = excluded.deleted, xid = excluded.xid,
            seq = excluded.seq, by_device = excluded.by_device, base = excluded.base, version = s.version + 1, at = now();
    PERFORM pg_notify('clockface_state', put_record.kind);
    RETURN QUERY SELECT coalesce(same.version, 0) + 1, CASE WHEN same.version > put_record.base THEN same.version END,
        (extract(epoch FROM now()) * 1000000)::bigint;
END $$;

REVOKE ALL ON FUNCTION within(jsonb, record_kinds, text, text), changes_locked_days(record_kinds, uuid[], jsonb, jsonb),
    put_record(text, text, bigint, jsonb, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION put_record(text, text, bigint, jsonb, boolean) TO clockface_terminal, clockface_desk;

-- What other doors have recorded and corrected. A device that went on after a fault keeps its role, and its older log a role that begins alike.

DROP FUNCTION doors(xid8, bigint, bigint, int);
CREATE FUNCTION doors(after_xid xid8, after_seq bigint, since bigint, most int)
RETURNS TABLE (device text, id bigint, person uuid, occurred_at bigint, direction text, method text, xid xid8, seq bigint, door uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    SELECT d.name, p.id, coalesce(a.person, p.person), p.occurred_at, p.direction, p.method, p.xid, p.seq, d.id
    FROM punches p JOIN devices d ON d.id = p.device_id LEFT JOIN aliases a ON a.alias = p.person
    WHERE (p.xid, p.seq) > (doors.after_xid, doors.after_seq) AND p.xid < pg_snapshot_xmin(pg_current_snapshot())
        AND p.occurred_at >= doors.since AND NOT starts_with(d.role::text, (SELECT (me()).role::text))
        AND EXISTS (SELECT 1 FROM state s WHERE s.kind = 'person' AND s.key = coalesce(a.person, p.person)::text AND sees(s.sites))
    ORDER BY p.xid, p.seq LIMIT doors.most
$$;

CREATE FUNCTION door_corrections(after_xid xid8, after_seq bigint, since bigint, most int)
RETURNS TABLE (door uuid, id bigint, person uuid, content text, xid xid8, seq bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    SELECT c.device_id, c.id, coalesce(a.person, c.person), c.content, c.xid, c.seq
    FROM corrections c JOIN devices d ON d.id = c.device_id LEFT JOIN aliases a ON a.alias = c.person
    WHERE (c.xid, c.seq) > (door_corrections.after_xid, door_corrections.after_seq) AND c.xid < pg_snapshot_xmin(pg_current_snapshot())
        AND (c.content::jsonb ->> 'corrected_at')::bigint >= door_corrections.since AND NOT starts_with(d.role::text, (SELECT (me()).role::text))
        AND EXISTS (SELECT 1 FROM state s WHERE s.kind = 'person' AND s.key = coalesce(a.person, c.person)::text AND sees(s.sites))
    ORDER BY c.xid, c.seq LIMIT door_corrections.most
$$;

REVOKE ALL ON FUNCTION doors(xid8, bigint, bigint, int), door_corrections(xid8, bigint, bigint, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION doors(xid8, bigint, bigint, int), door_corrections(xid8, bigint, bigint, int) TO clockface_terminal, clockface_desk;
