-- What makes a fleet of many terminals and a large roster cheap: what is missing is looked for among what has changed, and keys go up by the hundred.

CREATE INDEX wrapped_keys_changed ON wrapped_keys (device_id, xid, seq);
CREATE INDEX state_crops ON state (xid, seq) WHERE kind = 'template' AND sealed_crop IS NOT NULL AND NOT deleted;
CREATE INDEX state_erased ON state (at) WHERE kind = 'person' AND deleted;  -- counted for each device, each time somebody looks

-- Pages of the log come from an index in its order. The planner thinks that few rows are left, and would read and sort all of them for each page.

ALTER FUNCTION doors(xid8, bigint, bigint, int) SET enable_sort = off;
ALTER FUNCTION door_corrections(xid8, bigint, bigint, int) SET enable_sort = off;
ALTER FUNCTION copies(text, xid8, bigint, int) SET enable_sort = off;

ALTER TABLE devices ADD COLUMN changed xid8 NOT NULL DEFAULT pg_current_xact_id();  -- when it joined, was revoked or got another place

CREATE FUNCTION device_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed := pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE TRIGGER changed BEFORE UPDATE OF joined_at, revoked_at, site_id, public_key ON devices FOR EACH ROW EXECUTE FUNCTION device_changed();

-- What other terminals read must have a form and a size that they can bear, whoever wrote it.

ALTER TABLE state ADD CHECK (jsonb_typeof(body) = 'object' AND octet_length(body::text) < 1000000),
    ADD CHECK (octet_length(sealed) < 100000 AND octet_length(sealed_crop) < 10000000),
    ADD CHECK (kind <> 'person' OR key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$');
ALTER TABLE wrapped_keys ADD CHECK (octet_length(wrapped) < 1000);
ALTER TABLE punches ADD CHECK (octet_length(content) < 100000);
ALTER TABLE corrections ADD CHECK (octet_length(content) < 100000);

ALTER POLICY of_my_site ON state USING (sites IS NULL OR (SELECT (me()).site_id) IS NULL OR (SELECT (me()).site_id) = ANY (sites));  -- me() once per query

-- Keys that this terminal has and others of the person's sites lack, as far as something has changed since. One terminal of a site seals at a time: while
-- another one does, the answer is one row of nulls, and the question is to be asked again. The lock ends with the caller's transaction.

DROP FUNCTION missing_keys(int);
CREATE FUNCTION missing_keys(since xid8, most int) RETURNS TABLE (person uuid, device uuid, public_key bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices := me();
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('clockface.missing_keys'), hashtext(mine.site_id::text)) THEN
        RETURN QUERY SELECT NULL::uuid, NULL::uuid, NULL::bytea;
        RETURN;
    END IF;
    RETURN QUERY
        WITH news AS (
            SELECT w.person FROM wrapped_keys w WHERE w.device_id = mine.id AND w.xid >= since
            UNION SELECT w.person FROM state s JOIN wrapped_keys w ON w.person = s.key::uuid AND w.device_id = mine.id
                WHERE s.kind = 'person' AND NOT s.deleted AND s.xid >= since
        ), others AS (
            SELECT d.id, d.site_id, d.public_key, d.changed FROM devices d
            WHERE d.kind = 'terminal' AND d.joined_at IS NOT NULL AND d.revoked_at IS NULL AND d.id <> mine.id
        ), pairs AS (
            SELECT n.person, o.id, o.site_id, o.public_key FROM news n CROSS JOIN others o
            UNION ALL
            SELECT w.person, o.id, o.site_id, o.public_key FROM others o JOIN wrapped_keys w ON w.device_id = mine.id
                WHERE o.changed >= since AND w.xid < since
        )
        SELECT p.person, p.id, p.public_key FROM pairs p
        JOIN state s ON s.kind = 'person' AND s.key = p.person::text AND NOT s.deleted AND (s.sites IS NULL OR p.site_id = ANY (s.sites))
        WHERE NOT EXISTS (SELECT 1 FROM wrapped_keys x WHERE x.person = p.person AND x.device_id = p.id)
        LIMIT most;
END $$;

-- Templates that came before the keys of these people: found by an index, which a terminal's own query would not use under row-level security.

CREATE FUNCTION templates_of(people uuid[]) RETURNS TABLE (kind text, key text, sites text[], body jsonb, sealed bytea, deleted boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices := me();
BEGIN
    RETURN QUERY SELECT s.kind, s.key, s.sites::text[], s.body, s.sealed, s.deleted FROM state s
        WHERE s.body ? 'person' AND s.body ->> 'person' = ANY (people::text[]) AND s.kind = 'template'
            AND (mine.site_id IS NULL OR s.sites IS NULL OR mine.site_id = ANY (s.sites));
END $$;

-- Many keys at once. `own`: of people whose key this device has made or replaced, all or nothing; otherwise keys that it passes on where they are still wanted.

CREATE FUNCTION may_open(person uuid, device uuid, asking uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM clockface.state s JOIN clockface.devices d ON d.id = device AND d.joined_at IS NOT NULL AND d.revoked_at IS NULL
        WHERE s.kind = 'person' AND s.key = person::text AND NOT s.deleted
            AND (s.sites IS NULL OR ((d.site_id IS NULL OR d.site_id = ANY (s.sites)) AND (asking IS NULL OR asking = ANY (s.sites)))))
$$;

CREATE FUNCTION wrap_all(people uuid[], targets uuid[], boxes bytea[], own boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices := me();
    wrong uuid;
BEGIN
    PERFORM 1 FROM state s WHERE s.kind = 'person' AND s.key IN (SELECT unnest(people)::text) ORDER BY s.key FOR SHARE;  -- an erasure waits, or is seen
    IF own THEN
        SELECT u.person INTO wrong FROM unnest(people, targets) AS u (person, device) WHERE NOT may_open(u.person, u.device, mine.site_id) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'person % may not be opened there', wrong USING ERRCODE = 'CF003';
        END IF;
        SELECT u.person INTO wrong FROM unnest(people) AS u (person)
            WHERE EXISTS (SELECT 1 FROM wrapped_keys w WHERE w.person = u.person)
                AND NOT EXISTS (SELECT 1 FROM wrapped_keys w WHERE w.person = u.person AND w.device_id = mine.id) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'another device has the key of person %', wrong USING ERRCODE = 'CF004';
        END IF;
        INSERT INTO wrapped_keys AS w (person, device_id, wrapped) SELECT * FROM unnest(people, targets, boxes)
            ON CONFLICT ON CONSTRAINT wrapped_keys_pkey DO UPDATE SET wrapped = excluded.wrapped, xid = pg_current_xact_id(), seq = nextval('arrivals');
    ELSE
        INSERT INTO wrapped_keys (person, device_id, wrapped) SELECT u.* FROM unnest(people, targets, boxes) AS u (person, device, wrapped)
            WHERE may_open(u.person, u.device, mine.site_id) AND EXISTS (SELECT 1 FROM wrapped_keys w WHERE w.person = u.person AND w.device_id = mine.id)
            ON CONFLICT DO NOTHING;
    END IF;
    PERFORM pg_notify('clockface_state', 'key');
END $$;

REVOKE ALL ON FUNCTION missing_keys(xid8, int), templates_of(uuid[]), may_open(uuid, uuid, uuid), wrap_all(uuid[], uuid[], bytea[], boolean), device_changed() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION missing_keys(xid8, int), templates_of(uuid[]), wrap_all(uuid[], uuid[], bytea[], boolean) TO clockface_terminal, clockface_desk;
