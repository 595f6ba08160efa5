-- A device that leaves says so itself, at `fleet leave` and at a reset to factory: from then on it is what `fleet revoke` makes of one. And what was done
-- with devices, by whom and when.

ALTER TABLE devices ADD COLUMN reset_at timestamptz;  -- it was reset to factory, and told

CREATE OR REPLACE VIEW overview AS
SELECT d.id, d.name, d.kind, d.site_id, s.name AS site, d.joined_at, d.revoked_at, d.invited_until, d.last_seen, d.health, d.continued_as,
    (SELECT jsonb_object_agg(h.chain, h.id) FROM chain_heads h WHERE h.device_id = d.id) AS heads,
    (SELECT jsonb_agg(jsonb_build_object('chain', f.chain, 'id', f.id, 'fault', f.fault) || CASE WHEN f.accepted_at IS NULL THEN '{}' ELSE
            jsonb_build_object('accepted_by', f.accepted_by) END ORDER BY f.at)
        FROM chain_faults f WHERE f.device_id = d.id AND f.continued_at IS NULL) AS faults,
    (SELECT count(*) FROM state e WHERE d.kind = 'terminal' AND d.joined_at IS NOT NULL AND d.revoked_at IS NULL AND d.continued_as IS NULL
        AND e.kind = 'person' AND e.deleted AND (e.sites IS NULL OR d.site_id = ANY (e.sites)) AND e.at >= d.joined_at
        AND NOT EXISTS (SELECT 1 FROM confirmations c WHERE c.person::text = e.key AND c.device_id = d.id)) AS erasures_open,
    d.reset_at
FROM devices d LEFT JOIN sites s ON s.id = d.site_id;

CREATE TABLE device_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    by name NOT NULL DEFAULT session_user,
    action text NOT NULL CHECK (action IN ('invited', 'revoked', 'left', 'reset')),
    device text NOT NULL,  -- its name then
    details jsonb NOT NULL DEFAULT '{}'  -- of an invitation: kind, site, and what a set-up code gives besides; never a password
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON device_history FOR EACH ROW EXECUTE FUNCTION never();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON device_history FOR EACH STATEMENT EXECUTE FUNCTION never();

CREATE FUNCTION leave(to_factory boolean) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
DECLARE
    mine devices := me();
BEGIN
    UPDATE devices d SET revoked_at = now(), reset_at = CASE WHEN leave.to_factory THEN now() END WHERE d.id = mine.id;
    UPDATE state s SET body = s.body || '{"rotate": true}', xid = pg_current_xact_id(), seq = nextval('arrivals')
        WHERE s.kind = 'person' AND NOT s.deleted AND s.key IN (SELECT w.person::text FROM wrapped_keys w WHERE w.device_id = mine.id);
    DELETE FROM wrapped_keys w WHERE w.device_id = mine.id;
    INSERT INTO device_history (action, device) VALUES (CASE WHEN leave.to_factory THEN 'reset' ELSE 'left' END, mine.name);
    PERFORM pg_notify('clockface_state', 'person');
    EXECUTE format('ALTER ROLE %I NOLOGIN PASSWORD NULL', mine.role);
END $$;

REVOKE ALL ON FUNCTION leave(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION leave(boolean) TO clockface_terminal, clockface_desk;
