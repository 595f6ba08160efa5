-- The company's database. Owned by the role that runs `fleet init`; terminals have the rights that stand at the end, and no others.
-- Times are ms since the epoch, UTC, as in the terminals; moments of this server are timestamptz.

CREATE TABLE fleet (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO fleet DEFAULT VALUES;

CREATE TABLE sites (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL UNIQUE CHECK (name <> '')
);

CREATE TABLE devices (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL UNIQUE CHECK (name <> ''),
    kind text NOT NULL CHECK (kind IN ('terminal', 'desk')),
    site_id uuid REFERENCES sites,  -- null: a desk for all sites
    role name NOT NULL UNIQUE,
    public_key bytea CHECK (length(public_key) = 32),  -- X25519; null until it has joined
    invited_until timestamptz NOT NULL,
    joined_at timestamptz,
    revoked_at timestamptz,
    last_seen timestamptz,
    health jsonb,
    CHECK (kind = 'desk' OR site_id IS NOT NULL)
);

-- What terminals have recorded. `content` is the row as its hash chain covers it; the other columns are taken from it, and `person` is sent beside it.

CREATE TABLE punches (
    device_id uuid NOT NULL REFERENCES devices,
    id bigint NOT NULL,
    occurred_at bigint NOT NULL,
    person uuid NOT NULL,
    direction text NOT NULL,
    method text NOT NULL,
    content text NOT NULL,
    hash text NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq bigint NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE TABLE punches_elsewhen PARTITION OF punches DEFAULT;  -- of clocks that were far off
CREATE INDEX punches_arrived ON punches (xid, seq);
CREATE INDEX punches_by_person ON punches (person, occurred_at);
CREATE SEQUENCE arrivals;

CREATE TABLE corrections (
    device_id uuid NOT NULL REFERENCES devices,
    id bigint NOT NULL,
    person uuid NOT NULL,
    content text NOT NULL,
    hash text NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq bigint NOT NULL DEFAULT nextval('arrivals'),
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, id)
);
CREATE INDEX corrections_arrived ON corrections (xid, seq);

CREATE TABLE chain_heads (
    device_id uuid NOT NULL REFERENCES devices,
    chain text NOT NULL CHECK (chain IN ('punches', 'corrections')),
    first_id bigint,  -- where the chain begins here: older rows were removed by policy before the terminal joined
    id bigint NOT NULL DEFAULT 0,
    hash text,
    PRIMARY KEY (device_id, chain)
);

CREATE TABLE chain_faults (
    device_id uuid NOT NULL REFERENCES devices,
    chain text NOT NULL,
    id bigint NOT NULL,
    fault text NOT NULL CHECK (fault IN ('gap', 'fork', 'changed')),
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, chain, id, fault)
);

-- What the company has decided: one row per thing, always its newest state. A row that is gone stays as a tombstone.

CREATE TABLE state (
    kind text NOT NULL,
    key text NOT NULL,
    sites uuid[],  -- null: everywhere
    body jsonb NOT NULL,
    sealed bytea,
    sealed_crop bytea,
    deleted boolean NOT NULL DEFAULT false,
    xid xid8 NOT NULL,
    seq bigint NOT NULL,
    by_device uuid REFERENCES devices,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, key)
);
CREATE INDEX state_changed ON state (xid, seq);
CREATE INDEX state_of_person ON state ((body ->> 'person')) WHERE body ? 'person';
CREATE UNIQUE INDEX person_codes ON state (lower(body ->> 'code')) WHERE kind = 'person' AND NOT deleted;

CREATE TABLE wrapped_keys (
    person uuid NOT NULL,
    device_id uuid NOT NULL REFERENCES devices,
    wrapped bytea NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq bigint NOT NULL DEFAULT nextval('arrivals'),
    PRIMARY KEY (person, device_id)
);

CREATE TABLE confirmations (  -- of erasures that a device has carried out
    person uuid NOT NULL,
    device_id uuid NOT NULL REFERENCES devices,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (person, device_id)
);

CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% only grow: add a correction', TG_TABLE_NAME USING ERRCODE = 'CF010';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON punches FOR EACH ROW EXECUTE FUNCTION never();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON corrections FOR EACH ROW EXECUTE FUNCTION never();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON punches FOR EACH STATEMENT EXECUTE FUNCTION never();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON corrections FOR EACH STATEMENT EXECUTE FUNCTION never();

-- Who is asking. The functions below run with the owner's rights, so each begins with this.

CREATE FUNCTION me() RETURNS devices LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices;
BEGIN
    SELECT * INTO mine FROM devices WHERE role = session_user AND joined_at IS NOT NULL AND revoked_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this login belongs to no device of the fleet, or was revoked' USING ERRCODE = 'CF000';
    END IF;
    RETURN mine;
END $$;

CREATE FUNCTION sees(sites uuid[]) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    SELECT EXISTS (
        SELECT 1 FROM devices d WHERE d.role = session_user AND d.joined_at IS NOT NULL AND d.revoked_at IS NULL
            AND (d.site_id IS NULL OR sees.sites IS NULL OR d.site_id = ANY (sees.sites))
    )
$$;

CREATE FUNCTION "join"(public_key bytea) RETURNS TABLE (device uuid, name text, kind text, fleet uuid, site uuid, site_name text, schema int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices;
BEGIN
    SELECT * INTO mine FROM devices d WHERE d.role = session_user FOR UPDATE;
    IF NOT FOUND OR mine.joined_at IS NOT NULL OR mine.revoked_at IS NOT NULL OR mine.invited_until < now() THEN
        RAISE EXCEPTION 'the invitation was used or has expired' USING ERRCODE = 'CF001';
    END IF;
    UPDATE devices d SET public_key = "join".public_key, joined_at = now(), last_seen = now() WHERE d.id = mine.id;
    EXECUTE format('ALTER ROLE %I VALID UNTIL %L', mine.role, 'infinity');
    RETURN QUERY
        SELECT mine.id, mine.name, mine.kind, (SELECT f.id FROM fleet f), mine.site_id, (SELECT s.name FROM sites s WHERE s.id = mine.site_id),
            (SELECT max(m.number) FROM migrations m);
END $$;

-- Up.

CREATE FUNCTION month_of(occurred_at bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    month timestamp := date_trunc('month', to_timestamp(occurred_at / 1000.0) AT TIME ZONE 'UTC');
    part text := 'punches_' || to_char(month, 'YYYY_MM');
    from_ms bigint := extract(epoch FROM month) * 1000;
    until_ms bigint := extract(epoch FROM month + interval '1 month') * 1000;
BEGIN
    IF to_regclass('clockface.' || part) IS NOT NULL OR month NOT BETWEEN now() - interval '20 years' AND now() + interval '40 days' THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('clockface.punches'));
    IF to_regclass('clockface.' || part) IS NULL AND NOT EXISTS (SELECT 1 FROM punches_elsewhen p WHERE p.occurred_at >= from_ms AND p.occurred_at < until_ms) THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF punches FOR VALUES FROM (%s) TO (%s)', part, from_ms, until_ms);
    END IF;
END $$;

CREATE FUNCTION push(chain text, rows jsonb) RETURNS TABLE (head bigint, fault text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine uuid := (me()).id;
    last chain_heads;
    row jsonb;
    fields jsonb;
    known text;
    wrong text;
BEGIN
    INSERT INTO chain_heads (device_id, chain) VALUES (mine, push.chain) ON CONFLICT DO NOTHING;
    SELECT * INTO last FROM chain_heads h WHERE h.device_id = mine AND h.chain = push.chain FOR UPDATE;
    FOR row IN SELECT value FROM jsonb_array_elements(push.rows) LOOP
        fields := (row ->> 'content')::jsonb;
        wrong := NULL;
        IF encode(sha256(convert_to(row ->> 'content', 'UTF8')), 'hex') IS DISTINCT FROM row ->> 'hash' THEN
            wrong := 'changed';
        ELSIF (fields ->> 'id')::bigint <= last.id THEN
            EXECUTE format('SELECT hash FROM %I WHERE device_id = $1 AND id = $2', push.chain) INTO known USING mine, (fields ->> 'id')::bigint;
            CONTINUE WHEN known = row ->> 'hash' OR (fields ->> 'id')::bigint < last.first_id;
            wrong := 'fork';
        ELSIF last.hash IS NOT NULL AND (fields ->> 'id')::bigint > last.id + 1 THEN
            wrong := 'gap';
        ELSIF last.hash IS NOT NULL AND fields ->> 'previous_hash' IS DISTINCT FROM last.hash THEN
            wrong := 'fork';
        END IF;
        IF wrong IS NOT NULL THEN
            INSERT INTO chain_faults (device_id, chain, id, fault) VALUES (mine, push.chain, (fields ->> 'id')::bigint, wrong) ON CONFLICT DO NOTHING;
            EXIT;
        END IF;
        IF push.chain = 'punches' THEN
            PERFORM month_of((fields ->> 'occurred_at')::bigint);
            INSERT INTO punches (device_id, id, occurred_at, person, direction, method, content, hash, seq)
                VALUES (mine, (fields ->> 'id')::bigint, (fields ->> 'occurred_at')::bigint, (row ->> 'person')::uuid, fields ->> 'direction',
                    fields ->> 'method', row ->> 'content', row ->> 'hash', nextval('arrivals'));
        ELSE
            INSERT INTO corrections (device_id, id, person, content, hash)
                VALUES (mine, (fields ->> 'id')::bigint, (row ->> 'person')::uuid, row ->> 'content', row ->> 'hash');
        END IF;
        last.first_id := coalesce(last.first_id, (fields ->> 'id')::bigint);
        last.id := (fields ->> 'id')::bigint;
        last.hash := row ->> 'hash';
    END LOOP;
    UPDATE chain_heads h SET first_id = last.first_id, id = last.id, hash = last.hash WHERE h.device_id = mine AND h.chain = push.chain;
    UPDATE devices d SET last_seen = now() WHERE d.id = mine;
    PERFORM pg_notify('clockface_punches', mine::text);
    RETURN QUERY SELECT last.id, wrong;
END $$;

CREATE FUNCTION head(chain text) RETURNS TABLE (id bigint, hash text) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    SELECT h.id, h.hash FROM chain_heads h WHERE h.device_id = (me()).id AND h.chain = head.chain
$$;

CREATE FUNCTION report(health jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    UPDATE devices d SET health = report.health, last_seen = now() WHERE d.id = (me()).id
$$;

-- The company's state.

CREATE FUNCTION put(kind text, key text, sites uuid[], body jsonb, sealed bytea DEFAULT NULL, sealed_crop bytea DEFAULT NULL, deleted boolean DEFAULT false)
RETURNS TABLE (stored text) LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices := me();
    owner state;
    same state;
BEGIN
    IF mine.kind = 'terminal' AND put.kind NOT IN ('person', 'consent', 'template', 'pin', 'finding') THEN
        RAISE EXCEPTION 'a terminal may not decide about %', put.kind USING ERRCODE = 'CF002';
    END IF;
    SELECT * INTO same FROM state s WHERE s.kind = put.kind AND s.key = put.key FOR UPDATE;
    IF FOUND AND mine.site_id IS NOT NULL AND NOT sees(same.sites) THEN
        RAISE EXCEPTION '% % belongs to another site', put.kind, put.key USING ERRCODE = 'CF002';
    END IF;
    IF put.body ? 'person' THEN
        SELECT * INTO owner FROM state s WHERE s.kind = 'person' AND s.key = put.body ->> 'person';
        IF NOT FOUND OR owner.deleted OR NOT sees(owner.sites) THEN
            RAISE EXCEPTION 'person % is erased, of another site or unknown', put.body ->> 'person' USING ERRCODE = 'CF003';
        END IF;
        put.sites := owner.sites;
    ELSIF mine.kind = 'terminal' THEN
        put.sites := CASE WHEN same.key IS NULL THEN coalesce(put.sites, ARRAY[mine.site_id]) ELSE same.sites END;
        IF NOT sees(put.sites) THEN
            RAISE EXCEPTION 'a terminal may not put people into another site alone' USING ERRCODE = 'CF002';
        END IF;
    END IF;
    IF put.kind = 'person' THEN
        IF same.deleted THEN
            RAISE EXCEPTION 'person % is erased', put.key USING ERRCODE = 'CF003';
        END IF;
        SELECT * INTO owner FROM state s
            WHERE s.kind = 'person' AND NOT s.deleted AND s.key <> put.key AND lower(s.body ->> 'code') = lower(put.body ->> 'code');
        IF FOUND THEN
            RETURN QUERY SELECT owner.key;
            RETURN;
        END IF;
    END IF;
    INSERT INTO state AS s (kind, key, sites, body, sealed, sealed_crop, deleted, xid, seq, by_device)
        VALUES (put.kind, put.key, put.sites, put.body, put.sealed, put.sealed_crop, put.deleted, pg_current_xact_id(), nextval('arrivals'), mine.id)
        ON CONFLICT ON CONSTRAINT state_pkey DO UPDATE SET sites = excluded.sites, body = excluded.body, sealed = excluded.sealed,
            sealed_crop = excluded.sealed_crop, deleted = excluded.deleted, xid = excluded.xid, seq = excluded.seq, by_device = excluded.by_device, at = now();
    IF put.kind = 'person' THEN
        UPDATE state s SET sites = put.sites, xid = pg_current_xact_id(), seq = nextval('arrivals')
            WHERE s.body ->> 'person' = put.key AND s.sites IS DISTINCT FROM put.sites;
    END IF;
    PERFORM pg_notify('clockface_state', put.kind);
    RETURN QUERY SELECT put.key;
END $$;

CREATE FUNCTION drop_state(kind text, key text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
BEGIN
    PERFORM me();
    UPDATE state s SET deleted = true, sealed = NULL, sealed_crop = NULL, body = s.body - 'hash' - 'source', xid = pg_current_xact_id(), seq = nextval('arrivals')
        WHERE s.kind = drop_state.kind AND s.key = drop_state.key AND NOT s.deleted AND s.kind IN ('template', 'pin') AND sees(s.sites);
    PERFORM pg_notify('clockface_state', drop_state.kind);
END $$;

CREATE FUNCTION erase(person uuid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    owner state;
BEGIN
    PERFORM me();
    SELECT * INTO owner FROM state s WHERE s.kind = 'person' AND s.key = erase.person::text FOR UPDATE;
    IF NOT FOUND OR NOT sees(owner.sites) THEN
        RAISE EXCEPTION 'person % is of another site or unknown', erase.person USING ERRCODE = 'CF003';
    END IF;
    DELETE FROM wrapped_keys w WHERE w.person = erase.person;
    UPDATE state s SET body = jsonb_build_object('person', erase.person), sealed = NULL, sealed_crop = NULL, deleted = true,
            xid = pg_current_xact_id(), seq = nextval('arrivals')
        WHERE s.body ->> 'person' = erase.person::text AND NOT s.deleted;
    UPDATE state s SET body = '{"erased": true}', deleted = true, xid = pg_current_xact_id(), seq = nextval('arrivals')
        WHERE s.kind = 'person' AND s.key = erase.person::text AND NOT s.deleted;
    PERFORM pg_notify('clockface_state', 'person');
END $$;

CREATE FUNCTION confirm(person uuid) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    INSERT INTO confirmations (person, device_id) VALUES (confirm.person, (me()).id) ON CONFLICT DO NOTHING
$$;

-- Keys of people, each sealed for one device.

CREATE FUNCTION wrap(person uuid, device uuid, wrapped bytea) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices := me();
    owner state;
    target devices;
BEGIN
    SELECT * INTO owner FROM state s WHERE s.kind = 'person' AND s.key = wrap.person::text AND NOT s.deleted FOR SHARE;
    SELECT * INTO target FROM devices d WHERE d.id = wrap.device AND d.joined_at IS NOT NULL AND d.revoked_at IS NULL;
    IF owner.key IS NULL OR NOT sees(owner.sites) OR target.id IS NULL
        OR NOT (target.site_id IS NULL OR owner.sites IS NULL OR target.site_id = ANY (owner.sites)) THEN
        RAISE EXCEPTION 'person % may not be opened there', wrap.person USING ERRCODE = 'CF003';
    END IF;
    IF EXISTS (SELECT 1 FROM wrapped_keys w WHERE w.person = wrap.person)
        AND NOT EXISTS (SELECT 1 FROM wrapped_keys w WHERE w.person = wrap.person AND w.device_id = mine.id) THEN
        RAISE EXCEPTION 'another device has the key of person %', wrap.person USING ERRCODE = 'CF004';
    END IF;
    INSERT INTO wrapped_keys AS w (person, device_id, wrapped) VALUES (wrap.person, wrap.device, wrap.wrapped)
        ON CONFLICT ON CONSTRAINT wrapped_keys_pkey DO UPDATE SET wrapped = excluded.wrapped, xid = pg_current_xact_id(), seq = nextval('arrivals');
    PERFORM pg_notify('clockface_state', 'key');
END $$;

CREATE FUNCTION claim_rotation(person uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
BEGIN
    PERFORM me();
    UPDATE state s SET body = s.body - 'rotate', xid = pg_current_xact_id(), seq = nextval('arrivals')
        WHERE s.kind = 'person' AND s.key = claim_rotation.person::text AND NOT s.deleted AND s.body ? 'rotate' AND sees(s.sites);
    RETURN FOUND;
END $$;

CREATE FUNCTION missing_keys(most int) RETURNS TABLE (person uuid, device uuid, public_key bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    SELECT w.person, d.id, d.public_key
    FROM wrapped_keys w JOIN state s ON s.kind = 'person' AND s.key = w.person::text AND NOT s.deleted
    JOIN devices d ON d.kind = 'terminal' AND d.joined_at IS NOT NULL AND d.revoked_at IS NULL AND (s.sites IS NULL OR d.site_id = ANY (s.sites))
    WHERE w.device_id = (SELECT (me()).id) AND NOT EXISTS (SELECT 1 FROM wrapped_keys x WHERE x.person = w.person AND x.device_id = d.id)
    LIMIT most
$$;

CREATE FUNCTION readers(person uuid) RETURNS TABLE (device uuid, public_key bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    SELECT d.id, d.public_key FROM state s
    JOIN devices d ON d.kind = 'terminal' AND d.joined_at IS NOT NULL AND d.revoked_at IS NULL AND (s.sites IS NULL OR d.site_id = ANY (s.sites))
    WHERE s.kind = 'person' AND s.key = readers.person::text AND NOT s.deleted AND sees(s.sites)
$$;

-- Down.

CREATE FUNCTION doors(after_xid xid8, after_seq bigint, since bigint, most int)
RETURNS TABLE (device text, id bigint, person uuid, occurred_at bigint, direction text, method text, xid xid8, seq bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    SELECT d.name, p.id, p.person, p.occurred_at, p.direction, p.method, p.xid, p.seq
    FROM punches p JOIN devices d ON d.id = p.device_id
    WHERE (p.xid, p.seq) > (doors.after_xid, doors.after_seq) AND p.xid < pg_snapshot_xmin(pg_current_snapshot())
        AND p.occurred_at >= doors.since AND d.id <> (SELECT (me()).id)
        AND EXISTS (SELECT 1 FROM state s WHERE s.kind = 'person' AND s.key = p.person::text AND sees(s.sites))
    ORDER BY p.xid, p.seq LIMIT doors.most
$$;

-- Rights.

ALTER TABLE state ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_my_site ON state FOR SELECT USING (sees(sites));
ALTER TABLE wrapped_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON wrapped_keys FOR SELECT USING (device_id = (SELECT (me()).id));
ALTER TABLE devices ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON devices FOR SELECT USING (role = session_user OR (SELECT (me()).kind) = 'desk');

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA clockface FROM PUBLIC;
GRANT USAGE ON SCHEMA clockface TO clockface_terminal, clockface_desk;
GRANT SELECT ON fleet, migrations, state, wrapped_keys, devices, sites TO clockface_terminal, clockface_desk;
GRANT SELECT ON punches, corrections, chain_heads, chain_faults, confirmations TO clockface_desk;
GRANT EXECUTE ON FUNCTION me(), sees(uuid[]), "join"(bytea), push(text, jsonb), head(text), report(jsonb),
    put(text, text, uuid[], jsonb, bytea, bytea, boolean), drop_state(text, text), erase(uuid), confirm(uuid), wrap(uuid, uuid, bytea), missing_keys(int), readers(uuid), claim_rotation(uuid),
    doors(xid8, bigint, bigint, int) TO clockface_terminal, clockface_desk;
