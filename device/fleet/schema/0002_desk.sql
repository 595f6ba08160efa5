-- The company's desk: copies of all logs that it may see, one overview for `fleet status` and for its health page, chain faults that somebody has looked at,
-- and identities that turned out to be one person's.

CREATE TABLE aliases (  -- identities that a terminal gave to somebody whom the company knew already: rows that it sent before name them
    alias uuid PRIMARY KEY,
    person uuid NOT NULL,
    by_device uuid NOT NULL REFERENCES devices,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION known_as(alias uuid, person uuid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine uuid := (me()).id;
    owner state;
BEGIN
    SELECT * INTO owner FROM state s WHERE s.kind = 'person' AND s.key = known_as.person::text AND NOT s.deleted;
    IF owner.key IS NULL OR NOT sees(owner.sites) OR EXISTS (SELECT 1 FROM state s WHERE s.kind = 'person' AND s.key = known_as.alias::text) THEN
        RAISE EXCEPTION 'person % is erased, of another site or unknown', known_as.person USING ERRCODE = 'CF003';
    END IF;
    INSERT INTO aliases (alias, person, by_device) VALUES (known_as.alias, known_as.person, mine) ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION desk() RETURNS devices LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices := me();
BEGIN
    IF mine.kind <> 'desk' THEN
        RAISE EXCEPTION 'a terminal may not read or decide this: it is for a desk' USING ERRCODE = 'CF002';
    END IF;
    RETURN mine;
END $$;

-- The logs of all devices that a desk may see, in the order in which they became visible.

CREATE FUNCTION copies(chain text, after_xid xid8, after_seq bigint, most int)
RETURNS TABLE (device uuid, name text, id bigint, person uuid, content text, hash text, xid xid8, seq bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices := desk();
BEGIN
    IF copies.chain NOT IN ('punches', 'corrections') THEN
        RAISE EXCEPTION 'no such chain' USING ERRCODE = 'CF002';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT d.id, d.name, p.id, coalesce(a.person, p.person), p.content, p.hash, p.xid, p.seq
        FROM %I p JOIN devices d ON d.id = p.device_id LEFT JOIN aliases a ON a.alias = p.person
        WHERE (p.xid, p.seq) > ($1, $2) AND p.xid < pg_snapshot_xmin(pg_current_snapshot())
            AND ($3 IS NULL OR EXISTS (SELECT 1 FROM state s WHERE s.kind = ''person'' AND s.key = coalesce(a.person, p.person)::text
                AND (s.sites IS NULL OR $3 = ANY (s.sites))))
        ORDER BY p.xid, p.seq LIMIT $4', copies.chain) USING copies.after_xid, copies.after_seq, mine.site_id, copies.most;
END $$;

-- Every device: where it is, when it was last seen, what it said of itself, its chains, faults that nobody has looked at, and erasures it has not confirmed.

ALTER TABLE chain_faults ADD COLUMN accepted_at timestamptz, ADD COLUMN accepted_by text, ADD COLUMN continued_at timestamptz;
ALTER TABLE chain_heads ADD COLUMN follows text;  -- the hash that the row first_id follows, where the chain goes on after an accepted fault
ALTER TABLE devices ADD COLUMN continued_as uuid REFERENCES devices;  -- its chain ended in a fault that was accepted, and goes on there

CREATE VIEW overview AS
SELECT d.id, d.name, d.kind, d.site_id, s.name AS site, d.joined_at, d.revoked_at, d.invited_until, d.last_seen, d.health, d.continued_as,
    (SELECT jsonb_object_agg(h.chain, h.id) FROM chain_heads h WHERE h.device_id = d.id) AS heads,
    (SELECT jsonb_agg(jsonb_build_object('chain', f.chain, 'id', f.id, 'fault', f.fault) || CASE WHEN f.accepted_at IS NULL THEN '{}' ELSE
            jsonb_build_object('accepted_by', f.accepted_by) END ORDER BY f.at)
        FROM chain_faults f WHERE f.device_id = d.id AND f.continued_at IS NULL) AS faults,
    (SELECT count(*) FROM state e WHERE d.kind = 'terminal' AND d.joined_at IS NOT NULL AND d.revoked_at IS NULL AND d.continued_as IS NULL
        AND e.kind = 'person' AND e.deleted AND (e.sites IS NULL OR d.site_id = ANY (e.sites)) AND e.at >= d.joined_at
        AND NOT EXISTS (SELECT 1 FROM confirmations c WHERE c.person::text = e.key AND c.device_id = d.id)) AS erasures_open
FROM devices d LEFT JOIN sites s ON s.id = d.site_id;

CREATE FUNCTION devices_of_desk() RETURNS TABLE (told jsonb) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices := desk();
BEGIN
    RETURN QUERY SELECT to_jsonb(o) FROM overview o WHERE mine.site_id IS NULL OR o.site_id = mine.site_id OR o.id = mine.id;
END $$;

-- What a device says of itself, with how far its clock is from this server's (s, positive where it is ahead).

CREATE OR REPLACE FUNCTION report(health jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    UPDATE devices d SET last_seen = now(), health = CASE WHEN jsonb_typeof(report.health -> 'clock') = 'number'
        THEN report.health || jsonb_build_object('clock_ahead', round((report.health ->> 'clock')::numeric - extract(epoch FROM clock_timestamp()), 1))
        ELSE report.health END
    WHERE d.id = (me()).id
$$;

-- A chain fault stops that chain until somebody has looked and accepts it. What has arrived stays as it is, under the old device, which is revoked and named
-- after the moment; its login goes on as a new device in its place, from the first row that the server does not have.

CREATE FUNCTION accept_faults(device uuid) RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices := desk();
    marked int;
BEGIN
    UPDATE chain_faults f SET accepted_at = now(), accepted_by = mine.name FROM devices d
        WHERE f.device_id = accept_faults.device AND f.accepted_at IS NULL AND d.id = f.device_id AND (mine.site_id IS NULL OR d.site_id = mine.site_id);
    GET DIAGNOSTICS marked = ROW_COUNT;
    PERFORM pg_notify('clockface_state', 'fault');
    RETURN marked;
END $$;

CREATE FUNCTION accepted_faults() RETURNS TABLE (chain text) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    SELECT f.chain FROM chain_faults f WHERE f.device_id = (me()).id AND f.continued_at IS NULL GROUP BY f.chain HAVING bool_and(f.accepted_at IS NOT NULL)
$$;

CREATE FUNCTION known_rows(chain text, most int) RETURNS TABLE (id bigint, hash text) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine uuid := (me()).id;
BEGIN
    IF known_rows.chain = 'punches' THEN
        RETURN QUERY SELECT p.id, p.hash FROM punches p WHERE p.device_id = mine ORDER BY p.id DESC LIMIT most;
    ELSE
        RETURN QUERY SELECT c.id, c.hash FROM corrections c WHERE c.device_id = mine ORDER BY c.id DESC LIMIT most;
    END IF;
END $$;

CREATE FUNCTION continue_chain(chain text, first_id bigint, follows text) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices := me();
    fresh uuid := gen_random_uuid();
BEGIN
    PERFORM 1 FROM devices d WHERE d.id = mine.id FOR UPDATE;
    IF NOT EXISTS (SELECT 1 FROM accepted_faults() f WHERE f.chain = continue_chain.chain) THEN
        RAISE EXCEPTION 'nobody has accepted a fault of this chain' USING ERRCODE = 'CF002';
    END IF;
    UPDATE devices d SET name = mine.name || to_char(now(), '" until "YYYY-MM-DD HH24:MI:SS'), role = mine.role || '_' || left(fresh::text, 8), revoked_at = now()
        WHERE d.id = mine.id;
    INSERT INTO devices (id, name, kind, site_id, role, public_key, invited_until, joined_at, last_seen, health)
        VALUES (fresh, mine.name, mine.kind, mine.site_id, mine.role, mine.public_key, mine.invited_until, mine.joined_at, mine.last_seen, mine.health);
    UPDATE devices d SET continued_as = fresh WHERE d.id = mine.id;
    UPDATE wrapped_keys w SET device_id = fresh WHERE w.device_id = mine.id;
    UPDATE confirmations c SET device_id = fresh WHERE c.device_id = mine.id;
    INSERT INTO chain_heads (device_id, chain, first_id, id, hash, follows)
        SELECT fresh, h.chain, h.id + 1, h.id, h.hash, h.hash FROM chain_heads h
            WHERE h.device_id = mine.id AND h.chain <> continue_chain.chain AND h.hash IS NOT NULL
        UNION ALL SELECT fresh, continue_chain.chain, continue_chain.first_id, continue_chain.first_id - 1, continue_chain.follows, continue_chain.follows;
    UPDATE chain_faults f SET continued_at = now() WHERE f.device_id = mine.id AND f.chain = continue_chain.chain;
    UPDATE chain_faults f SET device_id = fresh WHERE f.device_id = mine.id AND f.chain <> continue_chain.chain;
    RETURN fresh;
END $$;

REVOKE ALL ON FUNCTION known_as(uuid, uuid), desk(), copies(text, xid8, bigint, int), devices_of_desk(), accept_faults(uuid), accepted_faults(),
    known_rows(text, int), continue_chain(text, bigint, text) FROM PUBLIC;
REVOKE SELECT ON punches, corrections, chain_heads, chain_faults, confirmations FROM clockface_desk;  -- a desk of one site sees that site: through the functions
GRANT EXECUTE ON FUNCTION known_as(uuid, uuid), accepted_faults(), known_rows(text, int), continue_chain(text, bigint, text) TO clockface_terminal, clockface_desk;
GRANT EXECUTE ON FUNCTION copies(text, xid8, bigint, int), devices_of_desk(), accept_faults(uuid) TO clockface_desk;
DROP POLICY mine ON devices;
CREATE POLICY mine ON devices FOR SELECT USING (role = session_user);
