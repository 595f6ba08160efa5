-- New releases by rings: which device is asked to take which, and whether its health is worse since.

CREATE TABLE rollouts (
    release text PRIMARY KEY,
    url text NOT NULL,  -- where a terminal fetches the signed bundle; it verifies it itself
    number bigint NOT NULL DEFAULT nextval('arrivals')
);
CREATE TABLE rollout_devices (
    release text NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    device_id uuid NOT NULL REFERENCES devices,
    asked_at timestamptz NOT NULL DEFAULT now(),
    before jsonb,  -- its health then
    PRIMARY KEY (release, device_id)
);

CREATE FUNCTION rollout_states(release text) RETURNS TABLE (device text, device_id uuid, done boolean, worse text)
LANGUAGE sql STABLE SET search_path = clockface, pg_temp AS $$
    SELECT d.name, d.id, coalesce(d.health ->> 'version' = r.release, false) AND d.last_seen > r.asked_at,
        CASE WHEN d.last_seen < now() - interval '10 minutes' THEN 'did not come back'
            WHEN d.health ->> 'version' IS DISTINCT FROM r.release AND r.asked_at < now() - interval '1 hour' THEN 'does not run it after an hour'
            WHEN d.health ->> 'camera' IS DISTINCT FROM 'ok' AND r.before ->> 'camera' = 'ok' THEN 'camera: ' || coalesce(d.health ->> 'camera', 'not told')
            WHEN (d.health ->> 'waiting')::bigint > coalesce((r.before ->> 'waiting')::bigint, 0) + 1000 THEN 'rows wait to be sent: ' || (d.health ->> 'waiting')
            WHEN EXISTS (SELECT 1 FROM chain_faults f WHERE f.device_id = d.id AND f.at > r.asked_at) THEN 'a fault of its chain' END
    FROM rollout_devices r JOIN devices d ON d.id = r.device_id AND d.revoked_at IS NULL
    WHERE r.release = rollout_states.release ORDER BY d.name
$$;

-- The newest release that this device is asked to take; nothing while a device that was asked is worse.
CREATE FUNCTION my_rollout() RETURNS TABLE (release text, url text) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    SELECT n.release, n.url FROM (
        SELECT o.release, o.url FROM rollouts o JOIN rollout_devices r ON r.release = o.release AND r.device_id = (SELECT (me()).id)
        ORDER BY o.number DESC LIMIT 1) n
    WHERE NOT EXISTS (SELECT 1 FROM rollout_states(n.release) s WHERE s.worse IS NOT NULL)
$$;

REVOKE ALL ON FUNCTION rollout_states(text), my_rollout() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION my_rollout() TO clockface_terminal;
